#!/usr/bin/env bash
# deps.sh [--ci] [--apps] [--fleet] [--arm] [--list] - install what is needed and lacks here.
#
# SPDX-License-Identifier: MIT
#
# Debian and Ubuntu: apt, only the missing packages, through sudo when not root.  Elsewhere it
# prints what to install.  --ci adds what the jobs of ci/run.sh need, --apps what its job jni
# needs besides, which is large, --fleet what its job fleet needs besides; --arm what the whole
# program needs to be built for 64-bit ARM and run by an emulator (the arm64 packages of the
# libraries); --list only says what is missing and exits 1 if anything is.
set -eu

build=(gcc g++ make pkg-config libbenchmark-dev libhwloc-dev libpfm4-dev gnuplot-nox libdnnl-dev
       libpcre2-dev libjansson-dev libpopt-dev libxxhash-dev libssl-dev libcurl4-openssl-dev
       libedit-dev libmicrohttpd-dev libmosquitto-dev libutf8proc-dev xz-utils unzip
       jq)
# libomp: the OpenMP run-time that clang links when oneDNN's headers ask for it; it and clang's
# sanitizers have the version of the distribution's clang in their names.
ci=(clang qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross shellcheck clang-format
    parallel binutils valgrind mosquitto debhelper fakeroot lintian mandoc man-db zsh curl)
apps=(cmake default-jdk-headless)
fleet=(slurm-wlm munge)

arm=(qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
for p in libpcre2-dev libjansson-dev libpopt-dev libxxhash-dev libssl-dev libcurl4-openssl-dev \
    libedit-dev libmicrohttpd-dev libmosquitto-dev; do
    arm+=("$p:arm64")
done

# of_clang: the packages of its version, where apt knows one.
of_clang() {
    local v
    v=$(apt-cache depends clang 2> /dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
    [ -z "$v" ] || echo "libclang-rt-$v-dev libomp-$v-dev"
}
# browser: the package of chromium.  Ubuntu's only leads to a snap, which sees no temporary
# folder; Google's own browser stands in where it is installed.
browser() {
    command -v google-chrome > /dev/null ||
        apt-cache show chromium 2> /dev/null | sed -n 's/^Package: //p' | head -n 1
}

want=("${build[@]}") list=0 every=0 foreign=''
for a in "$@"; do
    case $a in
    --ci) want+=("${ci[@]}") every=1 ;;
    --apps) want+=("${apps[@]}") ;;
    --fleet) want+=("${fleet[@]}") ;;
    --arm) want+=("${arm[@]}") foreign=arm64 ;;
    --list) list=1 ;;
    *) echo "deps.sh: unknown option '$a'; valid: --ci --apps --fleet --arm --list" >&2; exit 2 ;;
    esac
done

if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
    echo "This is not Debian or Ubuntu.  Install the equivalents of these Debian packages:" >&2
    printf '  %s\n' "${want[@]}" >&2
    exit 1
fi
root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo > /dev/null; then
        root=(false)
    else
        root=(sudo)
    fi
fi
if [ $every = 1 ]; then
    # A new machine has no lists yet.
    [ $list = 1 ] || apt-cache show clang > /dev/null 2>&1 || "${root[@]}" apt-get update -q || true
    read -ra more <<< "$(of_clang) $(browser)"
    want+=("${more[@]}")
fi

missing=()
for p in "${want[@]}"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$p" 2> /dev/null | grep -qx installed ||
        missing+=("$p")
done
if [ ${#missing[@]} = 0 ]; then
    echo "every package is installed"
    exit 0
fi
echo "missing: ${missing[*]}"
[ $list = 0 ] || exit 1
if [ "${root[*]}" = false ]; then
    echo "deps.sh: not root and no sudo; as root run: apt-get install ${missing[*]}" >&2
    exit 1
fi
[ -z "$foreign" ] || "${root[@]}" dpkg --add-architecture $foreign
export DEBIAN_FRONTEND=noninteractive
"${root[@]}" apt-get update -q
"${root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"

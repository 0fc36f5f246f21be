#!/usr/bin/env bash
# packages.sh - make dist, the same twice; Debian packages, and make install, tried in clean roots
#
# SPDX-License-Identifier: MIT
#
# A clean root is a folder with the files of what a package depends on and of nothing else, into
# which the package is unpacked, and in which its programs then run (chroot, in namespaces of their
# own).  What needs debhelper, or namespaces, is left out where they are not to be had, and it says
# so.
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
git rev-parse --is-inside-work-tree > "$work/null" 2>&1 || { echo 'SKIP no git checkout'; exit 77; }
# What a command said is shown where it fails.
says() { "$@" > "$work/out" 2> "$work/err"; }

check 'make dist' says make -s dist
archive=$(ls "$BUILDROOT"/rbe-bench-*.tar.gz)
sum=$(sha256sum < "$archive")
check 'make dist again' says env -i PATH="$PATH" HOME="$HOME" BUILDROOT="$BUILDROOT" \
    sh -c 'umask 077; make -s dist'
check 'the same archive' test "$sum" = "$(sha256sum < "$archive")"

# --- clean roots ----------------------------------------------------------------------------
# depends PACKAGE...: all that they depend on, as far as it is installed here, a line each.
depends() {
    local todo=("$@") seen=' ' p
    while [ ${#todo[@]} -gt 0 ]; do
        p=${todo[0]}
        todo=("${todo[@]:1}")
        case $seen in *" $p "*) continue ;; esac
        seen+="$p "
        # Of this machine's architecture: there may be others beside it.
        p=$(dpkg-query -W -f '${binary:Package} ${Architecture} ${Status}\n' "$p" 2> "$work/null" |
            awk -v a="$(dpkg --print-architecture)" '/ installed$/ && ($2 == a || $2 == "all") {
                print $1; exit }')
        [ -n "$p" ] || continue
        echo "$p"
        mapfile -t -O ${#todo[@]} todo < <(dpkg-query -W -f '${Pre-Depends}, ${Depends}\n' "$p" |
            names)
    done
}
# names: every package of a field Depends on standard input, of alternatives each.
names() { tr , '\n' | tr '|' '\n' | sed 's/([^)]*)//; s/:any//; s/[[:space:]]//g; /^$/d'; }
# root FOLDER PACKAGE...: makes it.
root() {
    local at=$1 d
    shift
    mkdir -p "$at/usr/bin" "$at/usr/lib" "$at/usr/lib64" "$at/usr/sbin" "$at/proc" "$at/tmp" \
        "$at/dev"
    for d in bin lib lib64 sbin; do ln -s "usr/$d" "$at/$d"; done
    # And a shell, which starts what runs inside.
    depends "$@" dash | sort -u | xargs dpkg-query -L |
        while read -r f; do [ -d "$f" ] && [ ! -L "$f" ] || printf '%s\n' "${f#/}"; done |
        sed -E 's#^(bin|lib|lib64|sbin)/#usr/&#' | sort -u |
        (cd / && xargs -d '\n' ls -d 2> "$work/null") |
        tar -C / --no-recursion -cf - -T - 2> "$work/null" | tar -C "$at" -xf -
    : > "$at/dev/null"
}
userns=$([ "$(id -u)" = 0 ] || echo r)
# inside ROOT COMMAND...: runs in it, in an empty folder.
# shellcheck disable=SC2016 # for the shell inside
inside() {
    unshare "-${userns}mpf" sh -c 'mount -t proc proc "$1/proc" && root=$1 && shift &&
        exec chroot "$root" /bin/sh -c "cd /tmp && export PATH=$PATH && exec \"\$@\"" sh "$@"' \
        sh "$@"
}
# tried ROOT WHAT: every program does something there, by its own data, and needs nothing else.
tried() {
    local at=$1 what=$2
    check "$what: rbe info" says inside "$at" rbe info
    check "$what: rbe demo" says inside "$at" rbe demo -n 4 -t 1
    check "$what: both models" grep -q '4.23 MB' "$work/out"
    check "$what: rbe-run" says inside "$at" rbe-run generate -n 4 -t 1 -p 'The city'
    check "$what: rbe-serve" says inside "$at" sh -c \
        'echo "{\"id\":\"1\",\"prompt\":\"The city\",\"max_tokens\":4}" | rbe-serve'
    check "$what: its answer" grep -q '"status":"done"' "$work/out"
    check "$what: rbe convert" says inside "$at" rbe convert rbe-mini m.rbe --codec int8 -q
    check "$what: rbe convert by a profile" says inside "$at" rbe convert rbe-mini x.rbe \
        --profile seed-b44 --no-calibration --plan
    check "$what: rbe eval" says inside "$at" rbe eval perplexity -m m.rbe --windows 1 \
        --context 32 -q --out r/p.jsonl
    check "$what: rbe report" says inside "$at" rbe report r
    check "$what: rbe-bench" says inside "$at" rbe-bench --quiet --kernels 'gemv_int8_*' \
        --shapes 768x768 --kinds product --threads 1 --min-time 0.001 --probe-time 0.001 --set-limit 8
}
clean=1
unshare "-${userns}mpf" true 2> "$work/null" && command -v chroot > "$work/null" || clean=0
[ $clean = 1 ] || echo 'SKIP clean roots: no namespaces here'

# What make install puts somewhere else, with the libraries that its programs are linked with.
if [ $clean = 1 ]; then
    check 'make install' says make -s install DESTDIR="$work/image" PREFIX=/usr/local
    mapfile -t linked < <(ldd "$work"/image/usr/local/bin/rbe{,-run,-bench} |
        sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u)
    mapfile -t needed < <(for l in "${linked[@]}"; do
        # Where /lib is /usr/lib, packages say either.
        for f in "$l" "/usr$l" "${l#/usr}"; do
            dpkg-query -S "$f" 2> "$work/null" && break
        done; done | cut -d: -f1; dpkg-query -W -f '${Package}\n' 'libssl3*')
    root "$work/installed" "${needed[@]}"
    cp -a "$work/image/." "$work/installed/"
    tried "$work/installed" 'make install'
fi

# --- Debian packages ------------------------------------------------------------------------
if ! command -v dh > "$work/null"; then
    echo 'SKIP packages: debhelper is not installed'
    finish
    exit
fi

# From the archive, which has no git: what the packages hold was built there.
check 'make deb' says env DEB_BUILD_OPTIONS=noautodbgsym make -s deb
debs=("$BUILDROOT"/deb/*.deb)
check 'three packages' test ${#debs[@]} = 3
for d in "${debs[@]}"; do dpkg-deb -x "$d" "$work/deb"; done
mkdir "$work/elsewhere"
unset RBE_DATA RBE_PROFILES RBE_BIN
elsewhere() { (cd "$work/elsewhere" && env PATH="$work/deb/usr/bin:/usr/bin:/bin" "$@"); }
check 'rbe info, packaged' says elsewhere rbe info
for program in rbe rbe-run; do
    check "$program generate, packaged" says elsewhere $program generate --tokens 4 --prompt 'The city'
done
mkdir "$work/elsewhere/results"
check 'rbe eval, packaged' says elsewhere rbe eval perplexity -q --windows 1 --context 32 \
    --out results/p.jsonl
check 'rbe report, packaged' says elsewhere rbe report results
if [ $clean = 1 ]; then
    # What the packages say that they need, and nothing that they only recommend.
    mapfile -t needed < <(for d in "${debs[@]}"; do
        case $d in */librbe-dev_*) ;; *) dpkg-deb -f "$d" Depends ;; esac; done | names)
    root "$work/packaged" "${needed[@]}"
    for d in "${debs[@]}"; do dpkg-deb -x "$d" "$work/packaged"; done
    tried "$work/packaged" 'the packages'
fi
# A program of one's own, by what librbe-dev says: linked statically, it runs in an empty root.
libdir=$(dirname "$(find "$work/deb" -name librbe.pc)")
export PKG_CONFIG_PATH=$libdir PKG_CONFIG_SYSROOT_DIR=$work/deb
# shellcheck disable=SC2046
check 'a program linked statically' says gcc -std=c11 -static -o "$work/static" ci/consumer.c \
    $(pkg-config --cflags --libs --static librbe | sed "s#-L$work/deb/usr/lib/[^ ]*gnu #& -L/usr/lib/$(gcc -print-multiarch) #")
check 'it runs' says "$work/static" "$work/deb/usr/share/rbe-bench/rbe-mini"
if command -v lintian > "$work/null"; then
    # The packages are nobody's upload: no maintainer to write to, no bug to close.
    check 'lintian' says lintian --fail-on error,warning --suppress-tags \
        initial-upload-closes-no-bugs,bogus-mail-host,bogus-mail-host-in-debian-changelog "${debs[@]}"
else
    echo 'SKIP lintian is not installed'
fi
finish

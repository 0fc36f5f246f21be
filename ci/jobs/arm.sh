#!/usr/bin/env bash
# arm.sh - cross build for 64-bit ARM; the kernels' tests, and tokens, under an emulator.
#
# SPDX-License-Identifier: MIT
#
# The kernels need no library.  Where the arm64 packages of the libraries are installed too,
# the whole program is built and must generate from an RBE model the very tokens that the
# native one does.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
cc=aarch64-linux-gnu-gcc
command -v $cc > /dev/null || { echo "SKIP no $cc (Debian: gcc-aarch64-linux-gnu)"; exit 77; }
qemu=$(command -v qemu-aarch64) || { echo "SKIP no qemu-aarch64 (Debian: qemu-user)"; exit 77; }
root=/usr/aarch64-linux-gnu
emulator="$qemu -L $root"

RBE_CHECK_EVERY=${RBE_CHECK_EVERY:-25} \
    make -s CC=$cc EMULATOR="$emulator" check-kernels || exit 1

# The libraries for arm64: multiarch packages, if they are there.
libs=(-ljansson -lpopt -lpcre2-8 -lxxhash -lcrypto -lcurl -ledit -lm)
if ! echo 'int main(void) { return 0; }' | $cc -x c - -o /dev/null "${libs[@]}" 2> /dev/null; then
    echo "kernels agree; the whole program NOT BUILT: no arm64 libraries (dpkg --add-architecture" \
        "arm64; libjansson-dev:arm64 libpopt-dev:arm64 libpcre2-dev:arm64 libxxhash-dev:arm64" \
        "libssl-dev:arm64 libcurl4-openssl-dev:arm64 libedit-dev:arm64)"
    exit 0
fi
native=$BUILDROOT/$(${CC:-gcc} -dumpmachine | cut -d- -f1)-release/bin/rbe
arm=$BUILDROOT/aarch64-release/bin/rbe
make -s "$native" && make -s CC=$cc "$arm" || exit 1

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cat > "$work/mixed.profile" << 'END'
name: mixed
about: seed, and a tensor of every other integer codec
other codec=f16
wpe codec=f16
all codec=seed block=44
wte codec=int4
attn.proj codec=int8
END
"$native" convert datasets/embedded/rbe-mini "$work/mixed.rbe" --profile "$work/mixed.profile" \
    --no-calibration --search fast --quiet > "$work/convert.log" 2>&1 ||
    { tail "$work/convert.log"; echo "FAIL rbe convert"; exit 1; }
bad=0 tokens=0
# greedy and sampled
for how in '-t 0' '-t 0.8 -s 7'; do
    for prompt in 'The history of the city' 'In 1950 , the band released'; do
        for side in native arm; do
            run=("$native")
            # The loader and libraries of multiarch packages lie where they would on ARM.
            [ $side = arm ] && run=("$qemu" -L / "$arm")
            # shellcheck disable=SC2086  # the options are words
            "${run[@]}" generate "$work/mixed.rbe" -p "$prompt" -n 32 $how --ignore-eos --json \
                2> "$work/$side.err" | tr -d '\n ' | sed -n 's/.*"ids":\[\([0-9,]*\)\].*/\1/p' \
                > "$work/$side.ids"
        done
        if [ -s "$work/native.ids" ] && cmp -s "$work/native.ids" "$work/arm.ids"; then
            tokens=$((tokens + 32))
        else
            echo "FAIL $how '$prompt':"
            cat "$work/native.err" "$work/arm.err" "$work/native.ids" "$work/arm.ids"
            bad=1
        fi
    done
done
echo "an RBE model gives the same $tokens tokens on aarch64 (emulated) and natively"
exit $bad

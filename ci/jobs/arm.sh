#!/usr/bin/env bash
# arm.sh - cross build for 64-bit ARM; the kernels' tests, and tokens, under an emulator.
#
# SPDX-License-Identifier: MIT
#
# The kernels need no library.  Where the arm64 packages of the libraries are installed too,
# rbe-run-static is built and must generate from an RBE model the very tokens that the native program
# does; of the other rooms' sources the compiler is asked for its warnings.  With ARM_WHOLE=1,
# as in .github/workflows, the whole program is built and used in its place.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
cc=aarch64-linux-gnu-gcc
# missing WHAT: without the tools the kernels go untested, which $CI may not call a success.
missing() {
    if [ -n "${CI:-}" ]; then
        echo "FAIL no $1"
        exit 1
    fi
    echo "SKIP no $1"
    exit 77
}
command -v $cc > /dev/null || missing "$cc (Debian: gcc-aarch64-linux-gnu)"
qemu=$(command -v qemu-aarch64) || missing 'qemu-aarch64 (Debian: qemu-user)'
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Every test program; check_kernels in PARTS parts, so that no core waits long.  Every other part
# has the shapes that the job canary finds its faults for ARM in; ARM_WHOLE=1 takes all.
PARTS=${RBE_CHECK_PARTS:-8} step=$([ -n "${ARM_WHOLE:-}" ] && echo 1 || echo 2)
bin=$BUILDROOT/aarch64-release/kernels/test
programs=()
for t in kernels/test/check_*.c; do
    t=${t##*/}
    programs+=("$bin/${t%.c}")
done
make -s -j"$(nproc)" CC=$cc "${programs[@]}" || exit 1
one() {     # PROGRAM [PART]
    local log=$work/${1##*/}${2:+.$2} rc
    RBE_CHECK_EVERY=${2:+$PARTS} RBE_CHECK_FROM=${2:-} \
        "$qemu" -L /usr/aarch64-linux-gnu "$1" > "$log" 2>&1
    rc=$?
    case $rc in
    0) echo "ok   ${1##*/} ${2:+part $2 of $PARTS: }$(tail -n 1 "$log")" ;;
    77) echo "SKIP ${1##*/}: $(tail -n 1 "$log")" ;;
    *)
        grep FAIL "$log" | head
        echo "FAIL ${1##*/} ${2:-}: exit $rc"
        return 1
        ;;
    esac
}
export -f one
export qemu work PARTS
{
    for ((part = 0; part < PARTS; part += step)); do echo "$bin/check_kernels $part"; done
    printf '%s\n' "${programs[@]}" | grep -v '/check_kernels$'
} | xargs -P "$(nproc)" -L 1 bash -c 'one "$@"' one || exit 1

# native PROGRAM: this machine's.
native() { echo "$BUILDROOT/$(${CC:-gcc} -dumpmachine | cut -d- -f1)-release/bin/$1"; }

# The libraries for arm64: multiarch packages, if they are there.
libs=(-ljansson -lpopt -lpcre2-8 -lxxhash -lcrypto -lcurl -ledit -lm)
if ! echo 'int main(void) { return 0; }' | $cc -x c - -o /dev/null "${libs[@]}" 2> /dev/null; then
    echo "kernels agree; the whole program NOT BUILT: no arm64 libraries (dpkg --add-architecture" \
        "arm64; libjansson-dev:arm64 libpopt-dev:arm64 libpcre2-dev:arm64 libxxhash-dev:arm64" \
        "libssl-dev:arm64 libcurl4-openssl-dev:arm64 libedit-dev:arm64)"
    exit 0
fi
native=$(native rbe) native_run=$(native rbe-run)
at=$BUILDROOT/aarch64-release/bin
arm=$at/rbe-run-static static=$at/rbe-run-static
# The loader and libraries of multiarch packages lie where they would on ARM.
[ -z "${ARM_WHOLE:-}" ] || arm=$at/rbe
make -s "$native" "$native_run" && make -s -j"$(nproc)" CC=$cc "$arm" "$static" "$at/rbe-run" || exit 1
if [ -z "${ARM_WHOLE:-}" ]; then
    read -r -a rooms < <(sed -n 's/^ROOMS *:= //p' Makefile)
    for room in "${rooms[@]}" deploy/serve; do printf '%s\n' "$room"/*.c; done |
        grep -vxF base/commit.c | xargs -n 16 -P "$(nproc)" $cc -std=c11 -Wall -Wextra -Wshadow -Wvla -Werror -I. -Iinclude \
            -D_GNU_SOURCE -fsyntax-only || { echo 'FAIL warnings'; exit 1; }
fi

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
# An emulated token takes a second.
bad=0 tokens=0 each=12 board=64
[ -z "${ARM_WHOLE:-}" ] || each=32 board=256
# greedy and sampled
for how in '--temperature 0' '--temperature 0.8 -s 7'; do
    for prompt in 'The history of the city' 'In 1950 , the band released'; do
        for side in native arm; do
            run=("$native")
            [ $side = arm ] && run=(timeout -s KILL 300 "$qemu" -L / "$arm")
            # shellcheck disable=SC2086  # the options are words
            "${run[@]}" generate "$work/mixed.rbe" -p "$prompt" -n $each $how --ignore-eos --json \
                2> "$work/$side.err" | tr -d '\n ' | sed -n 's/.*"ids":\[\([0-9,]*\)\].*/\1/p' \
                > "$work/$side.ids"
        done
        if [ -s "$work/native.ids" ] && cmp -s "$work/native.ids" "$work/arm.ids"; then
            tokens=$((tokens + each))
        else
            echo "FAIL $how '$prompt':"
            cat "$work/native.err" "$work/arm.err" "$work/native.ids" "$work/arm.ids"
            bad=1
        fi
    done
done

# The board: one static file, its libc inside; some of them by 4 threads, which the
# emulator makes wait for each other.
if [ -n "$("${cc%gcc}readelf" -d "$static" 2>&1 | grep NEEDED)" ]; then
    echo 'FAIL rbe-run-static needs libraries'
    bad=1
fi
board() {   # TOKENS THREADS PROGRAM...
    "${@:3}" generate datasets/embedded/mini-2.89-tuned.rbe -p 'The history of the city' -n "$1" \
        --tokenizer datasets/embedded/rbe-mini --temperature 0.8 -s 7 -t "$2" --ignore-eos --kv-cache int8
}
for size in "$board 1" '16 4'; do
    read -r n threads <<< "$size"
    board "$n" "$threads" "$native_run" > "$work/native.text" 2> "$work/native.err"
    board "$n" "$threads" timeout -s KILL 300 "$qemu" "$static" > "$work/arm.text" 2> "$work/arm.err"
    if [ -s "$work/native.text" ] && cmp -s "$work/native.text" "$work/arm.text"; then
        echo "rbe-run-static gives the same $n tokens with $threads thread(s)"
    else
        echo "FAIL rbe-run-static, $n tokens, $threads thread(s):"
        cat "$work/native.err" "$work/arm.err" "$work/native.text" "$work/arm.text"
        bad=1
    fi
done
# Instructions for a token, on each core of the list; the report must take the rows.
mkdir "$work/rows"
cp datasets/embedded/mini-2.89-tuned.jsonl "$work/rows"
if PATH=$(dirname "$native"):$PATH scripts/arm.sh --count datasets/embedded/mini-2.89-tuned.rbe \
    "$work/rows/projection.jsonl" > "$work/log" 2>&1 &&
    "$native" report "$work/rows" --out "$work/page" >> "$work/log" 2>&1 &&
    [ "$(grep -c 'projection, not a measurement: [0-9.]* to [0-9.]* ms' "$work/page/report.md")" = 3 ]; then
    grep -o '"core":"[^"]*"\|"instructions_per_token":[0-9]*' "$work/rows/projection.jsonl" | tr '\n' ' '
    echo
else
    tail "$work/log"
    echo 'FAIL three projections on the page'
    bad=1
fi
# A Llama has its own vocabulary, which no other of that size replaces.
if {
    "$native" synth "$work/llama" --arch llama --shape 1,64,1,128,8200,1,64 &&
        cp datasets/embedded/rbe-mini/{merges.txt,vocab.json} "$work/llama" &&
        sed -i 's/_token_id": 2/_token_id": 8191/' "$work/llama/config.json" &&
        "$native" export "$work/llama" "$work/llama.gguf" --dtype f32 -q &&
        "$native" convert "$work/llama.gguf" "$work/llama.rbe" --profile seed-b44 \
            --search fast --no-calibration -q &&
        PATH=$(dirname "$native"):$PATH scripts/arm.sh --count "$work/llama.rbe" "$work/llama.jsonl"
} > "$work/log" 2>&1 && [ "$(grep -c '"kind":"projection"' "$work/llama.jsonl")" = 3 ]; then
    echo 'projections of a Llama'
else
    tail "$work/log"
    echo 'FAIL three projections of a Llama'
    bad=1
fi
echo "an RBE model gives the same $tokens tokens on aarch64 (emulated) and natively"
exit $bad

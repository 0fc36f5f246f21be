#!/usr/bin/env bash
# arm.sh [--count] MODEL OUT.jsonl - the aarch64 program, emulated: the same bits; instructions
#
# SPDX-License-Identifier: MIT
#
# On an ARM machine there is nothing to emulate, and this does nothing.  Elsewhere it needs the
# cross compiler, the emulator and the arm64 packages of the libraries; without them it says
# what is missing and exits 77.  The sums of -log p must agree to the last bit (criterion C7).
#
# With --count: a row `projection` for each core of the list below, from the instructions that
# the static rbe-run executes for a token of the RBE model (scripts/count.sh; criteria C11).
set -eu
cd "$(dirname "$0")/.."
mode=bits
[ "${1:-}" != --count ] || { mode=count && shift; }
[ $# = 2 ] || { echo 'usage: arm.sh [--count] MODEL OUT.jsonl' >&2; exit 2; }
model=$1 out=$2
cc=aarch64-linux-gnu-gcc
if [ "$(uname -m)" = aarch64 ]; then
    [ $mode = bits ] || { echo 'nothing is emulated here: rbe-run eval sustained measures'; exit 77; }
    exit 0
fi
for tool in $cc qemu-aarch64; do
    command -v "$tool" > /dev/null || { echo "$tool is not installed"; exit 77; }
done
for library in jansson popt pcre2-8 xxhash; do
    [ -e /usr/lib/aarch64-linux-gnu/lib$library.a ] ||
        { echo "lib$library of arm64 is not installed"; exit 77; }
done
# What a projection assumes: device, core, the emulator's name of it, GHz, and the least and the
# most instructions that one such core ends in a cycle of our kernels.  Guesses from what the
# core can start at once: nothing here was timed on these cores.
cores='phone Cortex-A76 cortex-a76 2.4 1 2.5
pi Cortex-A72 cortex-a72 1.5 0.5 1.5
desktop Neoverse-N1 neoverse-n1 3.0 1 2.5'
few=2 more=6    # tokens of two runs: what they differ in is no start-up

# fact KEY: from `rbe info --json`.
fact() { sed -n "/\"tensors\"/q; s/^ \"$1\": \\(.*\\),\$/\\1/p" "$work/info"; }
# counted CPU TOKENS: of one thread; the checksums of the codes are compared at the start.
counted() {
    scripts/count.sh "$1" "$static" generate "$model" "${words[@]}" -p 'The river' -n "$2" \
        --temperature 0 -t 1 --ignore-eos 2> "$work/log" || { local rc=$?; cat "$work/log" >&2; return $rc; }
}
# A vocabulary of the model's size in $work.
made_words() {
    awk -v n="$(fact vocab)" 'BEGIN { RS = "\001" } {
        at = match($0, /"<\|endoftext\|>": [0-9]+}/)
        size = substr($0, at + 17) + 0
        if (!at || n <= size)
            exit 1
        printf "%s", substr($0, 1, at - 1)
        for (k = size; k < n - 1; k++)
            printf "\"(%d)\": %d, ", k, k
        printf "\"<|endoftext|>\": %d}\n", n - 1
    }' datasets/embedded/rbe-mini/vocab.json > "$work/vocab.json" ||
        { echo "no vocabulary of $(fact vocab) tokens"; exit 77; }
    cp datasets/embedded/rbe-mini/merges.txt "$work/"
    words=(--tokenizer "$work")
}
projections() {
    local device core cpu ghz least most a b path # assigned apart: errors end this
    mkdir -p "$(dirname "$out")"
    static=$folder/rbe-run-static
    make -s -j"$(nproc)" CC=$cc DNNL= "$static"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    rbe info --json "$model" > "$work/info"
    # A GPT-2 of any size gets a vocabulary of that size: which words it has changes no count.
    # Others have their own.
    words=()
    if [ "$(fact architecture)" = '"gpt2"' ]; then made_words; fi
    path=$(fact path | sed 's,^".*/,",')
    while read -r device core cpu ghz least most; do
        a=$(counted "$cpu" $few)
        b=$(counted "$cpu" $more)
        cat << END
{"schema":"rbe-result-1","kind":"projection","time_utc":"$(date -u +%Y-%m-%dT%H:%M:%SZ)",\
"command":"scripts/arm.sh --count ${path:1:-1}","machine":{"arch":"aarch64","threads":1,\
"emulator":"$emulator"},"model":{"name":$path,"path":$path,"sha256":$(fact sha256),\
"bytes":$(fact bytes),"parameters":$(fact parameters),"rbe":$(fact rbe),"label":$(fact label),\
"bits_per_weight":$(fact bits_per_weight)},"device":"$device","core":"$core","ghz":$ghz,\
"instructions_per_cycle":[$least,$most],"runs":[{"tokens":$few,"instructions":$a},\
{"tokens":$more,"instructions":$b}],"instructions_per_token":$(((b - a) / (more - few)))}
END
    done <<< "$cores" > "$work/rows"
    cat "$work/rows" >> "$out"
}

# The row must say who ran it: from inside, an emulated machine looks like a real one.
emulator=$(qemu-aarch64 --version | sed -n '1s, (.*,,p')
folder=${BUILDROOT:-build}/aarch64-release/bin
[ $mode = bits ] || { projections; exit; }
# The program of devices: the same code, and a third of it.
arm=$folder/rbe-run
make -s -j"$(nproc)" CC=$cc "$arm"
args=(eval perplexity --model "$model" --protocol P1 --windows 1 --context 128 --threads 1 --quiet
      --out "$out")
# The dense library sums in an order of its own, which depends on the machine: without it.
RBE_DISABLE_ISA=all rbe "${args[@]}"
# The loader and libraries of multiarch packages lie where they would on ARM.  With the cross
# compiler's loader those libraries start no thread.
qemu-aarch64 -L / -E RBE_EMULATOR="$emulator" "$arm" "${args[@]}"

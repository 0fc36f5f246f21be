#!/usr/bin/env bash
# check_gguf.sh - what rbe info shows of a GGUF file, and that damaged ones are refused.
#
# SPDX-License-Identifier: MIT
#
# RBE_BIN names the folder with the programs.
cd "$(dirname "$0")/../.." || exit 1
. test/lib.sh
rbe=${RBE_BIN:?names the folder with the programs}/rbe
corpus=ci/fuzz/corpus/gguf

# says PATTERN: a line of what was said last.
says() { grep -Eq -- "$1" "$work/out"; }
# refused REASON FILE...: exit 1, one line that says why, nothing printed.
refused() {
    local reason=$1
    shift
    gives 1 "$rbe" info "$@" && one_line "^rbe info: .*$reason" && [ ! -s "$work/out" ]
}

check 'a model' gives 0 "$rbe" info $corpus/model
check 'its version' says '^kind +GGUF, version 2, aligned to 32$'
check 'its hash' says "^sha256 +$(sha256sum < $corpus/model | cut -d ' ' -f 1)\$"
check 'its parameters' says '^parameters +40$'
check 'its bits' says "^file +608 bytes, 121.600 bits a parameter"
check 'a text' says '^general.architecture +string +"llama"$'
check 'a number' says '^llama.block_count +u32 +2$'
check 'bytes that are no text' says '^tokenizer.ggml.tokens +string\[4\] .*"\\\\xFF\\\\x00", ""\]$'
check 'a list' says '^tokenizer.ggml.scores +f32\[3\] +\[0.0, -1.0, 2.5\]$'
check 'a tensor' says '^token_embd.weight +4 x 8 +F16 +64 +16.000$'
check 'a vector' says '^output_norm.weight +8 +F32 +32 +32.000$'
check 'every kind' gives 0 "$rbe" info $corpus/kinds
check 'lists in lists' says '^nested +array\[2\] +\[\[true, false\], \["x"\]\]$'
check 'one line for each' test "$(grep -c . "$work/out")" = 22
check 'types in blocks of 32' gives 0 "$rbe" info $corpus/types
check 'two rows of them' says '^q4_1 +2 x 32 +Q4_1 +40 +5.000$'
check 'types in blocks of 256' gives 0 "$rbe" info $corpus/types_k
check 'the last of them' says '^q6_k +256 +Q6_K +210 +6.562$'

check 'as JSON' gives 0 "$rbe" info --json $corpus/model
mkdir "$work/results" && cp "$work/out" "$work/results/model.json"
check 'a result row' says '"kind": "contents"'
check 'with metadata' says '"key": "tokenizer.ggml.token_type"'
check 'how many' says '"count": 4'
check 'with tensors' says '"codec": "F16"'
check 'which a report takes' gives 0 "$rbe" report "$work/results" --out "$work/page"
check 'without a word' test ! -s "$work/err"
check 'every kind as JSON' gives 0 "$rbe" info --json $corpus/kinds

check 'absurd counts' refused "metadata 'k' is longer than the file" $corpus/absurd
check 'a type that is not read' refused 'type IQ2_XXS, which is not read' $corpus/not_read
check 'tensors over each other' refused "tensor 'b' overlaps" $corpus/overlap
check 'a part of a model' refused 'one of 2 files' $corpus/split
head -c 600 $corpus/model > "$work/short"
check 'cut off' refused "tensor 'output_norm.weight' ends past the 600 bytes" "$work/short"
head -c 9 $corpus/model > "$work/short"
check 'cut off early' refused 'ends within its first fields' "$work/short"
echo '<html>not found</html>' > "$work/page.gguf"
check 'a page in its place' refused 'is an HTML page' "$work/page.gguf"
: > "$work/empty.gguf"
check 'nothing in its place' refused 'is empty' "$work/empty.gguf"
check 'nothing there' refused 'No such file' "$work/gone.gguf"

shared=${RBE_SHARED:-../shared}/data/gguf
if [ -d "$shared" ]; then
    for f in "$shared"/*.gguf; do
        check "$f" gives 0 "$rbe" info "$f"
        check 'its parameters' says '^parameters +869632$'
    done
else
    echo "SKIP small models: no $shared"
fi
finish

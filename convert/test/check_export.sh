#!/usr/bin/env bash
# check_export.sh - rbe export: the model comes back, and nothing is written over or left half.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
dir=$work
rbe=${RBE_BIN:?}/rbe
root=$(cd "$(dirname "$0")/../.." && pwd)
mini=$root/datasets/embedded/rbe-mini tuned=$root/datasets/embedded/mini-2.89-tuned.rbe

run() { gives 0 "$rbe" export -q "$@"; }
fails() { refuses "$1" "$2" "$rbe" export -q "${@:3}"; }
nothing() { ! ls -d "$dir"/"$1"* > "$work/ls" 2>&1; }
perplexity() {
    RBE_ACTIVATIONS=16 "$rbe" eval perplexity -q --json --kv-cache f32 -m "$1" --windows 1 |
        grep -o '"perplexity":[0-9.]*' | head -n 1 | cut -d : -f 2
}
# F16 rounds every weight of a row by 2^-12 of it or less, at random; 16-bit inputs less still.
near() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > 1 && (a / b - 1) ^ 2 < 2 ^ -22) }'; }

check 'a folder' run "$tuned" "$dir/folder"
check 'it says what F16 did' grep -Eq '11705856 as F16: 11[0-9]{6} rounded.*none clipped' \
    "$work/out"
check 'the tokenizer is there' cmp "$mini/merges.txt" "$dir/folder/merges.txt"
check 'and the vocabulary' cmp "$mini/vocab.json" "$dir/folder/vocab.json"
check 'the type of the weights' test "$(jq -r .torch_dtype "$dir/folder/config.json")" = float16
check 'the rest of the configuration' test \
    "$(jq -c 'del(.torch_dtype)' "$dir/folder/config.json")" = \
    "$(jq -c 'del(.torch_dtype)' "$mini/config.json")"
check 'info' gives 0 "$rbe" info "$dir/folder"
check 'as readable as any' test \
    "$(stat -c %a "$dir/folder" "$dir/folder/config.json" | xargs)" = '755 644'
check 'nothing beside it' test "$(ls "$dir")" = "$(printf 'err\nfolder\nout')"
check 'the same perplexity' near "$(perplexity "$tuned")" "$(perplexity "$dir/folder")"
check 'its own export' run "$dir/folder" "$dir/again/"
check 'has the same bytes' cmp "$dir/folder/model.safetensors" "$dir/again/model.safetensors"
check 'in F32' run rbe-mini "$dir/wide" --dtype F32
check 'the type is said' test "$(jq -r .torch_dtype "$dir/wide/config.json")" = float32
check 'a file' run rbe-mini "$dir/model.gguf"
check 'of F16' gives 0 "$rbe" info "$dir/model.gguf"
check 'with matrices so' grep -q '^blk.11.ffn_down.weight *256 x 1024 *F16' "$work/out"
check 'and positions not' grep -q '^position_embd.weight *512 x 256 *F32' "$work/out"
check 'with its words' grep -q '^tokenizer.ggml.tokens *string\[8192\]' "$work/out"
check 'and merges' grep -q \
    '^tokenizer.ggml.merges *string\[7935\] .* t", .* a", "h e", "i n"' "$work/out"
check 'its words for another file' run rbe-mini "$dir/rbe-mini.gguf" --tokenizer "$dir/model.gguf"
check 'are the same' cmp "$dir/model.gguf" "$dir/rbe-mini.gguf"
check 'and for a folder' run "$tuned" "$dir/made" --tokenizer "$dir/model.gguf"
check 'as a tokenizer.json' gives 0 jq -e '(.model.merges | length) == 7935 and
    (.pre_tokenizer.pretokenizers | length) == 1 and (.model.vocab | length) == 8192 and
    (.added_tokens | length) == 1 and .added_tokens[0].id == 8191' "$dir/made/tokenizer.json"
check 'which cuts texts alike' test "$(perplexity "$dir/made")" = "$(perplexity "$dir/folder")"
check 'a file is replaced' run rbe-mini "$dir/model.gguf" --dtype f32 --no-tokenizer
check 'by one without words' test \
    "$("$rbe" info "$dir/model.gguf" | grep -c tokenizer.ggml.tokens)" = 0

# The token that other programs put before a text is no end token: from folder to file and back.
begin() { jq .bos_token_id "$dir/$1/config.json"; }
file_begins() { "$rbe" info "$dir/$1" | grep -q '^tokenizer.ggml.bos_token_id *u32 *5$'; }
mkdir "$dir/five" && ln -s "$mini"/*.safetensors "$mini"/*.txt "$mini"/vocab.json "$dir/five"
jq '.bos_token_id = 5' "$mini/config.json" > "$dir/five/config.json"
check 'a token before texts' run "$dir/five" "$dir/five.gguf"
check 'into a file' file_begins five.gguf
check 'and from there' run "$dir/five.gguf" "$dir/five-back"
check 'into a folder' test "$(begin five-back)" = 5
check 'and again' run "$dir/five-back" "$dir/five-again.gguf"
check 'into a file' file_begins five-again.gguf
check 'without words' run "$dir/five.gguf" "$dir/five-bare" --no-tokenizer
check 'too' test "$(begin five-bare)" = 5
check 'a model made of the file' gives 0 "$rbe" convert -q --codec f16 --no-calibration \
    "$dir/five.gguf" "$dir/five.rbe"
check 'as a folder' run "$dir/five.rbe" "$dir/five-coded"
check 'has it from its words' test "$(begin five-coded)" = 5
rm -r "$dir"/five*
"$rbe" synth --shape 1,64,2,64,300 "$dir/synth" > "$work/out"
check 'generated weights stay labelled' run "$dir/synth" "$dir/s" --no-tokenizer
check 'with the label' grep -q '"synthetic":"synthetic weights' "$dir/s/model.safetensors"
check 'in a file too' run "$dir/synth" "$dir/s.gguf" --no-tokenizer
check 'under a description' grep -aq 'general.description.*synthetic weights' "$dir/s.gguf"

# A Llama, from a quantised file to both formats and on.
tiny=$root/../shared/data/gguf/tiny-q4_k.gguf
if [ -r "$tiny" ]; then
    check 'a quantised file as a folder' run "$tiny" "$dir/tiny" --dtype f32
    check 'as a file' run "$tiny" "$dir/tiny.gguf" --dtype f32
    check 'the folder as a file' run "$dir/tiny" "$dir/two.gguf" --dtype f32
    want=$(perplexity "$tiny")
    for again in tiny tiny.gguf two.gguf; do
        check "$again gives the same" test "$(perplexity "$dir/$again")" = "$want"
    done
    check 'the configuration' test "$(jq -c '[.model_type, .hidden_size, .num_key_value_heads,
        .tie_word_embeddings]' "$dir/tiny/config.json")" = '["llama",256,2,true]'
    check 'names as Hugging Face has them' grep -aq \
        '"model.layers.1.self_attn.q_proj.weight":{"dtype":"F32","shape":\[256,256\]' \
        "$dir/tiny/model.safetensors"
else
    echo "SKIP a quantised Llama: no $tiny"
fi

check 'a model without words' fails 1 'no shipped tokenizer fits' "$dir/synth" "$dir/n"
check 'a folder that is there' fails 2 'folder: is there already' "$tuned" "$dir/folder"
check 'even a file' fails 2 'model.gguf: is there already' "$tuned" "$dir/model.gguf" \
    --format safetensors
check 'a file over a folder' fails 1 'folder: cannot write' "$tuned" "$dir/folder" --format gguf
cp -r "$mini" "$dir/copy" && chmod -R u+w "$dir/copy"
ln "$dir/copy/model.safetensors" "$dir/link.gguf"
ln -s copy/vocab.json "$dir/words.gguf"
check 'over its own weights' fails 2 'link.gguf: cannot write: it is the same file' \
    "$dir/copy" "$dir/link.gguf"
check 'over its own words' fails 2 'words.gguf: cannot write: it is the same file' \
    "$dir/copy" "$dir/words.gguf"
check 'over a tokenizer' fails 2 'words.gguf: cannot write: it is the same file' \
    "$tuned" "$dir/words.gguf" --tokenizer "$dir/copy"
check 'they are as they were' cmp "$dir/copy/model.safetensors" "$mini/model.safetensors"
check 'no such place' fails 1 'nowhere/out: cannot create: No such file' "$tuned" \
    "$dir/nowhere/out"
check 'nor for a file' fails 1 'cannot write: No such file' "$tuned" "$dir/nowhere/out.gguf"
check 'no such model' fails 1 'no-model' "$dir/no-model" "$dir/n"
truncate -s 1000000 "$dir/copy/model.safetensors"
check 'a damaged model' fails 1 'model.safetensors: ' "$dir/copy" "$dir/n"
check 'a tokenizer of another' fails 1 'copy' "$dir/synth" "$dir/n" --tokenizer "$dir/copy"
check 'another format' fails 2 "^rbe export: --format 'onnx'; valid: safetensors, gguf$" \
    "$tuned" "$dir/n" --format onnx
check 'another type' fails 2 "^rbe export: --dtype 'bf16'; valid: f16, f32$" "$tuned" \
    "$dir/n" --dtype bf16
check 'two wishes' fails 2 'exclude one another' "$tuned" "$dir/n" --no-tokenizer --tokenizer \
    "$mini"
check 'no OUT' fails 2 'want MODEL and OUT' "$tuned"
check 'an empty OUT' fails 2 'OUT is an empty name' "$tuned" ''
check 'nothing of it is left' nothing n
finish

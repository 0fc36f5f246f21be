#!/usr/bin/env bash
# check_generate.sh - rbe generate, rbe info and rbe synth as a user meets them.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
dir=$work
rbe=${RBE_BIN:?folder of the programs}/rbe

# refuse STATUS PATTERN COMMAND...: that exit status, nothing on stdout, one line on stderr.
refuse() {
    local status=$1 pattern=$2
    shift 2
    check "exit $status, '$pattern': $*" refuses "$status" "$pattern" "$@"
    check "nothing on stdout: $*" [ ! -s "$work/out" ]
}

# The likeliest continuation does not depend on seed, threads or instruction set.
prompt='The river rises in the mountains and flows'
check 'it generates' "$rbe" generate rbe-mini -p "$prompt" -n 12 --temperature 0 -t 1 > "$dir/a"
"$rbe" generate rbe-mini -p "$prompt" -n 12 --temperature 0 -t 2 --seed 9 > "$dir/b"
RBE_DISABLE_ISA=all "$rbe" generate rbe-mini -p "$prompt" -n 12 --temperature 0 > "$dir/c"
check 'starts with the prompt' grep -q "^$prompt" "$dir/a"
check 'same text with other threads and seed' cmp -s "$dir/a" "$dir/b"
check 'same text without vector instructions' cmp -s "$dir/a" "$dir/c"

# A seed is a text; another is another.
for seed in 1 1 2; do
    "$rbe" generate rbe-mini -p "$prompt" -n 30 --seed $seed --top-p 0.95 --top-k 200 > "$dir/s$seed.new"
    [ ! -e "$dir/s$seed" ] || check 'same seed, same text' cmp -s "$dir/s$seed" "$dir/s$seed.new"
    mv "$dir/s$seed.new" "$dir/s$seed"
done
check 'another seed, another text' test "$(cat "$dir/s1")" != "$(cat "$dir/s2")"

printf '%s' "$prompt" > "$dir/prompt"
"$rbe" generate rbe-mini --prompt-file "$dir/prompt" -n 12 --temperature 0 > "$dir/d"
check 'prompt from a file' cmp -s "$dir/a" "$dir/d"
"$rbe" generate rbe-mini --prompt-file <(printf '\357\273\277%s' "$prompt") -n 12 --temperature 0 > "$dir/d"
check 'from a pipe, its byte-order mark left out' cmp -s "$dir/a" "$dir/d"
"$rbe" generate rbe-mini -p "$prompt" -n 7 --temperature 0 --ignore-eos --json > "$dir/json"
check 'seven ids' [ "$(jq '.ids | length' "$dir/json")" = 7 ]
check 'timing' jq -e '.load_s > 0 and .first_token_s > 0 and .ms_per_token > 0
    and .total_s >= .first_token_s and .peak_memory_bytes > 0' "$dir/json" > "$dir/null"

# Synthetic checkpoints.
check 'a small model' "$rbe" synth --shape 2,32,4,64,300 --seed 5 "$dir/tiny"
"$rbe" synth --shape 2,32,4,64,300 --seed 5 "$dir/tiny2"
"$rbe" synth --shape 2,32,4,64,300 --seed 6 "$dir/tiny3"
check 'same seed, same bytes' cmp -s "$dir/tiny/model.safetensors" "$dir/tiny2/model.safetensors"
check 'another seed, other bytes' test "$(cmp "$dir/tiny/model.safetensors" \
    "$dir/tiny3/model.safetensors" 2>&1)"
check 'runs without a tokenizer' [ "$("$rbe" generate "$dir/tiny" -n 4 --ignore-eos | wc -w)" = 4 ]
check 'labelled synthetic' jq -e '.label | startswith("synthetic")' \
    <("$rbe" info --json "$dir/tiny") > "$dir/null"
check 'parameters' [ "$("$rbe" info --json "$dir/tiny" | jq .parameters)" = \
    $((300 * 32 + 64 * 32 + 2 * (12 * 32 * 32 + 13 * 32) + 64)) ]
check 'tensors' [ "$("$rbe" info --json | jq '.tensors | length')" = 148 ]
check 'info for people' grep -q 'h.11.mlp.c_proj.weight' <("$rbe" info)

# What cannot be done is said in a line.
refuse 1 'No such file' "$rbe" generate "$dir/none"
refuse 1 'No such file' "$rbe" info "$dir/none"
refuse 2 "RBE_ACTIVATIONS: '12'; valid: 8, 16" env RBE_ACTIVATIONS=12 "$rbe" generate
refuse 2 'context' "$rbe" generate rbe-mini -n 600
refuse 2 'tokens' "$rbe" generate rbe-mini -n 0
refuse 2 'temperature' "$rbe" generate rbe-mini --temperature -1
refuse 2 'top-p' "$rbe" generate rbe-mini --top-p 0
refuse 2 'exclude' "$rbe" generate rbe-mini -p a --prompt-file "$dir/prompt"
refuse 1 'tokenizer' "$rbe" generate "$dir/tiny" -p hello
refuse 1 'vocabulary' "$rbe" generate "$dir/tiny" --tokenizer datasets/embedded/rbe-mini
printf 'ab\xffcd' > "$dir/latin"
refuse 1 'UTF-8 at byte 2' "$rbe" generate rbe-mini --prompt-file "$dir/latin"
refuse 1 'limit of 60.0 MB' "$rbe" generate rbe-mini -n 5 --memory-limit 60000000
refuse 1 'generate: /nonexistent: No such file' "$rbe" generate rbe-mini --tokenizer /nonexistent -n 1
mkdir "$dir/hollow"
refuse 1 'hollow: no tokenizer.json, nor' "$rbe" generate rbe-mini --tokenizer "$dir/hollow" -n 1
refuse 1 'prompt: neither a folder' "$rbe" generate rbe-mini --tokenizer "$dir/prompt" -n 1
refuse 2 'unknown size' "$rbe" synth --size 7B "$dir/x"
refuse 2 "unknown architecture 'nonsense'; valid: gpt2, llama" "$rbe" synth --arch nonsense "$dir/x"
refuse 2 'unknown architecture' "$rbe" synth --arch nonsense --shape 2,32,4,64,300 "$dir/x"
refuse 2 'unknown architecture' "$rbe" synth --arch nonsense --size 124M "$dir/x"
refuse 2 'size 124M is a GPT-2, --arch llama has SmolLM2' "$rbe" synth --arch llama --size 124M "$dir/x"
refuse 2 'SmolLM2-135M is a Llama' "$rbe" synth --arch gpt2 --size SmolLM2-135M "$dir/x"
refuse 2 'arch llama: wants its --shape, or a --size: SmolLM2' "$rbe" synth --arch llama "$dir/x"
refuse 2 'exclude each other' "$rbe" synth --size 124M --shape 2,32,4,64,300 "$dir/x"
check 'an architecture and its shape' "$rbe" synth --arch llama --shape 1,32,2,64,300,1,64 \
    "$dir/llama"
refuse 2 'multiple' "$rbe" synth --shape 2,33,4,64,300 "$dir/x"
refuse 2 'dtype' "$rbe" synth --dtype F8 "$dir/x"
refuse 1 'cannot' "$rbe" synth --shape 1,8,1,8,300 /proc/none/x
check 'nothing left of it' test ! -e "$dir/x"
for cut in 5 100 3000 20000; do
    mkdir -p "$dir/cut"
    cp "$dir/tiny/config.json" "$dir/cut/"
    head -c $cut "$dir/tiny/model.safetensors" > "$dir/cut/model.safetensors"
    refuse 1 'model.safetensors' "$rbe" info "$dir/cut"
done

# The model that ships runs within a limit, measured by the kernel.
if limits_hold "$rbe"; then
    # Stacks of 1000 threads have no room.
    refuse 1 'cannot start thread .* within the limit of memory' "$rbe" generate rbe-mini -n 5 -t 1000 \
        --memory-limit 256000000
    check 'runs within 256 MB' "$rbe" generate rbe-mini -n 40 -t 4 --memory-limit 256000000 \
        > "$dir/null"
    # A prompt of many tokens goes through the dense library, for which there is no room at
    # some of these: an answer or a line, never a signal.
    head -c 400 datasets/embedded/wiki.test.raw > "$dir/long"
    ends() {
        "$rbe" generate -n 2 -t 1 --prompt-file "$dir/long" --memory-limit "$1" \
            datasets/embedded/mini-2.89-tuned.rbe > "$dir/null" 2> "$dir/err"
        case $? in
        0) fits=1 ;;
        1) [ "$(wc -l < "$dir/err")" = 1 ] && [ "$fits" = 0 ] ;;
        *) return 1 ;;
        esac
    }
    fits=0
    for mb in $(seq 66 2 104); do check "ends well in $mb MB" ends "${mb}000000"; done
    check 'fits in the largest' test $fits = 1
fi

finish

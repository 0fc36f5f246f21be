#!/usr/bin/env bash
# check_copies.sh - damaged copies of rbe-mini fail the measures of generated text, the original
# against itself passes them.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
rbe=${RBE_BIN:?names the folder with the programs}/rbe
export RBE_DATA=$PWD/datasets/embedded

# copy NAME: a fresh one in $work/NAME, of f32.
copy() { "$rbe" export rbe-mini "$work/$1" --dtype f32 -q > "$work/out" 2> "$work/err"; }

# place NAME TENSOR: $at, where its bytes begin in the copy's file, and $bytes.
place() {
    local file=$work/$1/model.safetensors head
    head=$(od -An -t u8 -N 8 "$file" | tr -d ' ')
    read -r at bytes < <(tail -c +9 "$file" | head -c "$head" |
        jq -r --arg name "$2" 'to_entries[] | select(.key | endswith("." + $name)) |
            .value.data_offsets | "\(.[0]) \(.[1] - .[0])"')
    at=$((at + 8 + head))
}

# put NAME: standard input over the bytes at $at.
put() {
    dd of="$work/$1/model.safetensors" bs=64k oflag=seek_bytes seek="$at" conv=notrunc status=none
}

# doubled: every logit is twice the original's.  All are products of the last norm's output,
# and 2 x of a float has an exponent of one more.
check 'a copy' copy doubled
for tensor in ln_f.weight ln_f.bias; do
    place doubled $tensor
    tail -c +$((at + 1)) "$work/doubled/model.safetensors" | head -c "$bytes" | od -An -v -t u4 -w4 |
        awk '{ x = $1 % 2147483648 < 8388608 ? $1 : $1 + 8388608
               printf "\\x%02x\\x%02x\\x%02x\\x%02x", x % 256, x / 256 % 256, x / 65536 % 256, x / 16777216 }' \
            > "$work/bytes"
    printf '%b' "$(cat "$work/bytes")" | put doubled
done
# deaf: four layers add nothing of what their attention has seen.
check 'another' copy deaf
for layer in 6 7 8 9; do
    for tensor in weight bias; do
        place deaf h.$layer.attn.c_proj.$tensor
        head -c "$bytes" /dev/zero | put deaf
    done
done

# As many texts, and as long, as make the verdicts certain: whatever is drawn, the interval of
# the one is far below the limit.
measure() { "$rbe" eval generation -q --prompt 40 --model rbe-mini "$@"; }
mkdir "$work/results"
check 'measures' gives 0 measure --model "$work/doubled" --model "$work/deaf" --prompts 20 \
    --tokens 40     --out "$work/results/copies.jsonl"
check 'measures the original' gives 0 measure --model rbe-mini --prompts 2 \
    --tokens 16     --out "$work/results/self.jsonl"

# kept NAME MEASURE EXPRESSION: what it says of that measure's 95 % interval, [LOW, HIGH].
kept() {
    jq -se --arg name "$1" --arg measure "$2" \
        "[.[] | select(.model.name == \$name)][0][\$measure].retained_ci95 | $3" \
        "$work/results"/*.jsonl > "$work/out"
}
# The limits themselves stand in base/criteria.def, and in the rows.
target() { jq -s ".[0].$1.target" "$work/results/copies.jsonl"; }
fluency=$(target fluency) relevance=$(target relevance)
check 'doubled logits: not fluent' kept doubled fluency ".[1] < $fluency"
check 'too likely, by much' kept doubled text_perplexity ".[1] < 0.9"
check 'pairs repeated' kept doubled distinct2 ".[1] < $fluency"
check 'deaf layers: besides the point' kept deaf relevance ".[1] < $relevance"
check 'and no language' kept deaf fluency ".[1] < $fluency"
for measure in fluency text_perplexity rep4 distinct2 relevance coherence; do
    check "the original, $measure" kept rbe-mini $measure '. == [1, 1]'
done

# The page judges them so: C6b and C6c.
verdict() {
    local row=$1
    mkdir -p "$work/judged"
    jq -c --arg name "$2" 'select(.model.name == $name) | .model.rbe = true |
        .model.sha256 = "00"' "$work/results/$row.jsonl" > "$work/judged/rows.jsonl"
    "$rbe" report "$work/judged" --out "$work/page" --json 2> "$work/err" | tee "$work/out" |
        jq -e --arg id "$3" --arg verdict "$4" \
            '[.. | objects | select(.id? == $id)][0].verdict == $verdict' > "$work/true"
}
check 'C6b of doubled logits' verdict copies doubled C6b FAIL
check 'C6c of deaf layers' verdict copies deaf C6c FAIL
check 'C6b of the original' verdict self rbe-mini C6b PASS
check 'C6c of the original' verdict self rbe-mini C6c PASS
finish

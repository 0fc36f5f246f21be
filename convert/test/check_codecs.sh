#!/usr/bin/env bash
# check_codecs.sh - rbe codecs: the comparison table and its guards on one small matrix.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
dir=$work
rbe=${RBE_BIN:?}/rbe
root=$(cd "$(dirname "$0")/../.." && pwd)
mini=$root/datasets/embedded/rbe-mini

run() { "$rbe" codecs -q "$@" >"$dir/out" 2>"$dir/err"; }

fails() { # STATUS TEXT ARGUMENT...: that exit status, one line on stderr that holds TEXT
    local status=$1 text=$2
    shift 2
    refuses "$status" "$text" "$rbe" codecs -q "$@"
}

# Columns of a row: asked, codec, ...; the error of CODEC at the ratio ASKED.
error_of() {
    awk -v asked="$1" -v codec="$2" '$1 == asked && $2 == codec {
        for (i = 3; i <= NF; i++) if ($i == ">=" || $i == "<") print $(i - 4) }' "$dir/out"
}
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && b != "" && a + 0 < b + 0) }'; }

# The list of codecs: each has its line in --help and its row on the page.
"$rbe" codecs --help > "$dir/out" 2> "$dir/err"
listed=$(sed -n '/The codecs:$/,/^$/s/^  \([a-z0-9]*\) .*/\1/p' "$dir/out")
check 'help tells of every codec' [ "$(echo "$listed" | wc -l)" -ge 8 ]
for codec in $listed; do
    check "docs/CODECS.md has $codec" grep -q "^| .*\`$codec\`.* |" "$root/docs/CODECS.md"
done

check 'the table' run "$mini" --tensor h.5.attn.c_proj --ratios 8,64 --json "$dir/r.jsonl"
check 'a row for each codec and ratio' [ "$(grep -c '>=' "$dir/out")" -ge 16 ]
check 'no control beats the bound' [ "$(grep -c ' <  ' "$dir/out")" = 0 ]
for codec in packed128 hybrid seed4 svd; do
    check "seed beats $codec at 8:1" less "$(error_of 8:1 seed)" "$(error_of 8:1 "$codec")"
done
check 'seed at 8:1 is good' less "$(error_of 8:1 seed)" 0.13
# A GGUF file of the same weights, by either name: the same rows but for their times.
check 'a GGUF file' gives 0 "$rbe" export "$mini" "$dir/mini.gguf" --quiet
for name in h.5.attn.c_proj blk.5.attn_output.weight; do
    check "$name of it" run "$dir/mini.gguf" --tensor $name --ratios 8,64 --json "$dir/g.jsonl"
    check 'the same' [ "$(jq -S '[.rows[] | del(.seconds)]' "$dir/g.jsonl" | sort -u)" = \
        "$(jq -S '[.rows[] | del(.seconds)]' "$dir/r.jsonl" | sort -u)" ]
    check 'of its digest' grep -q "$(sha256sum < "$dir/mini.gguf" | cut -d ' ' -f 1)" \
        "$dir/g.jsonl"
    rm "$dir/g.jsonl"
done
check 'seed is worse at 64:1' less "$(error_of 8:1 seed)" "$(error_of 64:1 seed)"
check 'the published seed loses nearly all' less 0.8 "$(error_of 8:1 packed128)"
check 'the result has its kind' grep -q '"kind":"codecs"' "$dir/r.jsonl"
check 'the result is whole' grep -q '"complete":true' "$dir/r.jsonl"
check 'and its rows' [ "$(grep -o '"asked"' "$dir/r.jsonl" | wc -l)" = 17 ]

# The attention tensors of the real GPT-2 small, where they are at hand.
real=$root/../shared/data/gpt2-partial/gpt2-attention.safetensors
if [ -e "$real" ]; then
    check 'a real attention tensor' run "$real" --tensor h.0.attn.c_proj.weight --ratios 64
    check 'seed keeps some of it' less "$(error_of 64:1 seed)" 0.86
    check 'more than low rank' less "$(error_of 64:1 seed)" "$(error_of 64:1 svd)"
    check 'the published seed next to nothing' less 0.97 "$(error_of 64:1 packed128)"
else
    echo "SKIP real attention tensors: $real is not there"
fi

check 'a white Gaussian matrix' run --white 512x32 --search fast --json "$dir/w.jsonl"
check 'loses little of the bound' [ "$(grep -c '^seed' "$dir/out")" = 9 ]
check 'but something' [ "$(awk '$1 ~ /^seed/ && $5 > 0.3 && $5 < 5' "$dir/out" | wc -l)" = 9 ]
check 'a row of that' grep -q '"kind":"distortion"' "$dir/w.jsonl"
check 'no negative threads' fails 2 '--threads' --white 512x32 --threads -5
check 'no place for the result' fails 1 "$dir" --white 512x32 --json "$dir"
check 'a bad shape' fails 2 ROWSxCOLS --white 512
check 'no such tensor' fails 2 'no matrix' "$mini" --tensor nothing
check 'no such file' fails 1 'No such file' "$dir/x"
# A folder is a model, held to what every other command holds it to.
mkdir "$dir/other"
ln -s "$mini/model.safetensors" "$dir/other"
sed 's/"n_layer": 12/"n_layer": 11/' "$mini/config.json" >"$dir/other/config.json"
check 'a layer too many' fails 1 'has no place in a GPT-2 of 11 layers' "$dir/other"
check 'bad ratios' fails 2 'separated by' "$mini" --ratios 8,x
check 'ratios that are none' fails 2 'above 2' "$mini" --ratios 1
check 'unknown search' fails 2 'fast, default or best' "$mini" --search slow
check 'no arguments' fails 2 'want a MODEL'

check 'a sample of 0 is all' run "$mini" --tensor h.5.attn --sample 0 --ratios 1000 --search fast
check 'of them' grep -q '^model.safetensors: 2 matrices' "$dir/out"
check 'an RBE model' fails 2 'an RBE model; codecs wants the original checkpoint' \
    "$root/datasets/embedded/mini-2.89-tuned.rbe"

# An interrupt keeps the rows that were shown, and says that some are missing.
"$rbe" codecs "$mini" -q --ratios 8,16,64,128 --json "$dir/part.jsonl" >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 600); do
    grep -q '^ .*int4' "$dir/out" && break
    sleep 0.05
done
kill -TERM $pid
wait $pid
check 'an interrupt fails' [ $? = 1 ]
check 'says how far it came' grep -q 'interrupted after [1-9][0-9]* of 31 rows' "$dir/err"
check 'keeps its rows' grep -q '"complete":false.*"codec":"int4"' "$dir/part.jsonl"

# On a terminal the bar is taken away before a row is printed: its last drawing, which ends in
# the order to erase the rest, is followed by a return to the left.
if command -v script >/dev/null; then
    script -qec "'$rbe' codecs '$mini' --tensor h.5.attn.c_proj --ratios 8,64" "$dir/seen" \
        >/dev/null </dev/null
    erase=$(printf '\033\\[K')
    check 'a bar on a terminal' grep -aq 'codecs \[#' "$dir/seen"
    check 'no row behind it' [ "$(grep -ac "[a-z0-9]$erase *[0-9-]" "$dir/seen")" = 0 ]
else
    echo 'SKIP the terminal: no script'
fi

finish

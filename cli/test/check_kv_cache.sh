#!/usr/bin/env bash
# check_kv_cache.sh - what the cache of keys and values holds, and that rows say it.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
rbe=${RBE_BIN:?names the folder with the programs}/rbe
export RBE_DATA=$PWD/datasets/embedded
tuned=$RBE_DATA/mini-2.89-tuned.rbe

made() { # ARGUMENT...: what kind of cache
    "$rbe" generate -n 2 --json "$@" 2> "$work/err" | jq -r .kv_cache
}
check 'a checkpoint: f32' [ "$(made rbe-mini)" = f32 ]
check 'an RBE model: int8' [ "$(made "$tuned")" = int8 ]
check 'a checkpoint, as asked' [ "$(made rbe-mini --kv-cache int8)" = int8 ]
check 'an RBE model, as asked' [ "$(made "$tuned" --kv-cache f16)" = f16 ]
check 'another kind' gives 2 "$rbe" generate -n 2 --kv-cache int9
check 'another kind: the reason' grep -q 'int9: f32, f16 or int8' "$work/err"
check 'chat: another kind' gives 2 "$rbe" chat --kv-cache q8
check 'eval: another kind' gives 2 "$rbe" eval perplexity --kv-cache 16

# Of several models the first keeps its default.
"$rbe" synth --shape 1,32,2,64,8192 "$work/m" > "$work/out" 2> "$work/err" || exit 1
head -c 3000 "$RBE_DATA/wiki.test.raw" | iconv -c -f utf-8 -t utf-8 > "$work/text"
two=(--model "$work/m" --model "$work/m" --text "$work/text" -q --json)
caches() { "$rbe" eval "$@" "${two[@]}" 2> "$work/err" | jq -sc "$filter"; }
filter='.[0] | [.base.kv_cache, .model.kv_cache]'
check 'divergence' [ "$(caches divergence --kv-cache int8)" = '["f32","int8"]' ]
"$rbe" eval divergence --kv-cache int8 "${two[@]}" 2> "$work/err" > "$work/rows"
check 'divergence: little, and some' \
    [ "$(jq '.kl.mean > 1e-10 and .kl.mean < 1e-5' "$work/rows")" = true ]
filter='map(.model.kv_cache)'
check 'perplexity' [ "$(caches perplexity --kv-cache f16)" = '["f32","f16","f16"]' ]

# Parts of different ones are not joined.
for i in 1 2; do
    "$rbe" eval perplexity --model "$work/m" --text "$work/text" -q --shard $i/2 \
        --kv-cache int8 --out "$work/$i" > "$work/out" 2> "$work/err"
done
"$rbe" eval perplexity --model "$work/m" --text "$work/text" -q --shard 2/2 --kv-cache f16 \
    --out "$work/other" > "$work/out" 2> "$work/err"
check 'parts of one kind' "$rbe" merge "$work/1" "$work/2" --out "$work/all"
check 'parts of two kinds' gives 1 "$rbe" merge "$work/1" "$work/other" \
    --out "$work/none"
check 'and why' grep -q "another 'kv_cache'" "$work/err"
finish

#!/usr/bin/env bash
# check_special.sh - special tokens in texts, padded vocabularies, and why a tokenizer is none.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
rbe=${RBE_BIN:?names the folder with the programs}/rbe
export RBE_DATA=$PWD/datasets/embedded
mini=$RBE_DATA/rbe-mini

# --- special tokens -------------------------------------------------------------------------
ids() { # ARGUMENT...: of the prompt
    "$rbe" generate -n 1 --json "$@" 2> "$work/err" | jq -c .prompt_ids
}
text='<|endoftext|>the'
check 'generate parses' [ "$(ids -p "$text")" = '[8191,1169]' ]
check 'when asked, too' [ "$(ids -p "$text" --special parse)" = '[8191,1169]' ]
check 'or takes the characters' [ "$(ids -p "$text" --special=text | jq 'index(8191)')" = null ]
check 'and says so' [ "$("$rbe" generate -n 1 --json --special text | jq -r .special)" = text ]
"$rbe" synth --shape 1,32,2,128,8192 "$work/m" > "$work/out" 2> "$work/err" || exit 1
{
    head -c 6000 "$RBE_DATA/wiki.test.raw" | iconv -c -f utf-8 -t utf-8
    for ((i = 0; i < 20; i++)); do echo ' one<|endoftext|>two'; done
} > "$work/text"
rows() { # KIND ARGUMENT...: its rows
    "$rbe" eval "$1" -q --json --model "$work/m" "${@:2}" 2> "$work/err"
}
number() { jq -s "map(select(.kind == \"perplexity\"))[0].$1"; }
plain=$(rows perplexity --text "$work/text")
parse=$(rows perplexity --text "$work/text" --special parse)
check 'a row says text' [ "$(number special <<< "$plain")" = '"text"' ]
check 'a row says parse' [ "$(number special <<< "$parse")" = '"parse"' ]
# "<|endoftext|>" is seven words' tokens, of which one is left.
check 'fewer tokens' [ "$(number scored <<< "$plain")" -gt "$(($(number scored <<< "$parse") + 79))" ]
two=(--model "$work/m" --text "$work/text")
check 'paired rows say it' [ "$(rows perplexity "${two[@]}" --special parse |
    jq -r 'select(.kind == "paired").special')" = parse ]
check 'divergence says it' [ "$(rows divergence "${two[@]}" | jq -r .special)" = text ]
check 'not with a recording' gives 2 "$rbe" eval divergence --model "$work/m" "${two[@]}" \
    --special parse --record "$work/tape"
for command in generate chat 'eval perplexity' 'eval generation' 'eval comprehension' \
    'eval choices' 'eval conversation' 'eval divergence'; do
    read -ra words <<< "$command"
    [ "$command" != 'eval comprehension' ] || words+=("blimp=$work")
    [ "$command" != 'eval choices' ] || words+=(--file "$work")
    check "$command: no third way" gives 2 "$rbe" "${words[@]}" --special both
    check "$command: one line" one_line 'parse or text'
    check "$command: its help" sh -c '"$@" --help | grep -q -- --special' sh "$rbe" "${words[@]}"
done

# Parts of another reading are not joined, and not gone on from.
"$rbe" eval perplexity -q "${two[@]}" --shard 1/2 --out "$work/1" > "$work/out"
"$rbe" eval perplexity -q "${two[@]}" --shard 2/2 --special parse --out "$work/2" > "$work/out"
check 'two readings do not merge' gives 1 "$rbe" merge --out "$work/both" "$work/1" "$work/2"

# --- more rows than tokens ------------------------------------------------------------------
"$rbe" synth --shape 1,32,2,128,9216 "$work/padded" > "$work/out" 2> "$work/err" || exit 1
sed -i 's/"eos_token_id": *[0-9]*/"eos_token_id": 8191/' "$work/padded/config.json"
for seed in 1 2 3; do
    "$rbe" generate "$work/padded" -p the -n 100 -t 100 --ignore-eos --seed $seed --json \
        > "$work/out" 2> "$work/err"
    check 'padding is never sampled' [ "$(jq '(.ids | length) == 100 and (.ids | max) < 8192' \
        "$work/out")" = true ]
done
check 'a padded model is measured' gives 0 "$rbe" eval perplexity -q --model "$work/padded" \
    --text "$work/text"
check 'and talks' gives 0 "$rbe" eval conversation -q --model "$work/padded" --turns 2 \
    --max-tokens 30 --temperature 100

# --- the reason why a tokenizer does not fit ------------------------------------------------
cp -r "$work/m" "$work/broken"
cp "$mini/merges.txt" "$work/broken"
printf '\xef\xbb\xbf{"a": 0}' > "$work/broken/vocab.json"
reason='broken/vocab.json: 1 tokens; a byte-level vocabulary has 257 or more'
check 'generate fails' gives 1 "$rbe" generate "$work/broken" -p the -n 2
check 'with the reason' one_line "$reason"
check 'without a prompt, too' gives 1 "$rbe" generate "$work/broken" -n 2
check 'with the same' one_line "$reason"
check 'as eval does' gives 1 "$rbe" eval perplexity -q --model "$work/broken" --text "$work/text"
check 'in the same words' one_line "$reason"
rm "$work/broken/vocab.json"
echo '{"model": {"type": "Unigram"}}' > "$work/broken/tokenizer.json"
check 'a tokenizer.json of another kind' gives 1 "$rbe" generate "$work/broken" -p the -n 2
check 'is refused by name' one_line 'broken/tokenizer.json: model Unigram is not supported'
"$rbe" synth --shape 1,32,2,128,300 "$work/none" > "$work/out" 2> "$work/err" || exit 1
check 'none at all' gives 1 "$rbe" generate "$work/none" -p the -n 2
check 'says what is looked for' one_line 'needs a tokenizer: .*none: no tokenizer.json'
check 'and is not needed without a prompt' gives 0 "$rbe" generate "$work/none" -n 2
finish

#!/usr/bin/env bash
# check_choices.sh - rbe eval choices, and what --log-samples says of every choice.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
rbe=${RBE_BIN:?names the folder with the programs}/rbe
export RBE_DATA=$PWD/datasets/embedded

cat > "$work/items" << 'END'
{"context": "The river flows into the", "choices": [" sea.", " of.", "\u00e9 \"x\""], "answer": 0, "group": "ends"}

{"context": ["In the middle of the", "In the was of"], "choices": [" city", " city"], "answer": 0, "group": "ways"}
{"context": "", "choices": ["The first", " of of of"], "answer": 1}
END
choices() { "$rbe" eval choices -q -m rbe-mini -m mini-2.89 "$@"; }
check 'scores' gives 0 choices --file "$work/items" --out "$work/rows" --log-samples "$work/samples"
check 'a row a model' [ "$(jq -r '[.model.name, .task, .items] | join(" ")' "$work/rows" | tr '\n' ,)" = \
    'rbe-mini choices 3,mini-2.89-tuned choices 3,' ]
check 'a line a choice and model' [ "$(wc -l < "$work/samples")" = 14 ]
check 'the texts as they stand' [ "$(jq -ac 'select(.choice == 2) | [.context, .continuation, .line]' \
    "$work/samples" | uniq)" = '["The river flows into the","\u00e9 \"x\"",1]' ]
check 'each with its context' [ "$(jq -r 'select(.item == 1) | .context' "$work/samples" | head -n 2 |
    tr '\n' ,)" = 'In the middle of the,In the was of,' ]
# What the rows say follows from the lines.
jq -s 'group_by([.model, .item]) | map({m: .[0].model, i: .[0].item,
    right: (map(select(.right))[0].log_p), others: (map(select(.right | not) | .log_p | exp) | add | log),
    acc: (max_by(.log_p).right), chosen: (map(select(.chosen).right)[0])}) |
    map(. + {odds: (.right - .others)}) | group_by(.m) |
    map({(.[0].m): {acc: map(if .acc then 1 else 0 end), odds: map(.odds), same: map(.acc == .chosen) | all}}) |
    add' "$work/samples" > "$work/from"
for model in rbe-mini mini-2.89-tuned; do
    check "right and wrong, $model" gives 0 jq -e -s --arg m $model '.[0][$m] as $s |
        $s.same and ([.[1:][] | select(.model.name == $m)][0].samples.acc == $s.acc)' \
        "$work/from" "$work/rows"
    check "log odds, $model" gives 0 jq -e -s --arg m $model '.[0][$m].odds as $s |
        [.[1:][] | select(.model.name == $m)][0] |
        ([.samples.log_odds, $s] | transpose | map(.[0] - .[1] | fabs) | max < 1e-6) and
        (.metrics.log_odds.value - ($s | add / length) | fabs < 1e-6)' \
        "$work/from" "$work/rows"
done
check 'the true one is likelier' gives 0 jq -e -s '.[0].samples.acc == [1, 1, 0] and
    .[0].samples.log_odds[0] > 3 and .[0].samples.log_odds[2] < -3' "$work/rows"
check 'paired' gives 0 jq -e -s '(.[1].metrics.log_odds.value - .[0].metrics.log_odds.value -
    .[1].paired.log_odds.change | fabs < 1e-9) and .[1].paired.log_odds.change_se > 0' "$work/rows"
check 'by group, one without a name' [ "$(jq -sc '.[0].groups | keys' "$work/rows")" = '["","ends","ways"]' ]
check 'parts' gives 0 choices --file "$work/items" --shard 1/2 --out "$work/1" --log-samples "$work/s1"
check 'the other' gives 0 choices --file "$work/items" --shard 2/2 --out "$work/2" --log-samples "$work/s2"
check 'join' gives 0 "$rbe" merge --out "$work/whole" "$work/1" "$work/2"
rows() { jq -c 'del(.time_utc, .command, .shards, .machine)' "$1"; }
check 'to the same row' cmp <(rows "$work/whole") <(rows "$work/rows")
check 'and the same samples' cmp <(sort "$work/samples") <(sort "$work/s1" "$work/s2")
check 'another task has them, too' gives 0 "$rbe" eval comprehension -q lambada --limit 2 \
    --log-samples "$work/words"
check 'of each item the word' gives 0 jq -e -s 'length == 2 and all(.right and .task == "lambada" and
    (.continuation | test("^ [^ ]+$")) and .log_p < 0)' "$work/words"
tail -n 1 "$work/items" > "$work/wrong"
check 'odds below nothing' gives 0 choices --file "$work/wrong" --out "$work/below"
check 'are compared, too' gives 0 "$rbe" compare "$work/below" "$work/below"

# A first item without a group, and one after.
for group in '' ', "group": "A"' '' ', "group": "B"'; do
    echo "{\"context\": \"The\", \"choices\": [\" sea\", \" of\"], \"answer\": 0$group}"
done > "$work/first"
one() { "$rbe" eval choices -q -m rbe-mini "$@"; }
check 'the first without a group' gives 0 one --file "$work/first" --out "$work/groups"
check 'is in none' [ "$(jq -c '[.group_names, .samples.group, (.groups | map_values(.items))]' \
    "$work/groups")" = '[["","A","B"],[0,1,0,2],{"":2,"A":1,"B":1}]' ]

# What else a line says: tokens that were scored, characters, tokens left out; by the model
# itself, what is its most likely continuation.
check 'tokens and characters' [ "$(jq -sc 'map([.tokens, .characters]) | .[:7]' "$work/samples")" = \
    '[[2,4],[2,3],[4,5],[1,4],[1,4],[2,9],[3,8]]' ]
check 'none left out' gives 0 jq -es 'all(.cut == 0)' "$work/samples"
likely() { "$rbe" generate -m rbe-mini --temperature 0 -p 'The river flows into the' -n "$1" --json |
    jq .text; }
echo "{\"context\": \"The river flows into the\", \"answer\": 0, \"choices\": [\" sea.\",
    $(likely 1), \" sea of\", $(likely 3)]}" | tr -d '\n' > "$work/likely"
# 600 tokens and one, of which 513 are read.
printf '\n{"context": "The%s", "answer": 0, "choices": [" sea", " of"]}\n' \
    "$(printf ' of%.0s' $(seq 599))" >> "$work/likely"
check 'the most likely tokens' gives 0 one --file "$work/likely" --log-samples "$work/greedy"
check 'are greedy' [ "$(jq -c 'select(.item == 0) | .greedy' "$work/greedy" | tr '\n' ,)" = \
    'false,true,false,true,' ]
check 'a context is cut' [ "$(jq -c 'select(.item == 1) | [.tokens, .cut]' "$work/greedy" | tr '\n' ,)" = \
    '[1,88],[1,88],' ]

# Names that are no UTF-8 stand as in the rows; groups cannot write to the terminal.
odd=$work/$'odd\xff.jsonl'
printf '{"context": "The", "choices": [" sea", " of"], "answer": 0, "group": "%s|a"}\n' \
    '\u001b[2J\u009b2J\n' > "$odd"
cp datasets/embedded/mini-2.89-tuned.rbe "$work/"$'m\xff.rbe'
check 'odd names' gives 0 "$rbe" eval choices -q -m "$work/"$'m\xff.rbe' -m rbe-mini --file "$odd" \
    --tokenizer datasets/embedded/rbe-mini --out "$work/named" --log-samples "$work/lines"
check 'are those of the rows' [ "$(jq -sc 'map([.model.name, .text.name])' "$work/named")" = \
    "$(jq -sc 'map([.model, .file]) | [.[0], .[2]]' "$work/lines")" ]
check 'with the byte' grep -qF '"file":"odd\\xFF.jsonl"' "$work/lines"
check 'a group for a terminal' grep -qF '    ?[2J?2J?|a  ' "$work/out"
check 'and no other' [ "$(jq -s '.[0].group_names | length' "$work/named")" = 1 ]
check 'another table' gives 0 one --file "$odd" --output md
check 'of it' grep -qF '| groups.?[2J?2J \|a.acc |' "$work/out"

# BLiMP's paradigms are files.
mkdir "$work/blimp"
for paradigm in late early; do
    printf '{"sentence_good": "The sea is wide.", "sentence_bad": "The sea are wide.", "UID": "%s"}\n' \
        $paradigm > "$work/blimp/$paradigm.jsonl"
done
check 'a folder' gives 0 "$rbe" eval comprehension -q "blimp=$work/blimp" --log-samples "$work/pairs"
check 'each with its file' [ "$(jq -c '[.file, .line, .item]' "$work/pairs" | uniq | tr '\n' ,)" = \
    '["early.jsonl",1,0],["late.jsonl",1,1],' ]

# --- what cannot be finished ---------------------------------------------------------------
# Files can be no longer than a row, as on a full disk: the rows stand, and the samples that
# were there before.
for _ in 1 2 3 4 5 6 7 8; do
    echo '{"context": "", "choices": [" sea", " of", " a", " in", " on", " at"], "answer": 0}'
done > "$work/eight"
echo before > "$work/kept"
full() { # full BLOCKS FILE...: the limit, in blocks of bash
    local blocks=$1
    shift
    (trap '' XFSZ && ulimit -f "$blocks" && one "${@/#/--file=}" --out "$work/saved" \
        --log-samples "$work/kept")
}
check 'no room for samples' refuses 1 'kept: cannot write: File too large$' full 6 "$work/eight" \
    "$work/wrong"
check 'both tables' [ "$(grep -c '^choices' "$work/out")" = 2 ]
check 'both rows' [ "$(jq -c .items "$work/saved" | tr '\n' ,)" = 8,1, ]
check 'the samples of before' [ "$(cat "$work/kept")" = before ]
check 'nothing else' [ -z "$(find "$work" -name 'kept.*')" ]

# How long the start takes is not known, so Ctrl-C is tried later and later.
for _ in $(seq 50); do
    cat "$work/eight"
done > "$work/many"
broken_off() {
    local delay pid
    for delay in 0.2 0.4 0.8 1.6 3.2 6.4; do
        rm -f "$work/part"
        "$rbe" eval choices -q -m rbe-mini -m mini-2.89 --file "$work/many" --out "$work/part" \
            --log-samples "$work/kept" > "$work/out" 2> "$work/err" &
        pid=$!
        sleep $delay
        kill -INT $pid
        wait $pid
        [ $? = 1 ] && jq -es 'length == 2 and all(.complete == false)' "$work/part" \
            > "$work/yes" 2>&1 && return
    done
    return 1
}
check 'Ctrl-C' broken_off
check 'is one line' one_line 'interrupted after [1-9][0-9]* of 400 items; --resume, without --log-samples, goes on$'
check 'the samples of both' [ "$(jq -s 'length' "$work/kept")" = $((12 * $(jq -s '.[0].items' "$work/part"))) ]
check 'are those of the rows' gives 0 jq -es --slurpfile rows "$work/part" \
    'map(select(.right)) | group_by(.model) | map(map(if .chosen then 1 else 0 end)) as $acc |
    ($rows | sort_by(.model.name) | map(.samples.acc)) == $acc' "$work/kept"

check 'by --tasks' gives 0 "$rbe" eval -q --tasks "choices=$work/items" --json

# --- what is refused ------------------------------------------------------------------------
check 'no file' refuses 2 'wants --file' choices
check 'none there' refuses 1 'absent' choices --file "$work/absent"
{ head -n 1 "$work/items" && echo '{"context": "a", "choices": [" b", " c"], "answer": 5}'; } > "$work/bad"
check 'a bad line' refuses 1 'bad: line 2: "answer" is no integer from 0 to 1' choices \
    --file "$work/bad" --log-samples "$work/none"
check 'nothing was written' [ ! -e "$work/none" ]
check 'a bad file after a good one' refuses 1 'bad: line 2' one --file "$work/items" --file "$work/bad" \
    --out "$work/unscored"
check 'one too small for the shard' refuses 2 'only 1 items to share' one --file "$work/items" \
    --file "$work/wrong" --shard 1/2 --out "$work/unscored"
check 'nothing was scored' [ ! -s "$work/unscored" ]
item() { echo "{\"context\": \"a\", \"choices\": [\" b\", \" c\"], \"answer\": $1}" > "$work/item"; }
item 1.0
check 'half an answer' refuses 1 'line 1: "answer" is no integer from 0 to 1$' one --file "$work/item"
item '0, "answer": 1'
check 'two answers' refuses 1 'line 1: duplicate object key near .*"answer"' one --file "$work/item"
check 'items without a name' refuses 2 "choices: --file '': a file needs a name$" one --file ''
check 'samples without a name' refuses 2 "choices: '': cannot write: a file needs a name$" one \
    --file "$work/items" --log-samples ''
check 'samples over the items' refuses 2 items choices --file "$work/items" --log-samples "$work/items"
check 'samples over the rows' refuses 2 rows choices --file "$work/items" --out "$work/rows" \
    --log-samples "$work/rows"
check 'samples and rows that are there' refuses 2 'not together with --resume' choices \
    --file "$work/items" --out "$work/rows" --log-samples "$work/none" --resume
finish

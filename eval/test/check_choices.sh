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
check 'by --tasks' gives 0 "$rbe" eval -q --tasks "choices=$work/items" --json

# --- what is refused ------------------------------------------------------------------------
check 'no file' refuses 2 'wants --file' choices
check 'none there' refuses 1 'absent' choices --file "$work/absent"
{ head -n 1 "$work/items" && echo '{"context": "a", "choices": [" b", " c"], "answer": 5}'; } > "$work/bad"
check 'a bad line' refuses 1 'bad: line 2: "answer" is no number from 0 to 1' choices \
    --file "$work/bad" --log-samples "$work/none"
check 'nothing was written' [ ! -e "$work/none" ]
check 'samples over the items' refuses 2 items choices --file "$work/items" --log-samples "$work/items"
check 'samples over the rows' refuses 2 rows choices --file "$work/items" --out "$work/rows" \
    --log-samples "$work/rows"
check 'samples and rows that are there' refuses 2 'not together with --resume' choices \
    --file "$work/items" --out "$work/rows" --log-samples "$work/none" --resume
finish

#!/usr/bin/env bash
# check_terminal.sh - models by name, what stands at a terminal, hints, one meaning of -t, and the
# history of a chat.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
bin=${RBE_BIN:?folder with the program rbe}
rbe=$bin/rbe
cd "$work" || exit 1
unset NO_COLOR
export TERM=xterm COLUMNS=80

# --- models by name -------------------------------------------------------------------------
check 'models' gives 0 "$rbe" models --json
cp out models.json
check 'what ships is here' jq -e 'map(select(.ships and (.bytes > 1e6) and .path)) | length == 2' \
    models.json > jq.out
check 'and what does not is not' jq -e 'map(select(.name == "gpt2" and .path == null)) |
    length == 1' models.json > jq.out
say() { "$rbe" generate "$@" -p 'The city' -n 4 --temperature 0 -t 1; }
path=$(jq -r '.[] | select(.name == "mini-2.89").path' models.json)
say "$path" > by_path
say mini-2.89 > by_name
say > by_default
say rbe-mini > other
check 'a name is its file' cmp -s by_path by_name
check 'the RBE model is the default' cmp -s by_path by_default
check 'behind -m, too' cmp -s by_path <(say -m mini-2.89)
check 'not twice' refuses 2 'already named' say -m mini-2.89 rbe-mini
check 'a text is no model' refuses 2 'a prompt is given by -p' "$rbe" generate 'The city'
check 'nor behind a model' refuses 2 'a prompt is given by -p' "$rbe" generate mini-2.89 city
check 'rbe-run takes names, too' cmp -s by_path <("$bin/rbe-run" generate mini-2.89 -p 'The city' \
    -n 4 --temperature 0 -t 1)
mkdir rbe-mini
check 'what is there goes before a name' refuses 1 'rbe-mini' "$rbe" info rbe-mini
rmdir rbe-mini
check 'a fetched one goes by its name' refuses 1 'rbe fetch gpt2 brings it' "$rbe" info gpt2
"$rbe" synth data/gpt2 --shape 2,64,2,256,50257
check 'once it is fetched' gives 0 "$rbe" info gpt2
mkdir below
check 'also further below' gives 0 env -C below "$rbe" info gpt2
check 'of several models' gives 0 "$rbe" eval perplexity -q -m rbe-mini -m mini-2.89 --windows 1 \
    --context 16 --json
check 'both are there' test "$(jq -rs 'map(select(.kind == "perplexity").model.name) | join(" ")' out)" = \
    'rbe-mini mini-2.89-tuned'
check 'no such name' refuses 1 "rbe info: mini-2.98: .*did you mean 'mini-2.89'.*names: mini" \
    "$rbe" info mini-2.98
check 'no name at all' refuses 1 'names: mini' "$rbe" chat -m whatever
check 'a path is a path' refuses 1 'No such file' "$rbe" info ./mini-2.89
check 'an empty one' gives 1 "$rbe" info ''
check 'the output of a command is no name' gives 0 "$rbe" convert rbe-mini gpt2.rbe --codec int8 -q
check 'nothing that ships' refuses 1 'set RBE_DATA' env RBE_DATA="$work" "$rbe" generate

# --- hints ----------------------------------------------------------------------------------
check 'a command' refuses 2 "'infoo' (did you mean 'info'?); valid: " "$rbe" infoo
check 'an evaluation' refuses 2 "(did you mean 'perplexity'?)" "$rbe" eval perplex
check 'hidden ones are not named' test -z "$(grep worker err)"
check 'nothing near' refuses 2 "'zzzzzz'; valid" "$rbe" zzzzzz
check 'an option' refuses 2 "(did you mean '--temperature'?)" "$rbe" chat --temprature 1
check 'a profile' refuses 2 "(did you mean 'mini-2.89'?)" "$rbe" convert rbe-mini a.rbe -p mini-289
check 'a codec' refuses 2 "codec 'in4' (did you mean 'int4'?)" "$rbe" convert rbe-mini a.rbe \
    --codec in4
check 'a training profile' refuses 2 "(did you mean 'linear'?)" "$rbe" tune rbe-mini mini-2.89 \
    a.rbe -p lineer
check 'a protocol' refuses 2 "(did you mean 'hf-stride'?)" "$rbe" eval perplexity -p hf-strid
check 'a data set' refuses 2 "(did you mean 'gpt2'?)" "$rbe" fetch gpt3
check 'a shell' refuses 2 "(did you mean 'bash'?)" "$rbe" completion bsh
check 'a task of an evaluation' refuses 2 "rbe eval comprehension lambada" "$rbe" eval lambada
check 'a kernel kind' refuses 2 "(did you mean 'product'?)" "$bin/rbe-bench" --kinds produkt

# --- -t is threads --------------------------------------------------------------------------
for c in chat demo convert codecs tune generate 'eval perplexity' 'eval inference' 'eval edge' \
    'eval comprehension' 'eval choices' 'eval conversation' 'eval divergence' 'eval generation' \
    'eval sustained' 'eval worker'; do
    # shellcheck disable=SC2086 # a command and its subcommand
    check "-t of $c" grep -q -- '-t, --threads=N' <("$rbe" $c --help)
done
check 'no other -t' test 0 = "$(for c in merge fetch report compare gate trend info synth export; do
    "$rbe" $c --help; done | grep -c -- '^ *-t,')"
check '-j says what to write' refuses 2 'generate: -j: -t N are threads' "$rbe" generate -j 2
check 'a temperature behind -t, too' refuses 2 'temperature is --temperature' \
    "$rbe" generate -t 0.8
check 'greedy by -t 0 is no silent change' refuses 2 "'0' is out of range" "$rbe" generate -t 0

# --- evaluations by name --------------------------------------------------------------------
check 'tasks are listed' gives 0 "$rbe" eval --tasks list
check 'all of them' test "$(cut -d' ' -f1 out | tr '\n' ' ')" = \
    'perplexity inference divergence edge sustained conversation generation lambada hellaswag winogrande blimp choices '
check 'an unknown one' refuses 2 "task 'lambda' (did you mean 'lambada'?)" "$rbe" eval --tasks lambda
check 'an option that is near' refuses 2 "did you mean '--tasks'" "$rbe" eval --task edge
check 'no task' refuses 2 'no task' "$rbe" eval --tasks ''
mkdir -p data/winogrande
echo '{"sentence":"A man saw a dog and _ ran.","option1":"he","option2":"it","answer":"1"}' \
    > data/winogrande/dev.jsonl
echo '{"text":"The city is near the river"}' > own.jsonl
check 'several' gives 0 "$rbe" eval -m mini-2.89 --tasks=edge,winogrande,lambada=own.jsonl --json -q
check 'each one' test "$(jq -rs 'map(.task // .kind) | join(" ")' out)" = 'edge winogrande lambada'
check 'what one of them has not' gives 2 "$rbe" eval --tasks lambada --windows 1
check 'data that are not here' refuses 1 'rbe fetch hellaswag/' "$rbe" eval comprehension hellaswag

# --- output for other programs --------------------------------------------------------------
two=(eval perplexity -q -m rbe-mini -m mini-2.89 --windows 1 --context 16)
check 'CSV' gives 0 "$rbe" "${two[@]}" --output csv
check 'a line of titles, a line a row' test "$(wc -l < out)" = 4
check 'the titles are paths' grep -q '^schema,kind,.*,model\.name,.*,perplexity,' out
check 'JSON' gives 0 "$rbe" "${two[@]}" --output json
check 'is one list' test "$(jq -r 'map(.kind) | join(" ")' out)" = 'perplexity perplexity paired'
check 'jsonl' gives 0 "$rbe" "${two[@]}" --output jsonl
check 'is --json' test "$(jq -r .kind out | tr '\n' ' ')" = 'perplexity perplexity paired '
check 'Markdown' gives 0 "$rbe" "${two[@]}" --output md
check 'a table a kind' test "$(grep -c '^|---' out)" = 2
check 'SQL' gives 0 "$rbe" "${two[@]}" --output sql
check 'a table a kind, too' test "$(grep -c '^CREATE' out)" = 2
check 'another form' refuses 2 "did you mean 'jsonl'" "$rbe" "${two[@]}" --output jsnl
check 'a form as a file' refuses 2 '--output md prints' "$rbe" "${two[@]}" -o md
check 'none is made' test ! -e md
check 'the same of benches' refuses 2 '--output csv prints' "$bin/rbe-bench" -o csv
check 'two at once' gives 2 "$rbe" "${two[@]}" --output csv --json
check 'of benches' gives 0 "$bin/rbe-bench" --kinds probe --threads 1 --min-time 0.001 \
    --probe-time 0.001 --set-limit 8 --output json
check 'with the columns of the table' jq -e 'length > 1 and all(.kind == "probe" and .ns_median > 0)' \
    out > jq.out
check 'no such form of benches' refuses 2 '--output foo' "$bin/rbe-bench" --output foo

# --- help, manual pages ---------------------------------------------------------------------
check 'the worker is in no list' test -z "$("$rbe" eval --help | grep worker)"
check 'nor in completion' test -z "$("$rbe" completion bash | grep worker)"
check 'it runs all the same' gives 0 "$rbe" eval worker -m mini-2.89 --prompt 2 --tokens 2 -t 1
for c in chat demo models convert codecs export merge fetch report compare gate trend generate \
    info synth tune completion 'eval perplexity' 'eval inference' 'eval divergence' 'eval edge' \
    'eval sustained' \
    'eval comprehension' 'eval choices' 'eval conversation' 'eval generation'; do
    # shellcheck disable=SC2086 # a command and its subcommand
    check "$c has examples in its page" grep -q '^.SH EXAMPLES' <("$rbe" man $c)
    # shellcheck disable=SC2086
    "$rbe" $c --help | sed '/^Examples:/,$d' > help
    check "no line of $c --help is too wide" test -z "$(awk 'length > 96' help)"
    check "no heading of $c --help stands alone" test -z "$(grep -A1 '^[A-Z][a-z]*:$' help | grep '^$')"
done
for p in rbe rbe-run rbe-serve rbe-bench; do
    check "no line of $p --help is too wide" test -z \
        "$("$bin/$p" --help | sed '/^Examples:/,$d' | awk 'length > 96')"
done
check 'an option that is refused is not shown' test -z "$("$rbe" eval edge --help | grep -e --shard)"
check 'those of all commands have them' test 3 = "$({ "$rbe" man; "$rbe" man eval
    "$bin/rbe-run" man; } | grep -c '^.SH EXAMPLES')"
"$rbe" man examples short > short.sh
"$rbe" man examples long > long.sh
check 'the examples are those of a shell' bash -n short.sh
check 'the long ones too' bash -n long.sh
check 'enough of them are run' test "$(grep -c '^[^#]' short.sh)" -gt 15

# --- at a terminal --------------------------------------------------------------------------
check 'rbe alone, no terminal' gives 2 "$rbe"
check 'says how it is called' grep -q '^Usage: rbe' err
if ! command -v script > null; then
    echo 'SKIP a terminal: no script(1)'
    finish
    exit
fi
# terminal FILE COMMAND: what it says on a terminal, its input the file.
terminal() { script -qec "$2" null < "$1" > out 2> err; }
check 'rbe alone, at a terminal' terminal null "$rbe"
check 'three things' test 3 = "$(grep -c 'rbe \(demo\|chat\|convert\)' out)"
check 'in colour' grep -q $'\033\\[1m' out
check 'without colours' terminal null "NO_COLOR=1 $rbe"
check 'none' test -z "$(grep $'\033' out)"
check 'a dumb terminal' terminal null "TERM=dumb $rbe"
check 'has none' test -z "$(grep $'\033' out)"
check 'no colours in a file' gives 0 "$rbe" demo -n 4 -t 1 -p 'The river'
check 'really none' test -z "$(grep $'\033' out)"
check 'both models' grep -q 'original: rbe-mini.*RBE: mini-2.89' out
check 'both sizes' grep -q '23.43 MB.*4.23 MB: 5.5 times smaller' out
check 'both speeds' test 2 = "$(grep -o 'ms a token' out | wc -l)"
check 'both texts' test 2 = "$(grep -o 'The river' out | wc -l)"
check 'as JSON' gives 0 "$rbe" demo -n 4 -t 1 --json
check 'both' jq -e 'length == 2 and all(.tokens <= 4 and .ms_per_token > 0)' out > jq.out

# --- history --------------------------------------------------------------------------------
export XDG_STATE_HOME=$work/state
chat="$rbe chat --max-tokens 2 -t 1"
printf 'Where is the river?\n/quit\n' > first
printf 'Who is there?\n/quit\n' > second
check 'a chat' terminal first "$chat"
kept=$XDG_STATE_HOME/rbe/chat-history
check 'its question is kept' grep -q 'Where.*river' "$kept"
check 'for its owner only' test "$(stat -c %a "$kept" "$XDG_STATE_HOME/rbe" | tr '\n' ' ')" = \
    '600 700 '
check 'another chat' terminal second "$chat"
check 'adds to it' test 2 = "$(grep -c 'Where.*river\|Who.*there' "$kept")"
check 'nothing else is left there' test "$(ls "$XDG_STATE_HOME/rbe")" = chat-history
cp "$kept" before
check 'one that keeps nothing' terminal first "$chat --no-history"
check 'kept nothing' cmp -s "$kept" before
echo 'no history' > "$kept"
check 'a file that is none' terminal first "$chat"
check 'is replaced' grep -q 'Where.*river' "$kept"
{ head -c 3000 /dev/zero | tr '\0' x; printf '\nWho?\n/quit\n'; } > third
check 'an error does not end one' terminal third "$chat"
check 'nor is it in its exit status' grep -q 'do not fit a context' out
check 'no terminal, no history' gives 0 env XDG_STATE_HOME="$work/none" "$rbe" chat -t 1
check 'none was made' test ! -e none
finish

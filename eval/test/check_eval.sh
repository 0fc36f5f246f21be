#!/usr/bin/env bash
# check_eval.sh - rbe eval on the command line: shards, resuming, bad input.
#
# SPDX-License-Identifier: MIT
#
# RBE_BIN names the folder with the programs.  A short piece of the embedded text and, where what
# a model says does not matter, one of generated weights keep every run at a fraction of a second.
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
export RBE_DATA=$PWD/datasets/embedded
rbe=${RBE_BIN:?names the folder with the programs}/rbe
mini=$RBE_DATA/rbe-mini model=$work/small

ok() { check "$1" gives 0 "${@:2}"; } # WHAT COMMAND...

# fails STATUS PATTERN COMMAND...: exits so, with one line on stderr that names the command
# once and matches.
fails() {
    local status=$1 pattern=$2
    shift 2
    check "exit $status, '$pattern': $*" refuses "$status" "^rbe [a-qs-z].*$pattern" "$@"
}

# Lines without what may differ between runs: times, command lines, the machine's load.
same() {
    local f
    for f in "$1" "$2"; do
        sed -E 's/"(time_utc|command)":"([^"\\]|\\.)*",?//g
                s/"(seconds|tokens_per_s|time_ratio|oversubscribed)":[^,}]*,?//g
                s/,?"shards":[0-9]+//g' "$f" | sort > "$f.plain"
    done
    cmp "$1.plain" "$2.plain"
}

other=$work/int4.rbe
ok 'a small model' "$rbe" synth "$model" --shape 2,64,2,512,8192
cp "$mini"/{merges.txt,vocab.json} "$model"
ok 'a second one' "$rbe" convert "$model" "$other" --profile int4 --quiet
ok 'one of rbe-mini' "$rbe" convert "$mini" "$work/mini4.rbe" --profile int4 --quiet
head -c 12000 "$RBE_DATA/wiki.test.raw" > "$work/text"
grep -v '^[[:space:]]*$' "$RBE_DATA/wiki.test.raw" | head -n 40 | tr -d '"\134' | cut -c 2-160 |
    sed 's/ *$//; s/.*/{"text": "&"}/' | grep ' [^ ]*"}$' | head -n 9 > "$work/lambada.jsonl"
# On a slow machine, too, nothing is saved on the way.
evaluate() {
    local rare=()
    [ "$1" != perplexity ] || rare=(--checkpoint 9999)
    "$rbe" eval "$1" "${rare[@]}" "${@:2}" --quiet --threads 1
}

two=(--model "$model" --model "$other" "lambada=$work/lambada.jsonl")

# --- shards join to the unsharded result, bit for bit ---------------------------------------
pair=(--model "$model" --model "$other" --text "$work/text")
real=(--model "$mini" --model "$work/mini4.rbe" --text "$work/text")
ok 'perplexity, whole' evaluate perplexity "${pair[@]}" --context 256 --out "$work/whole"
for i in 1 2 3 4; do
    ok "perplexity, shard $i" evaluate perplexity "${pair[@]}" --context 256 --shard $i/4 \
        --out "$work/part$i"
done
ok 'merge perplexity' "$rbe" merge --out "$work/joined" "$work"/part[3142]
ok 'joined perplexity is the whole' same "$work/whole" "$work/joined"
ok 'divergence, whole' evaluate divergence "${pair[@]}" --out "$work/dwhole"
for i in 1 2 3; do
    ok "divergence, shard $i" evaluate divergence "${pair[@]}" --shard $i/3 \
        --out "$work/dpart$i"
done
ok 'merge divergence' "$rbe" merge --out "$work/djoined" "$work"/dpart?
ok 'joined divergence is the whole' same "$work/dwhole" "$work/djoined"
ok 'divergence in windows of 128' evaluate divergence "${pair[@]}" --context 128 --windows 3 \
    --out "$work/narrow"
ok 'tells so' jq -e '.context == 128 and .tokens == 381' "$work/narrow"
for what in divergence comprehension; do
    args=("${pair[@]}")
    [ $what = divergence ] || args=("${two[@]}")
    ok "$what on two threads" "$rbe" eval $what "${args[@]}" --quiet --threads 2 \
        --out "$work/$what-two"
    sed 's/"threads":2/"threads":1/' "$work/$what-two" > "$work/$what-two1"
done
ok 'divergence does not depend on threads' same "$work/dwhole" "$work/divergence-two1"

# Intervals of fewer draws than usual join as well.
for i in 1 2; do
    ok "fewer draws, shard $i" evaluate perplexity "${pair[@]}" --resamples 130 --shard $i/2 \
        --out "$work/rpart$i"
done
ok 'fewer draws, whole' evaluate perplexity "${pair[@]}" --resamples 130 --out "$work/rwhole"
ok 'merge fewer draws' "$rbe" merge --out "$work/rjoined" "$work"/rpart[12]
ok 'joined is the whole, with its draws' same "$work/rwhole" "$work/rjoined"

# Parts of a limited run join to that run; those of two limits, or of none, are told apart.
for what in perplexity divergence comprehension; do
    limited=("${pair[@]}" --context 128 --windows 5)
    [ $what != comprehension ] || limited=("${two[@]}" --limit 5)
    ok "$what, limited" evaluate $what "${limited[@]}" --out "$work/lwhole-$what"
    for i in 1 2; do
        ok "$what, limited, shard $i" evaluate $what "${limited[@]}" --shard $i/2 \
            --out "$work/lpart$i-$what"
    done
    ok "merge limited $what" "$rbe" merge --out "$work/ljoined-$what" "$work"/lpart[21]-$what
    ok "joined, limited $what is the whole" same "$work/lwhole-$what" "$work/ljoined-$what"
    fails 1 'missing (of 5)' "$rbe" merge --out "$work/bad" "$work/lpart1-$what"
    limited[${#limited[@]} - 1]=4
    ok "$what, limited otherwise" evaluate $what "${limited[@]}" --shard 2/2 \
        --out "$work/lother-$what"
    fails 1 "missing.*another 'limit" "$rbe" merge --out "$work/bad" \
        "$work/lpart1-$what" "$work/lother-$what"
done

# --- the original's predictions from a file ---------------------------------------------------
ok 'recording' evaluate divergence "${real[@]}" --windows 2 --record "$work/tape" \
    --out "$work/taped"
ok 'a model to keep' cp "$other" "$work/kept.rbe"
fails 1 'kept.rbe: exists and is not a recording' evaluate divergence "${real[@]}" --windows 2 \
    --record "$work/kept.rbe"
ok 'is kept' cmp "$other" "$work/kept.rbe"
rm "$work/kept.rbe"
ok 'from the recording' evaluate divergence "${real[@]}" --windows 2 --recorded "$work/tape" \
    --out "$work/taped"
ok 'is said' grep -q '"recorded":"F16"' "$work/taped"
# Half precision: every mean within a thousandth of the direct one.
close() {
    grep -o '"kl":{"mean":[^,]*' "$1" | sed 's/.*://' |
        awk 'NR == 1 { a = $1 } NR == 2 { d = $1 / a - 1; exit !(d * d < 1e-6 && a > 0) }
             END { if (NR < 2) exit 1 }'
}
ok 'and the same but for rounding' close "$work/taped"
fails 1 'another model' evaluate divergence --model "$work/mini4.rbe" --model "$mini" \
    --text "$work/text" --windows 2 --recorded "$work/tape"
fails 1 'another text' evaluate divergence "${real[@]:0:4}" --windows 2 --recorded "$work/tape"
fails 1 '2 windows, 3' evaluate divergence "${real[@]}" --windows 3 --recorded "$work/tape"
head -c 9000000 "$work/tape" > "$work/cut"
fails 1 'cut off' evaluate divergence "${real[@]}" --windows 2 --recorded "$work/cut"
# One bit in the middle; a file of the format without checksums.
middle=$(($(stat -c %s "$work/tape") / 2))
cp "$work/tape" "$work/cut"
byte=$(od -An -tu1 -j $middle -N 1 "$work/tape")
printf "\\x$(printf %x $((byte ^ 16)))" |
    dd of="$work/cut" bs=1 seek=$middle conv=notrunc status=none
fails 1 "$work/cut: damaged" evaluate divergence "${real[@]}" --windows 2 --recorded "$work/cut"
LC_ALL=C sed '1s/rbe-logits-2/rbe-logits-1/' "$work/tape" > "$work/cut"
fails 1 "$work/cut: .* rbe-logits-1" evaluate divergence "${real[@]}" --windows 2 \
    --recorded "$work/cut"
fails 1 'not a recording' evaluate divergence "${real[@]}" --recorded "$work/text"
fails 2 'no --shard' evaluate divergence "${real[@]}" --recorded "$work/tape" --shard 1/2

ok 'comprehension, whole' evaluate comprehension "${two[@]}" --out "$work/cwhole"
for i in 1 2; do
    ok "comprehension, shard $i" evaluate comprehension "${two[@]}" --shard $i/2 \
        --out "$work/cpart$i"
done
ok 'merge comprehension' "$rbe" merge --out "$work/cjoined" "$work"/cpart?
ok 'joined comprehension is the whole' same "$work/cwhole" "$work/cjoined"
ok 'comprehension does not depend on threads' same "$work/cwhole" "$work/comprehension-two1"

# Sequences: times differ from run to run, so the joined row is compared with its own samples,
# and what does not depend on time with the whole run.
seq=(inference "${pair[@]:0:4}" --sequences 5 --length 12 --prompt 8 --no-child)
ok 'sequences, whole' evaluate "${seq[@]}" --out "$work/swhole"
for i in 1 2; do
    ok "sequences, shard $i" evaluate "${seq[@]}" --shard $i/2 --out "$work/spart$i"
done
ok 'merge sequences' "$rbe" merge --out "$work/sjoin" "$work"/spart[21]
tokens() { grep -o '"first_token":[^]]*]' "$1"; }
cut_samples() { grep -o "\"$1\":\[[^]]*]" "$2" | sed 's/.*\[//; s/]//' | paste -sd, -; }
ok 'the same sequences' test "$(tokens "$work/swhole")" = "$(tokens "$work/sjoin")"
for row in 1 2; do
    ok "the parts' times in order, row $row" test \
        "$(cut_samples prefill_ms <(sed -n ${row}p "$work/sjoin"))" = \
        "$(cut_samples prefill_ms <(sed -n ${row}p "$work/spart1"; sed -n ${row}p "$work/spart2"))"
done
ok 'complete' test "$(grep -c '"sequences":5.*"complete":true' "$work/sjoin")" = 2
sed -i 's/,"shards":2//' "$work/sjoin"
ok 'merge again' "$rbe" merge --out "$work/sagain" "$work/sjoin"
ok 'all of it follows from the samples' same "$work/sjoin" "$work/sagain"

# Seven prompts: parts of different sizes, samples from two of them.
gen=(generation "${pair[@]}" --prompts 7 --tokens 6 --prompt 8 --samples 5)
ok 'generation, whole' evaluate "${gen[@]}" --out "$work/gwhole"
ok 'generation on two threads' "$rbe" eval "${gen[@]}" --quiet --threads 2 --out "$work/gtwo"
for n in 2 3; do
    for ((i = 1; i <= n; i++)); do
        ok "generation, shard $i of $n" evaluate "${gen[@]}" --shard $i/$n \
            --out "$work/gpart$n$i"
    done
    ok "merge $n parts of generation" "$rbe" merge --out "$work/gjoined$n" "$work/gpart$n"?
    ok "joined generation is the whole, $n parts" same "$work/gwhole" "$work/gjoined$n"
done
ok 'a part says so' grep -q '"complete":false' "$work/gpart31"
sed 's/"threads":2/"threads":1/' "$work/gtwo" > "$work/gtwo1"
ok 'generation does not depend on threads' same "$work/gwhole" "$work/gtwo1"
evaluate "${gen[@]}" --shard 2/2 --seed 5 --out "$work/gseed" > "$work/out"
fails 1 'generation of int4 .*prompts from 3 on are missing' "$rbe" merge --out "$work/bad" \
    "$work/gpart21" "$work/gseed"
fails 1 'prompts from 2 on are missing' "$rbe" merge --out "$work/bad" "$work"/gpart3[13]
cp "$work/gpart32" "$work/gagain"
fails 1 'prompts 2 to 3 are there twice' "$rbe" merge --out "$work/bad" "$work"/gpart3? \
    "$work/gagain"
sed 's/"alone":\[[^,]*,/"alone":[/' "$work/gpart22" > "$work/gshort"
fails 1 'without its samples' "$rbe" merge --out "$work/bad" "$work/gpart21" "$work/gshort"
fails 2 'only 7 prompts to share' evaluate "${gen[@]}" --shard 1/8
fails 2 'windows to share' evaluate divergence "${pair[@]}" --shard 1/900
fails 2 'windows to share' evaluate perplexity "${pair[@]}" --shard 1/900
fails 2 'only 9 items to share' evaluate comprehension "${two[@]}" --shard 1/10
fails 2 'only 5 sequences to share' evaluate "${seq[@]}" --shard 1/6
fails 2 'only 2 windows to share' evaluate divergence "${pair[@]}" --windows 2 --shard 1/3
fails 2 'only sequences have parts' evaluate inference --shard 1/2
fails 2 'has no parts' evaluate conversation --shard 1/2
fails 2 'has no parts' evaluate edge --shard 1/2

fails 1 'missing' "$rbe" merge --out "$work/bad" "$work"/part[124]
fails 2 'named twice' "$rbe" merge --out "$work/bad" "$work/part1" "$work/part1"
cp "$work/part2" "$work/again"
fails 1 'twice' "$rbe" merge --out "$work/bad" "$work"/part? "$work/again"
sed 's/\("text":{"name":"[^"]*","sha256":"\)..../\1beef/' "$work/part3" > "$work/other"
fails 1 'missing' "$rbe" merge --out "$work/bad" "$work"/part[124] "$work/other"
sed 's/"commit":[^,]*,/"commit":"0123abc",/' "$work/part3" > "$work/other"
fails 1 'other of commit 0123abc' "$rbe" merge --out "$work/bad" "$work"/part[124] "$work/other"
sed 's/"kl":\[[^]]*]/"kl":[]/' "$work/dpart3" > "$work/other"
fails 1 "$work/other: .*samples.kl" "$rbe" merge --out "$work/bad" "$work"/dpart[12] "$work/other"
ok 'nothing was written by refused merges' test ! -e "$work/bad"

# --- an interrupted run goes on ---------------------------------------------------------------
ok 'two windows' evaluate perplexity "${pair[@]}" --context 256 --windows 2 --out "$work/resume"
ok 'the rest' evaluate perplexity "${pair[@]}" --context 256 --resume --out "$work/resume"
tail -n 3 "$work/resume" > "$work/rest"
ok 'resumed is the whole' same "$work/whole" "$work/rest"
# Rows of another commit, whose numbers may be others, are not gone on from.
ok 'two windows again' evaluate perplexity "${pair[@]}" --context 256 --windows 2 \
    --out "$work/commits"
sed -i -E 's/"commit":("[^"]*"|null)/"commit":"0123abc"/; s/"nll":\[[0-9]/&9/g' "$work/commits"
ok 'another commit' evaluate perplexity "${pair[@]}" --context 256 --resume \
    --out "$work/commits"
ok 'is told of, once' [ "$(grep -c 'commits: 3 rows are of another commit' "$work/err")" = 1 ]
tail -n 3 "$work/commits" > "$work/rest"
ok 'and measured again' same "$work/whole" "$work/rest"

# A real Ctrl-C and a real kill, with the work under way: windows of sixteen tokens, of which
# there are a hundred.  The last rows are complete and the same as those of one quiet run.
head -c 6000 "$RBE_DATA/wiki.test.raw" > "$work/long"
tiny=(perplexity "${real[@]:0:4}" --text "$work/long" --context 16 --threads 2 --quiet
      --resamples 100)
ok 'many windows' "$rbe" eval "${tiny[@]}" --out "$work/quiet"
killed() { # killed SIGNAL FILE: 0 when the signal came in the middle of the work
    local pid tries=0
    "$rbe" eval "${tiny[@]}" --checkpoint 0 --out "$2" 2> "$work/said" &
    pid=$!
    while [ ! -s "$2" ] && [ $tries -lt 400 ]; do
        sleep 0.01
        tries=$((tries + 1))
    done
    kill -s "$1" $pid
    wait $pid 2> "$work/ignored"
    tail -n 1 "$2" | grep -q '"complete":false'
}
for signal in INT KILL; do
    ok "ended by $signal half way" killed $signal "$work/$signal"
    [ $signal = KILL ] || ok 'says how to go on' grep -q 'resume goes on' "$work/said"
    # What a crash within a line leaves behind is not in the way.
    [ $signal = INT ] || printf '{"schema":"rbe-res' >> "$work/$signal"
    ok "resumed after $signal" "$rbe" eval "${tiny[@]}" --resume --out "$work/$signal"
    tail -n 3 "$work/$signal" > "$work/rest"
    ok "resumed after $signal is the whole" same "$work/quiet" "$work/rest"
done

# The other evaluations save what is finished at Ctrl-C, and go on from it; how long the start
# takes is not known, so the signal is tried later and later.
head -n 30 "$RBE_DATA/lambada_test.jsonl" > "$work/thirty.jsonl"
interrupted() { # interrupted FILE COMMAND...: 0 when a partial row was left
    local file=$1 delay pid
    shift
    for delay in 0.2 0.4 0.8 1.6 3.2 6.4 12.8; do
        rm -f "$file"
        "$@" --out "$file" > "$work/out" 2> "$work/said" &
        pid=$!
        sleep $delay
        kill -s INT $pid 2> "$work/ignored"
        wait $pid 2> "$work/ignored"
        ! tail -n 1 "$file" 2> "$work/ignored" | grep -q '"complete":false' || return 0
    done
    return 1
}
slow() { # slow WHAT: the arguments of a run of a second or so
    case $1 in
    divergence) args=("${real[@]:0:4}" --text "$work/text") ;;
    comprehension) args=("${real[@]:0:4}" "lambada=$work/thirty.jsonl") ;;
    generation) args=("${real[@]:0:4}" --text "$work/text" --prompts 12 --tokens 24
                      --prompt 8) ;;
    esac
}
for what in divergence comprehension generation; do
    slow $what
    ok "$what, uninterrupted" "$rbe" eval $what "${args[@]}" --quiet --out "$work/all-$what"
    rows=$(wc -l < "$work/all-$what")
    ok "$what, interrupted" interrupted "$work/cut-$what" \
        "$rbe" eval $what "${args[@]}" --quiet
    ok "$what says how to go on" grep -q 'resume goes on' "$work/said"
    ok "$what goes on" "$rbe" eval $what "${args[@]}" --quiet --resume --out "$work/cut-$what"
    tail -n "$rows" "$work/cut-$what" > "$work/rest"
    ok "$what resumed is the whole" same "$work/all-$what" "$work/rest"
done
ok 'inference, interrupted' interrupted "$work/cut-inference" "$rbe" eval inference --quiet \
    --depths 0,16,32,48,64 --prompt 16 --tokens 300 --retries 0 --no-child --threads 1
ok 'finished depths are kept' grep -q '"decode":\[{.*"complete":false' "$work/cut-inference"

# --- texts from elsewhere ---------------------------------------------------------------------
keep() { "$@" > "$work/got" 2> "$work/said"; }
sum() { grep -o '"nll_sum":[^,]*' "$work/got"; }
sed 's/$/\r/' "$work/text" > "$work/crlf"
short=(perplexity --windows 1 --context 64 --json)
for p in P1 P2 P4 P3; do
    ok "$p" keep evaluate "${short[@]}" --text "$work/text" --protocol $p
    lf=$(sum)
    [ $p = P1 ] && of_p1=$lf
    ok "$p of CR LF" keep evaluate "${short[@]}" --text "$work/crlf" --protocol $p
    case $p in
    P3) ok 'P3 scores bytes' test "$lf" != "$(sum)" ;;
    *) ok "$p is the same" test "$lf" = "$(sum)" ;;
    esac
done
ok 'the row says so' grep -q '"read_as":"bytes"' "$work/got"
ok 'and a line' grep -q 'crlf: P3 scores bytes as they are.*[0-9] carriage returns$' "$work/said"
ok 'a text from a pipe' keep evaluate "${short[@]}" --text <(cat "$work/text")
ok 'the same value' test "$(sum)" = "$of_p1"
ok 'named so' grep -q '"text":{"name":"pipe","sha256":"'"$(sha256sum < "$work/text" | cut -c1-64)" \
    "$work/got"
{ echo '{"text": "  two"}'; echo '{"text": "one"}'; } | cat "$work/lambada.jsonl" - > "$work/odd.jsonl"
ok 'items from a pipe, one that cannot be scored' keep evaluate comprehension \
    lambada=<(cat "$work/odd.jsonl")
ok 'is told' grep -q '1 item refused, the first at [0-9]* line 10: a context of' "$work/got"
ok 'the others are answered' grep -q ' 10 items ' "$work/got"

# --- more threads than CPUs -------------------------------------------------------------------
one=$(taskset -pc $$ | sed 's/.*: \([0-9]*\).*/\1/')
ok 'two threads on one CPU' keep taskset -c "$one" "$rbe" eval "${short[@]}" --text "$work/text" \
    --quiet --threads 2
ok 'are told' grep -q '^rbe eval: 2 threads on .* CPU: they wait for each other' "$work/said"
ok 'and marked' grep -q '"cores":1,.*"threads":2,"oversubscribed":true' "$work/got"
fails 1 'No such file' taskset -c "$one" "$rbe" eval "${short[@]}" --text "$work/none" --threads 2
ok 'as many as there are' keep taskset -c "$one" "$rbe" eval "${short[@]}" --text "$work/text" --quiet
ok 'is one' grep -q '"cores":1,.*"threads":1,' "$work/got"

# --- bad input -------------------------------------------------------------------------------
: > "$work/empty"
fails 1 'empty' evaluate perplexity --text "$work/empty"
head -c 3000 "$mini/model.safetensors" > "$work/binary"
fails 1 'not text' evaluate perplexity --text "$work/binary"
head -c 200 "$work/text" > "$work/short"
fails 1 'shorter than one window' evaluate perplexity --text "$work/short"
fails 2 'beyond the model' evaluate perplexity --context 1024
fails 2 'beyond the model' evaluate divergence "${pair[@]}" --context 1024
fails 2 'unknown protocol' evaluate perplexity --protocol P9
fails 2 'shard' evaluate perplexity --shard 5/4
fails 1 'No such file' evaluate perplexity --model "$work/none"
fails 1 'not a result file' evaluate perplexity --text "$work/text" --out "$work/lambada.jsonl"
printf '{"text": "a good line"}\n{"text": \n' > "$work/broken.jsonl"
fails 1 'line 2' evaluate comprehension "lambada=$work/broken.jsonl"
fails 1 'line 2' evaluate perplexity --text "$work/broken.jsonl"
fails 2 'unknown task' evaluate comprehension quiz=x
fails 2 'two or more' evaluate divergence
fails 2 'unknown evaluation' "$rbe" eval nothing
! limits_hold "$rbe" || fails 2 'beyond the model' evaluate edge --tokens 600
fails 2 'prompt 509: 509 and 4 tokens more are beyond the model' evaluate inference --prompt 509
fails 2 'depths 0,600: 600 .*beyond the model' evaluate inference --depths 0,600
fails 2 'depths -1: wants' evaluate inference --depths -1
fails 2 'needs --out' evaluate comprehension "${two[@]}" --resume
fails 2 'length 600: beyond the model' evaluate inference --sequences 1 --length 600
fails 2 'of 100 tokens .* a prompt of 128' evaluate inference --sequences 1 --length 100
fails 2 'only sequences have a --length' evaluate inference --length 600
ok 'a long context' "$rbe" synth --shape 1,64,2,1024,8192 "$work/long-context"
fails 2 'of 512 tokens .* a prompt of 600' evaluate inference --model "$work/long-context" \
    --sequences 1 --prompt 600
fails 2 'beyond the model' evaluate generation "${pair[@]:0:4}" --tokens 600
fails 2 'do not fit a context' evaluate conversation --max-tokens 600
fails 1 'empty' evaluate conversation --script "$work/empty"
fails 1 'not text' evaluate comprehension "lambada=$work/binary"
ok 'another vocabulary' "$rbe" synth --shape 1,64,2,512,1000 "$work/other-vocabulary"
for e in perplexity divergence generation conversation inference; do
    fails 1 'different vocabularies' evaluate $e "${pair[@]:0:2}" \
        --model "$work/other-vocabulary"
done
ok 'another context' "$rbe" synth --shape 1,64,2,128,8192 "$work/other-context"
fails 1 'different contexts.*512 is in use' evaluate divergence "${pair[@]:0:2}" \
    --model "$work/other-context"
fails 1 'different contexts' evaluate conversation --model "$work/other-context" "${pair[@]:0:2}"
ok 'a context that both hold' evaluate perplexity "${pair[@]:0:2}" --model "$work/other-context" \
    --text "$work/text" --context 128 --windows 1
ok 'the smaller one first' evaluate perplexity --model "$work/other-context" "${pair[@]:0:2}" \
    --text "$work/text" --windows 1
ok 'a generation that both hold' evaluate generation "${pair[@]:0:2}" --text "$work/text" \
    --model "$work/other-context" --prompts 2 --prompt 8 --tokens 8
fails 1 'different contexts.*200 is in use' evaluate generation "${pair[@]:0:2}" \
    --model "$work/other-context" --text "$work/text" --prompts 2 --prompt 100 --tokens 100

# --- models with different tokenizers, or ends of text ----------------------------------------
cp -r "$model" "$work/swapped"
jq -c '. as $v | .the = $v.and | .and = $v.the' "$model/vocab.json" > "$work/swapped/vocab.json"
cp -r "$model" "$work/merged"
sed '2{h;d};3{G}' "$model/merges.txt" > "$work/merged/merges.txt"
texts=(--text "$work/text" --windows 1)
for e in "perplexity ${texts[*]}" "divergence ${texts[*]}" "generation --text $work/text" \
    "comprehension lambada=$work/lambada.jsonl" 'conversation --turns 1'; do
    # shellcheck disable=SC2086
    fails 1 'small and swapped have different tokenizers (token .*--tokenizer' evaluate $e \
        --model "$model" --model "$work/swapped"
done
fails 1 'small and merged have different tokenizers (merges)' evaluate perplexity \
    "${texts[@]}" --model "$model" --model "$work/merged"
ok 'one that is named is of both' evaluate perplexity "${texts[@]}" --model "$model" \
    --model "$work/swapped" --tokenizer "$mini"
ok 'speed does not depend on it' evaluate inference --model "$model" --model "$work/swapped" \
    --tokens 4 --prompt 16 --depths 0 --retries 0 --no-child
# Forms of one: a folder, a GGUF file, a container with one beside it or in a folder without.
ok 'a GGUF file' "$rbe" export "$model" "$work/small.gguf" --quiet
ok 'a folder again' "$rbe" export "$work/small.gguf" "$work/reshaped" --quiet
check 'in another form' test -f "$work/reshaped/tokenizer.json"
mkdir "$work/beside"
ok 'a container of the GGUF file' "$rbe" convert "$work/small.gguf" "$work/beside/g.rbe" \
    --profile int4 --quiet
check 'with a companion' test -f "$work/beside/g.rbe.tokenizer.gguf"
forms=(--model "$work/small.gguf" --model "$model" --model "$work/reshaped" --model "$other"
    --model "$work/beside/g.rbe")
for how in text parse; do
    ok "all forms, special tokens as $how" evaluate perplexity "${forms[@]}" "${texts[@]}" \
        --special $how
done
ok 'a folder first' evaluate perplexity "${forms[@]:2}" "${forms[@]:0:2}" "${texts[@]}"
ok 'another end' cp -r "$model" "$work/ended"
sed 's/"eos_token_id": *[0-9]*/"eos_token_id": 11/' "$model/config.json" \
    > "$work/ended/config.json"
rm "$work/ended"/{vocab.json,merges.txt}
ends=(--model "$model" --model "$work/ended")
ok 'which P1 does not read' evaluate perplexity "${texts[@]}" "${ends[@]}"
for e in "perplexity --protocol P4 --text $RBE_DATA/wiki.test.raw" "generation --text $work/text" \
    "comprehension lambada=$work/lambada.jsonl" 'conversation --turns 1'; do
    # shellcheck disable=SC2086
    fails 1 'small and ended end texts with different tokens (8191 and 11)' evaluate $e \
        "${ends[@]}"
done

# --- the rest runs ---------------------------------------------------------------------------
if limits_hold "$rbe"; then
    ok 'edge' evaluate edge --tokens 4 --out "$work/edge"
    ok 'edge fits' grep -q '"passed":true' "$work/edge"
    ok 'edge, too small a limit' evaluate edge --tokens 4 --limit 5 --out "$work/edge5"
    ok 'and says so' grep -q '"passed":false,"reason":"[^"]' "$work/edge5"
    ok 'edge, too small for the model' evaluate edge --tokens 4 --limit 60 --out "$work/edge60"
    ok 'and says how much' grep -q 'MB in all: more than the limit of 62.9 MB' "$work/edge60"
fi
ok 'inference' evaluate inference --tokens 4 --prompt 16 --depths 0 --retries 0 \
    --out "$work/inference"
# Launches share the tokens and the prompts, and say what they differ by.
ok 'launches' evaluate inference "${pair[@]:0:4}" --tokens 8 --prompt 16 --depths 0,full,00,496 \
    --retries 0 --launches 2 --out "$work/launches"
launched() { test "$(jq -c "$1" "$work/launches" | tail -n 1)" = "$2"; }
ok 'both are in the row' launched '[.launches.count, (.launches.median_ms | length)]' '[2,2]'
ok 'with all their tokens' launched '[.decode[].tokens == (.samples_ms["\(.decode[0].depth)"] | length)][0]' true
ok 'at the full context, and each depth once' launched '[.decode[].depth] | sort' '[0,16,496]'
ok 'of medians the median' launched \
    '.decode_median_ms == (.launches.median_ms | add / 2)' true
ok 'an interval that holds them' launched \
    '.launches.speedup as $s | .speedup_ci95 | (.[0] <= ($s | max)) and (.[1] >= ($s | min))' true
ok 'between and within' launched '.launches | .between >= 0 and .within >= 0' true
ok 'memory is of the first' launched '.peak_bytes > 1000000 and .hundred.tokens == 100' true
ok 'one group' test "$(jq .group "$work/launches" | sort -u | wc -l)" = 1
fails 2 'exclude one another' evaluate inference --launches 2 --sequences 2
fails 2 'depths and --sequences exclude' evaluate inference --depths 0 --sequences 2
fails 1 'No such file' evaluate inference --launches 2 --model "$work/nothing"
ok 'sequences' evaluate inference --sequences 2 --length 24 --prompt 16 --out "$work/sequences"
ok 'sequences with memory' grep -q '"peak_bytes":[0-9].*"cpu_utilisation":' "$work/sequences"
"$rbe" eval inference --tokens 4 --prompt 16 --depths 0 --no-child > "$work/out" 2> "$work/said"
ok 'projected time comes first' grep -q 'about [0-9]* s' "$work/said"
ok 'conversation' evaluate conversation "${real[@]:0:4}" --turns 2 --max-tokens 6 \
    --out "$work/conversation"
# Each model's memory is its own: the encoded one's is the smaller by more than half the file.
resident() { sed -n "$1"p "$work/conversation" | grep -o '"resident_bytes_max":[0-9]*' |
    sed 's/.*://'; }
ok 'memory of a turn is of one model' test $(($(resident 1) - $(resident 2))) -gt 10000000
ok 'a turn says the size of the model' grep -q '"model_bytes":23426000,"resident_bytes"' \
    "$work/conversation"
"$rbe" eval perplexity "${real[@]}" --windows 1 --quiet > "$work/table"
ok 'one window has no interval' grep -Eq 'rbe-mini +[0-9.]+ +\[-\].* - ' "$work/table"
"$rbe" eval perplexity "${pair[@]}" --context 128 --threads 1 --json > "$work/rows" 2> "$work/said"
# Of other work on the machine: within a factor of eight.
projected() {
    sed -n 's/.*windows of 128 tokens, 2 model.*about \([0-9]*\) s .*/\1/p' "$work/said"
    grep '"kind":"perplexity"' "$work/rows" | grep -o '"seconds":[^,}]*' | sed 's/.*://'
}
near() { projected | awk 'NR == 1 { want = $1 } NR > 1 { got += $1 }
    END { exit !(NR == 3 && want < 8 * got + 1 && got < 8 * (want + 1)) }'; }
ok 'the projected time of perplexity' near
ok 'generation' evaluate generation --model "$model" --model "$model" --text "$work/text" \
    --prompts 2 --tokens 6 --prompt 8 --out "$work/generation"
ok 'retained by itself' grep -q '"relevance":{[^}]*"retained":1.0' "$work/generation"
mkdir "$work/blimp"
printf '{"sentence_good": "She sees it.", "sentence_bad": "She see it.", "UID": "verbs"}\n' \
    > "$work/blimp/a.jsonl"
printf '\0\5\26\7' > "$work/blimp/._a.jsonl"
ok 'a folder of tasks, hidden files left out' evaluate comprehension "blimp=$work/blimp" \
    --out "$work/paradigms"
ok 'by paradigm' grep -q '"paradigms":{"verbs":{"acc":1.0,' "$work/paradigms"
printf 'Who?\n/reset\n\n/quit\n' > "$work/talk"
talk() { "$rbe" chat --max-tokens 4 < "$work/talk"; }
ok 'chat' talk

finish

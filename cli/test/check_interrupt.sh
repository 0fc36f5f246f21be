#!/usr/bin/env bash
# check_interrupt.sh - a signal ends what would take many minutes, with its results kept and
# without anything that goes on behind its back.
#
# SPDX-License-Identifier: MIT
#
# What it waits for has half a minute, for a busy machine.
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
bin=$(cd "${RBE_BIN:?folder with the program rbe}" && pwd)
rbe=$bin/rbe data=$(cd "$(dirname "$0")/../../datasets/embedded" && pwd)
cd "$work" || exit 1

# ends SIGNAL READY COMMAND...: once READY (a command) holds, the signal to this process alone
# ends it with status 1 and the word "interrupted".  The limit is for a busy machine.
ends() {
    local signal=$1 ready=$2 pid
    shift 2
    "$@" > out 2> err < /dev/null &
    pid=$!
    for _ in $(seq 600); do
        eval "$ready" > /dev/null 2>&1 && break
        sleep 0.05
    done
    sleep 0.2
    kill -"$signal" $pid
    for _ in $(seq 600); do
        kill -0 $pid 2> /dev/null || break
        sleep 0.05
    done
    kill -KILL $pid 2> /dev/null && echo 'still there after 30 s' >> err
    wait $pid
    [ $? = 1 ] && grep -q interrupted err
}
has_child() { grep -qs "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status; }

"$rbe" synth m --shape 4,256,4,1024,8192 > /dev/null 2>&1
# Validation of hours.
check 'tune, in an evaluation' ends TERM 'grep -q "of text in" out' "$rbe" tune rbe-mini \
    "$data/mini-2.89-tuned.rbe" t.rbe -q --valid-windows 1000000
check 'leaves no file' test ! -e t.rbe
# A worker of its own, which the signal does not reach.
if limits_hold "$rbe"; then
    check 'eval edge' ends TERM 'has_child $pid' "$rbe" eval edge -q -m m --limit 4000 \
        --tokens 1000 --out e.jsonl
    check 'writes no verdict' test ! -s e.jsonl
fi
check 'eval conversation, in a turn' ends TERM 'has_child $pid' "$rbe" eval conversation -q -m m \
    --max-tokens 900 --min-tokens 900
check 'waits for no turn' grep -q 'after 0 of' err
for _ in $(seq 100); do echo 'Tell me of it.'; done > questions
chat() { exec "$rbe" chat -m m --max-tokens 500 < questions; }
for signal in TERM INT; do
    check "chat, in an answer, by $signal" ends $signal 'test -s out' chat
done
check 'eval perplexity' ends TERM 'test -e p.jsonl' "$rbe" eval perplexity -q -m m \
    --out p.jsonl
check 'eval perplexity, its terminal gone' ends HUP 'test -e q.jsonl' env --default-signal=HUP \
    "$rbe" eval perplexity -q \
    -m m --out q.jsonl
bench=("$bin/rbe-bench" -q --probe-time 0.0002 --set-limit 16 --threads 1)
check 'rbe-bench with launches' ends TERM 'has_child $pid' env TMPDIR="$work" \
    "${bench[@]}" --launches 50 --kernels gemv_seed_scalar
check 'no launch goes on' test -z "$(grep -lsa "$work/rbe-benc[h]" /proc/[0-9]*/cmdline)"
check 'rbe-bench with thousands of rows' ends TERM 'grep -q accepted b.json.samples.jsonl' \
    "${bench[@]}" --benchmark_filter=seed --min-time 0.001 --out b.json --tsv b.tsv
check 'keeps what was measured' grep -q '^gemv_seed' b.tsv
check 'and says so' grep -q '"interrupted": true' b.json

# Its tokens are printed at the end; how long the start takes is not known.
broken_off() {
    local delay pid
    for delay in 0.3 0.6 1.2 2.4 4.8; do
        "$rbe" generate m --tokens 1000 --ignore-eos --json > g.json 2> err &
        pid=$!
        sleep $delay
        kill -INT $pid
        wait $pid
        [ $? = 1 ] && [ "$(cat err)" = 'rbe generate: interrupted' ] || continue
        jq -e '.interrupted and (.ids | length > 0 and length < 1000)' g.json > jq.out && return
    done
    return 1
}
check 'generate --json, what was made' broken_off

# What is shown is kept, also when nobody reads it.
"$rbe" eval perplexity -q -m m --json --windows 1 --out k.jsonl \
    2> err | true
check 'a row without a reader' grep -q '"kind":"perplexity"' k.jsonl
finish

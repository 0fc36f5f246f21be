#!/usr/bin/env bash
# interrupt.sh - at GPT-2's width and depth every long command ends two seconds after a signal
#
# SPDX-License-Identifier: MIT
#
# INTERRUPT_LIMIT=MS is what a busy machine may take.
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
make -s -j"$(nproc)" programs || exit 1
arch=$(${CC:-gcc} -dumpmachine)
rbe=$(cd "$BUILDROOT/${arch%%-*}-release/bin" && pwd)/rbe data=$PWD/datasets/embedded
limit=${INTERRUPT_LIMIT:-2000}
cd "$work" || exit 1
# The shape of 124M, but for the tokenizer that ships: 120M parameters.
"$rbe" synth g --shape 16,768,12,1024,8192 > out 2>&1 || { cat out; exit 1; }
"$rbe" convert -q g int4.rbe --profile int4 --no-calibration > out 2>&1 || { cat out; exit 1; }
cat "$data"/wiki.valid.raw > text

# ends AFTER COMMAND...: so many seconds after its start it is interrupted, and gone in time.
ends() {
    local after=$1 pid from took
    shift
    # What a shell starts in the background ignores the signal until it asks for it.
    env --default-signal=INT timeout --foreground -s KILL $((after + 60)) "$@" > out 2> err < /dev/null &
    pid=$!
    sleep "$after"
    pid=$(pgrep -P $pid) || { echo "over before $after s" >> err; return 1; }
    from=$(date +%s%3N)
    kill -INT "$pid"
    wait
    took=$(($(date +%s%3N) - from))
    printf '%5d ms  %s\n' $took "${*:2:2} after $after s" >> "$work/times"
    # Nothing was said where the signal came before the program asked for it.
    [ ! -s err ] || grep -q interrupted err || return 1
    echo "took $took ms" >> err
    [ $took -le "$limit" ]
}

# Opening, calibration with a backward pass; then stages that start at once.
for after in 2 12; do
    check "convert, calibration, $after s" ends $after "$rbe" convert -q g a.rbe \
        --profile mini-2.89 --memory 4000
    check "convert, encoding, $after s" ends $after "$rbe" convert -q g b.rbe \
        --profile seed-b44 --no-calibration
    check "tune, $after s" ends $after "$rbe" tune -q g int4.rbe t.rbe --memory 8000
    check "codecs, $after s" ends $after "$rbe" codecs -q g
    check "perplexity, $after s" ends $after "$rbe" eval perplexity -q -m g --text text --out p
    check "divergence, $after s" ends $after "$rbe" eval divergence -q -m g -m int4.rbe \
        --text text --out d
    check "conversation, $after s" ends $after "$rbe" eval conversation -q -m int4.rbe \
        --max-tokens 900 --min-tokens 900 --out c
    check "generate, $after s" ends $after "$rbe" generate g -n 1000 --ignore-eos
done
check 'no file of a model' test ! -e a.rbe -a ! -e b.rbe -a ! -e t.rbe
sort -n times | tail -n 3
finish

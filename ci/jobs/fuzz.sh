#!/usr/bin/env bash
# fuzz.sh - every parser under libFuzzer, FUZZ_SECONDS each (default 60)
#
# SPDX-License-Identifier: MIT
#
# FUZZ_PARSERS="config rows" takes those of ci/fuzz/parsers.def only.  What the fuzzer learns
# stays in $BUILDROOT/fuzz/PARSER and is gone on from; $BUILDROOT/fuzz/runs counts what was run,
# a line for each time, stopped early or not; a finding stands in $BUILDROOT/fuzz/found and
# belongs into ci/fuzz/corpus/PARSER, once mended.  FUZZ_LENGTH=BYTES takes no longer inputs, which
# is more of them in the same time.  FUZZ_PROGRAM=FILE is run, as a copy of one that was built, and
# nothing is built.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
seconds=${FUZZ_SECONDS:-60}
command -v clang > /dev/null || { echo 'SKIP no clang'; exit 77; }
echo 'int LLVMFuzzerTestOneInput(const char *d, long n); int LLVMFuzzerTestOneInput(const char *d,
    long n) { return d && n < 0; }' > "${TMPDIR:-/tmp}/rbe-fuzz-$$.c"
clang -fsanitize=fuzzer,address -o "${TMPDIR:-/tmp}/rbe-fuzz-$$" "${TMPDIR:-/tmp}/rbe-fuzz-$$.c" \
    2> /dev/null
there=$?
rm -f "${TMPDIR:-/tmp}/rbe-fuzz-$$" "${TMPDIR:-/tmp}/rbe-fuzz-$$.c"
[ $there = 0 ] || { echo "SKIP clang has no libFuzzer here"; exit 77; }
[ -n "${FUZZ_PROGRAM:-}" ] || make -j"$(nproc)" fuzz || exit 1
fuzz=${FUZZ_PROGRAM:-$(echo "$BUILDROOT"/*-fuzz/bin/rbe-fuzz)}
out=$BUILDROOT/fuzz
# Most of the time goes into malloc(): short traces and a small quarantine halve it.  A finding
# that is run again by hand has the whole trace.
export ASAN_OPTIONS=${ASAN_OPTIONS:-malloc_context_size=2:quarantine_size_mb=16}
mkdir -p "$out/found"

read -r -a parsers <<< "${FUZZ_PARSERS:-$(sed -n 's/^RBE_PARSER(\([a-z]*\),.*/\1/p' \
    ci/fuzz/parsers.def | tr '\n' ' ')}"
# The largest input: a little more than that of the corpus.
length() {
    local most
    [ -z "${FUZZ_LENGTH:-}" ] || { echo "$FUZZ_LENGTH" && return; }
    most=$(find "ci/fuzz/corpus/$1" -type f -printf '%s\n' | sort -n | tail -n 1)
    echo $((most + 512))
}
# Told to end, it does so when the fuzzer, which is told as well, has said what it did.
one() {
    local memory=/dev/shm tmp
    [ -w $memory ] || memory=/tmp
    tmp=$(mktemp -d $memory/rbe-fuzz-XXXXXX) || exit 1
    trap : INT TERM
    mkdir -p "$out/$1"
    FUZZ_TMP=$tmp FUZZ_PARSER=$1 "$fuzz" -max_total_time="$seconds" -max_len="$(length "$1")" -timeout=120 \
        -rss_limit_mb=3000 -malloc_limit_mb=2500 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="$out/found/$1-" "$out/$1" "ci/fuzz/corpus/$1" > "$out/$1.log" 2>&1
    local rc=$? runs
    rm -rf "$tmp"
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$1.log")
    echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $1 ${runs:-0} $rc" >> "$out/runs"
    if [ $rc = 0 ] && [ -n "$runs" ]; then
        echo "ok   $1: $runs runs"
    elif [ $rc = 72 ]; then
        echo "FAIL $1: stopped after ${runs:-?} runs"
    else
        echo "FAIL $1: after ${runs:-?} runs; $out/$1.log"
        grep -E 'ERROR|SUMMARY|FAIL |Test unit written|runtime error' "$out/$1.log"
    fi
}
export -f one length
export fuzz out seconds
printf '%s\n' "${parsers[@]}" | xargs -P "$(nproc)" -I '{}' bash -c 'one {}' | tee "$out/last"
awk '{ n += $3 } END { printf "%d runs in all so far\n", n }' "$out/runs"
bad=$(grep -c '^FAIL' "$out/last")
ok=$(grep -c '^ok' "$out/last")
echo "$ok passed, $bad failed"
[ "$bad" = 0 ] && [ "$ok" = ${#parsers[@]} ]

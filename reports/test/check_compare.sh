#!/usr/bin/env bash
# check_compare.sh - rbe compare and rbe trend on made-up files: verdicts, and what they refuse
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
rbe=${RBE_BIN:?folder with the program rbe}/rbe

has() { grep -q -- "$2" "$1"; }
compare() { "$rbe" compare "$@"; }

# times SCALE SPREAD N: N times around SCALE, spread by up to SPREAD, commas between.
times() {
    awk -v s="$1" -v d="$2" -v n="$3" 'BEGIN { srand(1); for (i = 0; i < n; i++)
        printf "%s%.6f", i ? "," : "", s * (1 + d * (2 * rand() - 1)) }'
}
machine() {
    printf '"machine":{"cpu":"%s","arch":"x86_64","cores":2,"threads":1,"isa":"avx2",' "$1"
    printf '"memory_bytes":%s,"kernel":"%s"}' "${MEMORY:-8e9}" "${KERNEL:-6.1}"
}
# result TIMES PERPLEXITY BYTES [CPU]: two rows.
result() {
    local head='{"schema":"rbe-result-1","kind":'
    local of
    of="$(machine "${4:-cpu a}"),\"model\":{\"name\":\"m\"}"
    echo "$head\"perplexity\",$of,\"text\":{\"name\":\"t\"},\"protocol\":\"P1\",\"windows\":9,\"perplexity\":$2}"
    echo "$head\"inference\",$of,\"mode\":\"latency\",\"model_bytes\":$3,\"samples_ms\":{\"128\":[$1]}}"
}
base=$(times 1 0.02 60)
result "$base" 50 1000 > "$work/base.jsonl"
result "$(times 1.06 0.02 60)" 50 1000 > "$work/slow.jsonl"
result "$(times 0.9 0.02 60)" 50 1000 > "$work/fast.jsonl"
result "$(times 1.02 0.6 60)" 50 1000 > "$work/noisy.jsonl"
result "$base" 50.2 1000 > "$work/worse.jsonl"
result "$base" 50.02 1000 > "$work/hair.jsonl"
result "$base" 50 900 > "$work/small.jsonl"
result "$base" 50 1000 'cpu b' > "$work/other.jsonl"

check 'itself is the same' gives 0 compare "$work/base.jsonl" "$work/base.jsonl"
check 'all three rows' has "$work/out" '0 worse, 0 better, 3 the same, 0 too noisy'
check 'slower is worse' gives 3 compare "$work/base.jsonl" "$work/slow.jsonl"
check 'the time, not the rest' has "$work/out" '1 worse, 0 better, 2 the same'
check 'faster is better' gives 0 compare "$work/base.jsonl" "$work/fast.jsonl"
check 'and says so' has "$work/out" 'decode at 128.*better'
check 'noise is noise' gives 0 compare "$work/base.jsonl" "$work/noisy.jsonl"
check 'and says so' has "$work/out" '1 too noisy'
check 'strictly' gives 4 compare --strict "$work/base.jsonl" "$work/noisy.jsonl"
check 'perplexity is exact' gives 3 compare "$work/base.jsonl" "$work/worse.jsonl"
check 'to 0.1 %' gives 0 compare "$work/base.jsonl" "$work/hair.jsonl"
check 'or less when asked' gives 3 compare --exact 0.01 "$work/base.jsonl" "$work/hair.jsonl"
check 'bytes count' gives 0 compare "$work/base.jsonl" "$work/small.jsonl"
check 'fewer are better' has "$work/out" 'model bytes.*better'
check 'another threshold' gives 0 compare --threshold 10 "$work/base.jsonl" "$work/slow.jsonl"
check 'refuses other machines' gives 1 compare "$work/base.jsonl" "$work/other.jsonl"
check 'naming both' one_line 'cpu a, x86_64.*cpu b, x86_64'
check 'unless told' gives 0 compare --other-machine "$work/base.jsonl" "$work/other.jsonl"
check 'and says so' has "$work/out" '^DIFFERENT MACHINES'
check 'Markdown' gives 3 compare --markdown "$work/base.jsonl" "$work/slow.jsonl"
check 'with a table' has "$work/out" '^| inference m latency decode at 128.* worse |$'
check 'JSON' gives 3 compare --json --append "$work/h.jsonl" "$work/base.jsonl" "$work/slow.jsonl"
check 'one line' test "$(wc -l < "$work/out")" = 1
check 'the same as in the history' has "$work/h.jsonl" '"kind":"compare".*"worse":1'
cp "$work/out" "$work/first"
compare --json "$work/base.jsonl" "$work/slow.jsonl" > "$work/out" 2>&1
check 'the same twice' test "$(grep -o '"metrics".*' "$work/out")" = \
    "$(grep -o '"metrics".*' "$work/first")"

# Two of one name are not one; nor are two that are not named.
MEMORY=16e9 result "$base" 50 1000 > "$work/larger.jsonl"
check 'refuses another memory' gives 1 compare "$work/base.jsonl" "$work/larger.jsonl"
check 'naming both' one_line '8.0 GB, kernel 6.1; .*16.0 GB, kernel 6.1'
KERNEL=6.2 result "$base" 50 1000 > "$work/updated.jsonl"
check 'another kernel' gives 1 compare "$work/base.jsonl" "$work/updated.jsonl"
cat "$work/base.jsonl" "$work/updated.jsonl" > "$work/mixed.jsonl"
check 'both in one file' gives 1 compare "$work/mixed.jsonl" "$work/mixed.jsonl"
sed 's/"machine":{[^}]*},//' "$work/base.jsonl" > "$work/nameless.jsonl"
check 'and none' gives 1 compare "$work/nameless.jsonl" "$work/nameless.jsonl"
check 'in one line' one_line 'the rows of the base do not say on which machine'
check 'on one side' gives 1 compare "$work/base.jsonl" "$work/nameless.jsonl"
check 'in one line' one_line 'the rows of the new file do not say'
check 'unless told' gives 0 compare --other-machine "$work/nameless.jsonl" "$work/nameless.jsonl"
check 'and says so' has "$work/out" 'new on one that is not named'
{ head -n 1 "$work/base.jsonl" && tail -n 1 "$work/nameless.jsonl"; } > "$work/half.jsonl"
check 'or some rows only' gives 1 compare --other-machine "$work/half.jsonl" "$work/half.jsonl"

# Prefill, first token and peak memory.
# more PREFILL FIRST PEAK: an inference row with these, a conversation and an edge row.
more() {
    local of head='{"schema":"rbe-result-1","kind":'
    of="$(machine 'cpu a'),\"model\":{\"name\":\"m\"}"
    echo "$head\"inference\",$of,\"mode\":\"latency\",\"prompt_tokens\":128,\"prefill\":" \
        "{\"tokens\":128,\"median_ms\":$1},\"first_token_ms\":$2,\"peak_bytes\":$3," \
        "\"samples_ms\":{\"128\":[$base]}}"
    echo "$head\"conversation\",$of,\"turns\":[$(for t in $(times "$2" 0.01 40 | tr ',' ' '); do
        printf '%s{"first_token_ms":%s,"token_ms":[1,1.01]}' "$comma" "$t"
        comma=,
    done)]}"
    echo "$head\"edge\",$of,\"peak_bytes\":$3}"
}
comma=''
more 20 30 1000000 > "$work/more.jsonl"
more 25 40 1000000 > "$work/later.jsonl"
more 20 30 1040000 > "$work/fatter.jsonl"
more 20 30 1010000 > "$work/page.jsonl"
compare "$work/more.jsonl" "$work/later.jsonl" > "$work/out" 2>&1
check 'a slower first token is worse' test $? = 3
check 'by the turns of a conversation' has "$work/out" '^conversation m first tokens.*worse$'
check 'prefill has a row' has "$work/out" 'prefill of 128, 1 threads  *20 ms  *25 ms  *+25.00 %'
check 'and the first token' has "$work/out" 'first token after 128, 1 threads *30 ms  *40 ms'
check 'more memory is worse' gives 3 compare "$work/more.jsonl" "$work/fatter.jsonl"
check 'twice' test "$(grep -c 'peak memory .*worse$' "$work/out")" = 2
check 'a page is not' gives 0 compare "$work/more.jsonl" "$work/page.jsonl"

# What is no result file.
head -c 300 "$work/base.jsonl" > "$work/cut.jsonl"
check 'refuses a file cut off' gives 1 compare "$work/base.jsonl" "$work/cut.jsonl"
check 'in one line' one_line 'cut.jsonl: the last line is cut off'
sed 's/rbe-result-1/rbe-result-2/' "$work/base.jsonl" > "$work/next.jsonl"
check 'another schema' gives 1 compare "$work/base.jsonl" "$work/next.jsonl"
check 'in one line' one_line 'next.jsonl: line 1: .*rbe-result-2'
result "$base,NaN" 50 1000 > "$work/nan.jsonl"
check 'NaN' gives 1 compare "$work/base.jsonl" "$work/nan.jsonl"
check 'in one line' one_line 'nan.jsonl: line 2'
result "$base" null 1000 > "$work/null.jsonl"
check 'null' gives 1 compare "$work/base.jsonl" "$work/null.jsonl"
check 'in one line' one_line 'null.jsonl: line 1: .*missing or no number'
head -n 1 "$work/base.jsonl" > "$work/one.jsonl"
check 'missing rows' gives 1 compare "$work/base.jsonl" "$work/one.jsonl"
check 'in one line' one_line "2 rows of the base are missing in the new file, first 'inference"
check 'unless told' gives 0 compare --missing "$work/base.jsonl" "$work/one.jsonl"
check 'new rows are welcome' gives 0 compare "$work/one.jsonl" "$work/base.jsonl"
check 'nothing' gives 1 compare "$work/base.jsonl" /dev/null
check 'nowhere' gives 1 compare "$work/base.jsonl" "$work/none.jsonl"
check 'wants two' gives 2 compare "$work/base.jsonl"

# Google Benchmark.
# bench SCALE SPREAD
bench() {
    printf '{"context": {"rbe": {%s}}, "benchmarks": [' "$(machine 'cpu a')"
    for t in $(times "$1" "$2" 12 | tr ',' ' '); do
        printf '{"run_name": "gemv/manual_time", "run_type": "iteration", "real_time": %s, "time_unit": "us"}, ' "$t"
    done
    echo '{"run_name": "gemv/manual_time", "run_type": "aggregate", "real_time": 1}]}'
}
bench 10 0.01 > "$work/b.json"
bench 11 0.01 > "$work/c.json"
check 'benchmarks' gives 0 compare "$work/b.json" "$work/b.json"
check 'slower ones' gives 3 compare "$work/b.json" "$work/c.json"
check 'in ns, by name' has "$work/out" '^gemv  *9[0-9]*[.0-9]* ns\|^gemv  *10[0-9]*[.0-9]* ns'
for t in $(times 10 0.01 20 | tr ',' ' '); do
    echo "{\"name\": \"gemv\", \"iterations\": 2, \"seconds\": ${t}e-6, \"accepted\": true}"
done > "$work/c.json.samples.jsonl"
check 'samples beside it' gives 3 compare "$work/c.json" "$work/b.json"
check 'are taken' has "$work/out" '20,12  worse'
head -c 400 "$work/b.json" > "$work/cut.json"
check 'a document cut off' gives 1 compare "$work/b.json" "$work/cut.json"
check 'in one line' one_line 'cut.json: line '
sed 's/"real_time": [0-9.]*,/"error_occurred": true, "error_message": "wrong",/' "$work/b.json" \
    > "$work/failed.json"
check 'a benchmark that failed' gives 1 compare "$work/b.json" "$work/failed.json"
check 'in one line' one_line 'gemv: wrong'
check 'different kinds' gives 1 compare --other-machine "$work/base.jsonl" "$work/b.json"

# The trend of a history.
for ratio in 1.01 0.9 1.05; do
    echo '{"schema":"rbe-result-1","kind":"gate","metrics":[{"name":"decode","ratio":'$ratio',"interval":[0.89,1.06],"verdict":"pass"}]}'
done > "$work/history.jsonl"
if command -v gnuplot > /dev/null; then
    check 'trend' gives 0 "$rbe" trend "$work/history.jsonl" --out "$work/t"
    check 'draws' test -s "$work/t/plots/trend.svg" -a -s "$work/t/plots/trend.png"
    # 1.01 * 0.9 * 1.05 = 0.95445
    check 'multiplies' has "$work/t/plots/trend.tsv" "^decode$(printf '\t')3$(printf '\t')-4.555"
fi
printf '{"schema":"rbe-result-1","ki' >> "$work/history.jsonl"
if command -v gnuplot > /dev/null; then
    check 'a history cut off' gives 0 "$rbe" trend "$work/history.jsonl" --out "$work/t"
    check 'is said to be' one_line 'history.jsonl: the last line is cut off'
fi
echo '{"schema":"rbe-result-1","kind":"gate","metrics":[]}' > "$work/empty.jsonl"
check 'a history without metrics' gives 1 "$rbe" trend "$work/empty.jsonl" --out "$work/t"
check 'in one line' one_line '1 rows of the gate, none with a metric'
check 'no history' gives 1 "$rbe" trend "$work/base.jsonl" --out "$work/t"
check 'in one line' one_line 'no row of the gate'
finish

#!/usr/bin/env bash
# check_compare.sh - rbe compare and rbe trend on made-up files: verdicts, and what they refuse
#
# SPDX-License-Identifier: MIT
#
# Runs alone: it judges times.
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
# From pipes, which are read once; as a program of Windows writes them.
check 'from pipes' gives 3 compare <(cat "$work/base.jsonl") <(cat "$work/worse.jsonl")
check 'from the standard input' gives 3 bash -c 'cat "$1" | "$3" compare /dev/stdin "$2"' - \
    "$work/base.jsonl" "$work/worse.jsonl" "$rbe"
for mark in '\357\273\277' ''; do
    { printf '%b' "$mark"; sed 's/$/\r/' "$work/base.jsonl"; } > "$work/windows.jsonl"
    check "with ${mark:+a byte-order mark and }CR LF" gives 3 compare "$work/windows.jsonl" \
        "$work/worse.jsonl"
    check 'merge reads it' gives 1 "$rbe" merge --out "$work/merged" "$work/windows.jsonl"
    check 'up to what is missing in it' one_line 'perplexity without'
done
for bad in -50 0 0.5 1e999; do
    result "$base" $bad 1000 > "$work/bad.jsonl"
    check "a perplexity of $bad" gives 1 compare "$work/base.jsonl" "$work/bad.jsonl"
    check "$bad is said" one_line 'bad.jsonl: line 1: '
done
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
failing='s/"real_time": [0-9.]*,/"error_occurred": true, "error_message": "wrong",/'
sed "${failing}g" "$work/b.json" > "$work/failed.json"
check 'a benchmark that failed' gives 1 compare "$work/b.json" "$work/failed.json"
check 'in one line' one_line 'gemv: wrong'
sed "$failing" "$work/b.json" > "$work/some.json"
check 'one repetition that failed' gives 0 compare "$work/b.json" "$work/some.json"
check 'is left out' has "$work/out" '12,11  same'
check 'and said' one_line 'some.json: gemv: wrong; left out$'
# Beside others it is left out: worse where the base has a time, else only said.
other() { sed 's#"benchmarks": \[#&{"run_name": "other", "run_type": "iteration", "real_time": 5}, #' "$1"; }
other "$work/b.json" > "$work/both.json"
other "$work/failed.json" > "$work/one.json"
check 'a failure beside others' gives 3 compare "$work/both.json" "$work/one.json"
check 'is said once' one_line '^rbe compare: .*one.json: gemv: wrong; left out$'
check 'the others are compared' has "$work/out" '^other  *5 ns .* 5 ns'
check 'it is worse' has "$work/out" '^1 worse, 0 better'
check 'one of the base' gives 0 compare "$work/one.json" "$work/both.json"
check 'is said as well' one_line 'one.json: gemv: wrong; left out$'
check 'a failure in both' gives 0 compare "$work/one.json" "$work/one.json"
check 'a line for each' test "$(grep -c 'gemv: wrong; left out$' "$work/err")" = 2
sed 's#{"run_name": "gemv#{"run_name": "a", "error_occurred": true}, &#' "$work/one.json" > "$work/two.json"
check 'several' gives 0 compare "$work/one.json" "$work/two.json"
check 'are counted' grep -q 'two.json: a: was not measured; left out, and 1 more$' "$work/err"
check 'a failure is no row that is missing' gives 1 compare "$work/both.json" "$work/c.json"
check 'as one that is not there is' one_line "1 rows of the base are missing .* first 'other'"
check 'different kinds' gives 1 compare --other-machine "$work/base.jsonl" "$work/b.json"

# What rbe-bench itself writes, in each of its forms: samples begin with a line about the machine.
cd "$work" || exit 1
measure() { # FILE REPETITIONS ARGUMENT...
    local to=$1 n=$2
    shift 2
    "${rbe%/*}/rbe-bench" -q --kernels gemv_f32_scalar --kinds product --min-time 0.001 \
        --probe-time 0.0002 --set-limit 16 --threads 1 --benchmark_repetitions="$n" \
        --out "$to.json" --tsv "$to.tsv" "$@"
}
check 'rbe-bench runs' gives 0 measure r 5 --shapes 64x64,96x64
check 'and again, in two launches' gives 0 measure s 5 --shapes 64x64,96x64 --launches 2
for pair in 'r.json s.json' 'r.json.samples.jsonl s.json.samples.jsonl' 'r.tsv s.tsv' \
    'r.tsv s.json' 's.json.samples.jsonl r.tsv' 's.json r.json.samples.jsonl'; do
    # shellcheck disable=SC2086 # two names
    compare $pair > out 2> err
    check "$pair can be compared" test $? = 0 -o $? = 3
    check "$pair: nothing to say" test ! -s err
    check "$pair: both rows" test "$(grep -c '^gemv_f32_scalar/.*x64/cold/t:1 ' out)" = 2
done
for form in json json.samples.jsonl tsv; do
    check "r.$form is itself" gives 0 compare "r.$form" "r.$form"
    check 'with no change' test "$(grep -c '+0.00 %' out)" = 2
done
check 'the same machine in all' gives 0 compare r.json r.tsv
awk -F '\t' -v OFS='\t' '/^gemv/ { $14 *= 2; $15 = 0.001 * $14 } { print }' r.tsv > twice.tsv
awk -F '\t' -v OFS='\t' '/^gemv/ { $15 = 0.001 * $14 } { print }' r.tsv > calm.tsv
check 'twice the time is worse' gives 3 compare calm.tsv twice.tsv
check 'by the table alone' has out '+100.00 %  +9[0-9.]* to +1[0-9.]* %.*5,5  worse'
awk -F '\t' -v OFS='\t' '/^gemv/ { $13 = 4 } { print }' twice.tsv > few.tsv
check 'four samples tell too little' gives 0 compare calm.tsv few.tsv
awk -F '\t' -v OFS='\t' '/^gemv.*96x64/ { NF = 14 } { print }' r.tsv > short.tsv
check 'a table with a short row' gives 1 compare r.tsv short.tsv
check 'in one line' one_line 'short.tsv: line [0-9]*: a row: fewer fields than titles'
head -c -20 r.tsv > cut.tsv
check 'a table cut off' gives 1 compare r.tsv cut.tsv
check 'in one line' one_line 'cut.tsv: the last line is cut off'
head -c -20 r.json.samples.jsonl > cut.samples
check 'samples cut off' gives 1 compare r.json.samples.jsonl cut.samples
check 'in one line' one_line 'cut.samples: the last line is cut off'
# An interrupted run: the rows that it came to.
"${rbe%/*}/rbe-bench" -q --kernels gemv_f32_scalar --kinds product --min-time 0.05 --threads 1 \
    --probe-time 0.0002 --set-limit 16 --shapes 64x64,96x64,128x64 --out i.json \
    --benchmark_repetitions=900 --benchmark_enable_random_interleaving=false 2> err &
pid=$!
for _ in $(seq 200); do
    [ "$(grep -c '"accepted"' i.json.samples.jsonl 2> /dev/null)" -ge 3 ] 2> /dev/null && break
    sleep 0.1
done
kill -TERM $pid
wait $pid
check 'an interrupted run can be compared' gives 0 compare i.json i.json
check 'by its rows' has out '^gemv_f32_scalar/'
check 'with a whole one when told' gives 1 compare r.json i.json

# By another program: no word of ours in the context, and maybe no repetitions.
cat > google.json << 'END'
{"context": {"host_name": "h", "num_cpus": 4}, "benchmarks": [
 {"name": "f/8", "run_name": "f/8", "run_type": "iteration", "real_time": 10.0, "time_unit": "us"},
 {"name": "g", "iterations": 7, "real_time": 3.0, "time_unit": "ms"}]}
END
cat > median.json << 'END'
{"context": {"host_name": "h", "num_cpus": 4}, "benchmarks": [
 {"name": "f/8_mean", "run_name": "f/8", "run_type": "aggregate", "repetitions": 10,
  "aggregate_name": "mean", "real_time": 21.0, "time_unit": "us"},
 {"name": "f/8_median", "run_name": "f/8", "run_type": "aggregate", "repetitions": 10,
  "aggregate_name": "median", "real_time": 20.0, "time_unit": "us"},
 {"name": "f/8_stddev", "run_name": "f/8", "run_type": "aggregate", "repetitions": 10,
  "aggregate_name": "stddev", "real_time": 0.1, "time_unit": "us"}]}
END
sed 's/20\.0/10.0/; s/21\.0/11.0/' median.json > base.json
check 'plain Google Benchmark' gives 0 compare google.json google.json
check 'old names too' has out '^g  *3e+06 ns'
check 'aggregates alone' gives 3 compare base.json median.json
check 'by their deviation' has out '^f/8  *10000 ns  *20000 ns .*10,10  worse'
check 'another host' gives 1 compare base.json r.json

# Many rows take no longer than they must.
awk 'BEGIN { print "{\"context\": {\"rbe\": {\"machine\": {\"cpu\": \"c\"}}}, \"benchmarks\": [";
    for (r = 0; r < 2; r++) for (i = 0; i < 15000; i++)
        printf "%s{\"run_name\": \"gemv/%d/manual_time\", \"run_type\": \"iteration\", \"real_time\": %d, \"time_unit\": \"ns\"}\n",
            r + i ? "," : "", i, i + 1; print "]}" }' > many.json
check 'a table of 15000 rows in time' gives 0 timeout 30 "${rbe%/*}/rbe-bench" --summarise many.json
check 'with all of them' test "$(grep -c '^gemv/' out)" = 15000

# --- floors and baselines -------------------------------------------------------------------
check 'a floor beside the share' gives 0 compare --floor 0.1 "$work/base.jsonl" "$work/slow.jsonl"
check 'beyond both it counts' gives 3 compare --floor 0.05 "$work/base.jsonl" "$work/slow.jsonl"
kept=(--baselines "$work/kept")
check 'a baseline is kept' gives 0 compare "${kept[@]}" --save main "$work/base.jsonl"
check 'and says where' has "$work/out" "baseline main: $work/kept/main"
check 'against it' gives 3 compare "${kept[@]}" --against main "$work/slow.jsonl"
check 'the same' gives 0 compare "${kept[@]}" --against main "$work/base.jsonl"
check 'none of this name' gives 1 compare "${kept[@]}" --against mian "$work/base.jsonl"
check 'names the nearest' one_line "no baseline 'mian' in .*did you mean 'main'"
check 'no name' gives 2 compare "${kept[@]}" --save a/main "$work/base.jsonl"
check 'nothing elsewhere' test ! -e "$work/kept/a"
echo '{"schema":"rbe-result-1","kind":"gate"}' > "$work/nothing.jsonl"
check 'what cannot be compared is no baseline' gives 1 compare "${kept[@]}" --save n "$work/nothing.jsonl"
check 'and is not kept' test ! -e "$work/kept/n"
check 'compared and kept at once' gives 3 compare "${kept[@]}" --against main --save main "$work/slow.jsonl"
check 'it is the baseline now' gives 0 compare "${kept[@]}" --against main "$work/slow.jsonl"
check 'two files and a baseline' gives 2 compare "${kept[@]}" --against main "$work/base.jsonl" "$work/slow.jsonl"

# A document of Google Benchmark by any other program: its own counters, families, aggregates.
foreign() {
    printf '{"context":{"date":"2026-01-01T00:00:00+00:00","host_name":"h","executable":"./b",'
    printf '"num_cpus":8,"mhz_per_cpu":3000,"caches":[],"load_avg":[0.1],"library_version":"v1.9",'
    printf '"library_build_type":"release","json_schema_version":1},"benchmarks":['
    for r in 0 1 2 3 4 5 6 7; do
        printf '{"name":"BM_copy/64","family_index":0,"per_family_instance_index":0,"run_name":'
        printf '"BM_copy/64","run_type":"iteration","repetitions":8,"repetition_index":%s,' $r
        printf '"threads":1,"iterations":100,"real_time":%s.%s,"cpu_time":9,"time_unit":"us",' "$1" $r
        printf '"bytes_per_second":1e9,"items":3},'
    done
    printf '{"name":"BM_copy/64_mean","run_name":"BM_copy/64","run_type":"aggregate",'
    printf '"aggregate_name":"mean","real_time":%s,"cpu_time":9,"time_unit":"us"}]}\n' "$1"
}
foreign 50 > "$work/f1.json"
foreign 60 > "$work/f2.json"
check 'of any program' gives 3 compare --other-machine "$work/f1.json" "$work/f2.json"
check 'by its name' has "$work/out" '^BM_copy/64 .*worse'
check 'as a baseline too' gives 0 compare "${kept[@]}" --save bm "$work/f1.json"
check 'of the same host' gives 3 compare "${kept[@]}" --against bm "$work/f2.json"

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
if command -v gnuplot > /dev/null; then
    check 'the history of compare, too' gives 0 "$rbe" trend "$work/h.jsonl" --out "$work/t"
    check 'with what became worse' has "$work/t/plots/trend.tsv" \
        "decode-at-128.*$(printf '\t')1\$"
fi
# Many metrics, and names that are longer than a plot's.
for _ in 1 2; do
    awk 'BEGIN { printf "{\"schema\":\"rbe-result-1\",\"kind\":\"compare\",\"metrics\":["
        for (i = 1; i <= 40; i++)
            printf "%s{\"name\":\"perplexity of a model with a long name of text %d windows 0+3 perplexity\"," \
                "\"ratio\":%g,\"verdict\":\"same\"}", (i > 1 ? "," : ""), i, 1 + i / 1000
        print "]}" }'
done > "$work/many.jsonl"
check 'many metrics' gives 0 "$rbe" trend "$work/many.jsonl" --no-plot
if command -v gnuplot > /dev/null; then
    check 'drawn' gives 0 "$rbe" trend "$work/many.jsonl" --out "$work/t"
    check 'those that changed most' has "$work/out" '1[0-9] more are in'
    check 'a line each' test 40 = "$(cut -f 1 "$work/t/plots/trend.tsv" | grep -v '^#' | sort -u | wc -l)"
fi
# A creep: 30 runs of nothing, then 1 % each; every run passed.
awk 'BEGIN { srand(3); for (i = 1; i <= 42; i++)
    printf "{\"schema\":\"rbe-result-1\",\"kind\":\"gate\",\"revision\":\"r%d\",\"metrics\":[{\"name\":" \
        "\"decode\",\"ratio\":%.5f,\"verdict\":\"pass\"},{\"name\":\"prefill\",\"ratio\":%.5f," \
        "\"verdict\":\"pass\"}]}\n", i, 1 + 0.004 * (rand() + rand() - 1) + (i > 30 && i <= 40 ? 0.01 : 0),
        1 + 0.004 * (rand() + rand() - 1) }' > "$work/creep.jsonl"
check 'a creep' gives 3 "$rbe" trend "$work/creep.jsonl" --check --no-plot
check 'is one line' test "$(wc -l < "$work/out")" = 1
check 'of its metric, with its revisions' grep -qE '^decode: \+1[0-9.]+ % over runs (29|3.) to (39|4.) \(r(29|3.) to r' \
    "$work/out"
check 'as JSON' gives 0 "$rbe" trend "$work/creep.jsonl" --json --no-plot
check 'with the ratio' jq -e 'length == 1 and .[0].metric == "decode" and .[0].ratio > 1.08' "$work/out" > "$work/jq"
head -n 30 "$work/creep.jsonl" > "$work/calm.jsonl"
check 'before it there is none' gives 0 "$rbe" trend "$work/calm.jsonl" --check --no-plot
check 'nothing is said' test ! -s "$work/out"
check 'a larger one was asked for' gives 0 "$rbe" trend "$work/creep.jsonl" --check --no-plot --threshold 20
echo '{"schema":"rbe-result-1","kind":"gate","metrics":[]}' > "$work/empty.jsonl"
check 'a history without metrics' gives 1 "$rbe" trend "$work/empty.jsonl" --out "$work/t"
check 'in one line' one_line '1 rows of a history, none with a metric'
check 'no history' gives 1 "$rbe" trend "$work/base.jsonl" --out "$work/t"
check 'in one line' one_line 'no row of the gate'
finish

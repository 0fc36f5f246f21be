#!/usr/bin/env bash
# check_bench.sh - rbe-bench from the outside: usage errors, files, interrupts.
#
# SPDX-License-Identifier: MIT
#
# Runs alone: it judges times.
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
dir=$work
bench=${RBE_BIN:?}/rbe-bench

lines() { [ "$(wc -l < "$1")" = "$2" ]; }
equal() { [ "$1" = "$2" ]; }

# One line on stderr that holds TEXT, exit 2, nothing on stdout.
usage() { # TEXT ARGUMENT...
    local text=$1
    shift
    check "exit 2, '$text': $*" refuses 2 "$text" "$bench" "$@"
    check "nothing on stdout: $*" lines "$work/out" 0
}

usage 'gemv_f32_scalar' --kernels gemv_no_such
check 'all valid kernels, to the last' grep -q "$("$bench" --benchmark_list_tests |
    grep -oE '^gem[vm]_[a-z0-9_]+' | tail -n 1)" "$dir/err"
usage 'valid: f32' --formats f31
usage 'scalar' --isa avx1024
case $(uname -m) in
x86_64) usage "masks, 'neon'; valid: scalar" --isa neon ;;
*) usage "masks, 'avx2'; valid: scalar" --isa avx2 ;;
esac
usage 'leaves no kernel' --formats f32 --kernels 'gemv_seed_*'
usage 'valid: ' --cpus 9999
usage 'valid: ' --cpus 0,x
usage 'ROWSxCOLS' --shapes 768
usage 'ROWSxCOLS' --shapes 99999999x3
usage 'from 4 to 4096' --blocks 5000
usage 'takes B = 15' --formats seed --blocks 15
usage 'from 1 to' --threads 4000
usage 'from 1 to' --threads 0
usage 'cold hot' --cache warm
usage 'product model' --kinds nothing
usage 'an empty list' --kinds ''
usage 'an empty list' --cache ''
usage '--no-such-option' --no-such-option
usage 'unexpected argument' stray
usage '--benchmark_no_such' --benchmark_no_such=1
usage '--benchmark_format=xml' --benchmark_format=xml
usage '--benchmark_repetitions' --benchmark_repetitions=0
usage '--min-time' --min-time -1
usage '--launches' --launches 0
for option in min-time probe-time foreign-limit slowest; do
    usage "--$option" --$option nan
done
usage '--slowest' --slowest -1
usage 'aggregates_only' --benchmark_report_aggregates_only=true
usage 'aggregates_only' --benchmark_report_aggregates_only
usage 'no_such_event' --events no_such_event --kinds prepare
RBE_DISABLE_ISA=nonsense "$bench" > "$dir/out" 2> "$dir/err"
check 'RBE_DISABLE_ISA: exit 2' equal $? 2
check 'RBE_DISABLE_ISA: valid names' grep -q 'valid: sse41' "$dir/err"

"$bench" --help > "$dir/out" 2> "$dir/err"
check 'help: exit 0' equal $? 0
check 'help: options' grep -q -- '--cpus' "$dir/out"

"$bench" --benchmark_list_tests > "$dir/list" 2> "$dir/err"
check 'list: exit 0' equal $? 0
for shape in 2304x768 768x768 3072x768 768x3072 50257x768; do
    check "list: gemv_f32_scalar on $shape" grep -q "^gemv_f32_scalar/$shape/" "$dir/list"
done
check 'list: 14 block sizes or more' test \
    "$(grep -oE '^gemv_seed_scalar/3072x768/B:[0-9]+/cold' "$dir/list" | sort -u | wc -l)" -ge 14
check 'list: whole models' grep -q '^model_gemv_seed_' "$dir/list"
check 'list: probes' grep -q '^probe_read_.*/bytes:[0-9]*/t:1' "$dir/list"
# Every kernel that a shape and format fits, on every shape, B, number of threads and cache.
for kernel in $(grep -oE '^gem[vm]_seed[4g]?_[a-z0-9]+/' "$dir/list" | sort -u); do
    for shape in 2304x768 768x768 3072x768 768x3072 50257x768; do
        check "list: B of $kernel$shape" test \
            "$(grep "^$kernel$shape/B:" "$dir/list" | cut -d/ -f3 | sort -u | wc -l)" -ge 14
    done
done
best=$(grep -oE '^gemv_seed_[a-z0-9]+/' "$dir/list" | tail -n 1)
"$bench" --benchmark_list_tests --benchmark_filter="${best}768x768/B:64/" \
    > "$dir/some" 2> "$dir/err"
check 'list: filtered, cold' grep -q "^${best}768x768/B:64/cold/t:1/" "$dir/some"
check 'list: filtered, hot' grep -q "^${best}768x768/B:64/hot/t:1/" "$dir/some"
check 'list: filtered, nothing else' bash -c "! grep -qvF '${best}768x768/B:64/' '$dir/some'"
"$bench" --benchmark_list_tests --formats hybrid --isa scalar --blocks 32 \
    > "$dir/some" 2> "$dir/err"
check 'list: K goes with B' grep -q '/B:32/K:109/' "$dir/some"
RBE_DISABLE_ISA=all "$bench" --benchmark_list_tests > "$dir/list" 2> "$dir/err"
check 'masked: only scalar kernels' bash -c "! grep -vE '_(scalar|any)/|^prepare_|^dense_' '$dir/list'"

# A small run: valid JSON (it can be read again), every field that reports need.
run=("$bench" --kernels gemv_f32_scalar --shapes 96x64 --kinds product --min-time 0.002
    --probe-time 0.0005 --set-limit 16 --benchmark_repetitions=3)
"${run[@]}" --cache cold,hot --out "$dir/r.json" --tsv "$dir/r.tsv" --svg "$dir/t.svg" \
    > "$dir/out" 2> "$dir/err"
check 'run: exit 0' equal $? 0
for field in bytes_per_second items_per_second read_fraction peak_fraction bits_per_weight \
    ratio lost_share foreign_share repetition_index read_curve measured_cache_bytes peaks \
    topology cpus_pinned conditions warnings counters unavailable verification page_bytes \
    multiply_adds_per_second compiler flags dirty median mad schema command; do
    check "json: $field" grep -q "\"$field\"" "$dir/r.json"
done
check 'json: nothing is NaN' bash -c "! grep -qiE ': *-?(nan|inf)' '$dir/r.json'"
check 'no partial file is left' test ! -e "$dir/r.json.partial"
check 'raw samples' test "$(grep -c '"accepted"' "$dir/r.json.samples.jsonl")" -ge 6
check 'tsv: 2 rows' equal "$(grep -c '^gemv' "$dir/r.tsv")" 2
check 'tsv: equal columns' equal \
    "$(grep -v '^#' "$dir/r.tsv" | awk -F'\t' '{ print NF }' | sort -u | wc -l)" 1
for key in commit dirty compiler flags cpu isa topology_summary numa_nodes smt 'cache level=' \
    roof_read roof_peak cold_bytes; do
    check "tsv: header has $key" grep -q "^# $key" "$dir/r.tsv"
done
check 'tsv: counters' bash -c "grep '^name' '$dir/r.tsv' | grep -q task_clock_ns || \
    grep -q '^# no_counter task_clock_ns' '$dir/r.tsv'"
head -n 1 "$dir/r.json.samples.jsonl" > "$dir/first"
for key in numa_nodes smt caches compiler commit cpus_pinned; do
    check "samples: first line has $key" grep -q "\"$key\"" "$dir/first"
done
check 'svg' grep -q "class='pinned'" "$dir/t.svg"
if ! grep -q '"hardware": true' "$dir/r.json"; then
    check 'absent counters: the reason is printed' grep -q 'no hardware counters: ' "$dir/err"
    check 'absent counters: no zeros' bash -c "! grep -q '\"cycles\": 0' '$dir/r.json'"
fi
"$bench" --summarise "$dir/r.json" > "$dir/again" 2> "$dir/err"
check 'summarise: exit 0' equal $? 0
check 'summarise: the same table' cmp -s "$dir/out" "$dir/again"
head -c 2000 "$dir/r.json" > "$dir/cut.json"
"$bench" --summarise "$dir/cut.json" > "$dir/out" 2> "$dir/err"
check 'cut json: exit 1' equal $? 1
check 'cut json: one line naming it' grep -q 'cut.json: line' "$dir/err"
echo '{}' > "$dir/empty.json"
"$bench" --summarise "$dir/empty.json" > "$dir/out" 2> "$dir/err"
check 'other json: exit 1' equal $? 1

# What is no regular file is neither replaced nor waited for.
mkfifo "$dir/pipe"
for option in out tsv svg; do
    "${run[@]}" --$option "$dir/pipe" > "$dir/out" 2> "$dir/err"
    check "--$option a pipe: exit 1" equal $? 1
    check "--$option a pipe: one line" lines "$dir/err" 1
    check "--$option a pipe: says so" grep -q 'pipe: cannot write: not a regular file' "$dir/err"
    check "--$option a pipe: still one" test -p "$dir/pipe"
done
rm "$dir/pipe"
# A table that cannot be written is found before anything is measured, and nothing is left.
"${run[@]}" --out "$dir/u.json" --tsv "$dir/no/such/folder.tsv" > "$dir/out" 2> "$dir/err"
check 'unwritable tsv: exit 1' equal $? 1
check 'unwritable tsv: one line' lines "$dir/err" 1
check 'unwritable tsv: nothing is left' bash -c "! ls '$dir'/u.json* 2> /dev/null"
# Two NUMA nodes of a machine that hwloc makes up.
HWLOC_SYNTHETIC='pack:2 [numa(memory=1073741824)] core:2 pu:1' "${run[@]}" --threads 1 \
    --svg "$dir/numa.svg" --benchmark_filter=nothing_is_called_this > "$dir/out" 2> "$dir/err"
check 'svg: NUMA nodes' equal "$(grep -c '>NUMA [01]: 1.0 GiB<' "$dir/numa.svg")" 2

"${run[@]}" --benchmark_filter=nothing_is_called_this > "$dir/out" 2> "$dir/err"
check 'empty selection: exit 2' equal $? 2
check 'empty selection: says so' grep -q 'selects nothing' "$dir/err"
check 'empty selection: before the machine is measured' lines "$dir/err" 1
"${run[@]}" --benchmark_filter='(' > "$dir/out" 2> "$dir/err"
check 'no expression: exit 2' equal $? 2
check 'no expression: one line' lines "$dir/err" 1
check 'no expression: says so' grep -q "the filter '('" "$dir/err"
"${run[@]}" --out "$dir/no/such/folder.json" > "$dir/out" 2> "$dir/err"
check 'unwritable: exit 1' equal $? 1
check 'unwritable: one line' lines "$dir/err" 1

# Scatter is judged from three samples on.
"${run[@]}" --benchmark_repetitions=2 --tsv "$dir/two.tsv" > "$dir/out" 2> "$dir/err"
unstable=$(awk -F'\t' '/^name/ { for (i = 1; i <= NF; i++) if ($i == "unstable") c = i }
    /^gemv/ { print $c }' "$dir/two.tsv" | sort -u)
check 'two samples: unstable' equal "$unstable" 1
check 'two samples: says so' grep -q 'too few samples' "$dir/out"
# Without repetitions there are no rows, and that is no success.
sed 's/"run_type": "iteration"/"run_type": "aggregate"/' "$dir/r.json" > "$dir/agg.json"
"$bench" --summarise "$dir/agg.json" > "$dir/out" 2> "$dir/err"
check 'no repetitions: exit 1' equal $? 1
check 'no repetitions: says so' grep -q 'no repetitions' "$dir/err"

# Every plot, from made-up rows in the columns of a real table; without threads there is none of
# them, and that is no failure; a table without rows is one.
here=$(cd "$(dirname "$0")/.." && pwd)
if command -v gnuplot > /dev/null; then
    awk -f "$here/test/table.awk" "$dir/r.tsv" > "$dir/made.tsv"
    "$here/plots.sh" "$dir/made.tsv" "$dir/plots" > "$dir/out" 2> "$dir/err"
    check 'plots: exit 0' equal $? 0
    check 'plots: nothing to say' lines "$dir/err" 0
    for gp in "$here"/../reports/plots/bench-*.gp; do
        name=$(basename "$gp" .gp)
        [ "$name" = bench-common ] && continue
        check "plots: $name.png" bash -c "head -c 4 '$dir/plots/$name.png' | grep -q PNG"
        check "plots: $name.svg" grep -q '</svg>' "$dir/plots/$name.svg"
    done
    check 'plots: the kernel that is used' grep -q 'seed_avx512vnni' "$dir/plots/bench-threads.svg"
    check 'plots: no other' bash -c "! grep -q 'seed_avx512vbmi2' '$dir/plots/bench-threads.svg'"
    for t in 1 2 4 8; do
        check "plots: tokens on $t" grep -q ">$t thread" "$dir/plots/bench-tokens.svg"
        check "plots: memory on $t" grep -q ">$t thread" "$dir/plots/bench-memory.svg"
    done
    awk -v threads=1 -f "$here/test/table.awk" "$dir/r.tsv" > "$dir/made.tsv"
    "$here/plots.sh" "$dir/made.tsv" "$dir/plots" > "$dir/out" 2> "$dir/err"
    check 'plots, one thread: exit 0' equal $? 0
    check 'plots, one thread: one left out' grep -q '^plots.sh: bench-threads left out' "$dir/err"
    check 'plots, one thread: not drawn' test ! -e "$dir/plots/bench-threads.png"
    grep -v '^gemv' "$dir/r.tsv" > "$dir/made.tsv"
    "$here/plots.sh" "$dir/made.tsv" "$dir/plots" > "$dir/out" 2> "$dir/err"
    check 'plots, no rows: exit 1' equal $? 1
else
    check 'gnuplot is there in CI' test -z "${CI:-}"
    echo 'SKIP plots: gnuplot is not installed'
fi

# Two processes, joined: both are among the rows, and their spread is printed.
"${run[@]}" --launches 2 --out "$dir/l.json" --tsv "$dir/l.tsv" --svg "$dir/l.svg" \
    > "$dir/out" 2> "$dir/err"
check 'launches: exit 0' equal $? 0
check 'launches: both' grep -q '"launch": 1' "$dir/l.json"
check 'launches: samples of both' equal "$(awk -F'\t' '$1 ~ /^gemv/ { print $13 }' "$dir/l.tsv")" 6
check 'launches: svg' grep -q "class='pinned'" "$dir/l.svg"
check 'launches: count' grep -q '"launches": 2' "$dir/l.json"

# Ctrl-C: stops soon, keeps what was measured, says so.
"${run[@]}" --min-time 0.2 --benchmark_repetitions=50 \
    --out "$dir/i.json" > "$dir/out" 2> "$dir/err" &
pid=$!
for _ in $(seq 100); do
    grep -qs '"accepted"' "$dir/i.json.samples.jsonl" && break
    sleep 0.2
done
sleep 0.5
kill -INT $pid
wait $pid
check 'interrupt: exit 1' equal $? 1
check 'interrupt: says so' grep -q 'interrupted' "$dir/err"
check 'interrupt: the result says so' grep -q '"interrupted": true' "$dir/i.json"
check 'interrupt: the result can be read' "$bench" -q --summarise "$dir/i.json"

# A crash: samples taken so far are there, no result pretends to be whole.
"${run[@]}" --min-time 0.2 --benchmark_repetitions=50 --out "$dir/k.json" > "$dir/out" \
    2> "$dir/err" &
pid=$!
for _ in $(seq 100); do
    grep -qs '"accepted"' "$dir/k.json.samples.jsonl" && break
    sleep 0.2
done
kill -KILL $pid
wait $pid 2> /dev/null
check 'kill: samples are kept' grep -q '"accepted"' "$dir/k.json.samples.jsonl"
check 'kill: no result' test ! -e "$dir/k.json"

finish

#!/usr/bin/env bash
# gate-quality.sh FOLDER STEP... - how often the gate is wrong, and how long it takes
#
# SPDX-License-Identifier: MIT
#
# Steps, each of which can be run alone and again (results in FOLDER are added to):
#   prepare            builds the worker, plain and with a planted slow-down; encodes a model
#   live LEVEL N       N real decisions with a slow-down of LEVEL percent; 0 = the same program
#   pool LEVEL N       records N rounds of such a pair
#   table              Markdown: the live decisions, and 1000 decisions drawn from each pool
# METRICS (default decode) and BUDGET (default 120 s) are taken from the environment.
set -u
cd "$(dirname "$0")/.." || exit 1
[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
mkdir -p "$1" && folder=$(cd "$1" && pwd) || exit 1
shift
metrics=${METRICS:-decode} budget=${BUDGET:-120}
arch=$(gcc -dumpmachine)
root=${BUILDROOT:-build}
bin=$root/${arch%%-*}-release/bin

prepare() {
    local plant
    for plant in -DRBE_PLANT_SLOWDOWN ''; do
        make -s -f Makefile -f ci/gate.mk PLANT="$plant" -j"$(nproc)" gate-programs || exit 1
        cp "$bin/gate-worker" "$folder/worker${plant:+-planted}" || exit 1
    done
    cp "$bin/rbe" "$folder/rbe" || exit 1
    "$folder/rbe" convert --quiet --codec=seed --block=44 --search=fast --no-calibration \
        datasets/embedded/rbe-mini "$folder/model.rbe" > "$folder/log" || exit 1
}

# pair LEVEL OPTION...: the gate on a program and the same slowed down.
pair() {
    local level=$1 new="exec '$folder/worker' '$folder/model.rbe' 1"
    shift
    [ "$level" = 0 ] ||
        new="RBE_PLANT_SLOWDOWN=$level exec '$folder/worker-planted' '$folder/model.rbe' 1"
    "$folder/rbe" gate --base "exec '$folder/worker' '$folder/model.rbe' 1" --new "$new" \
        --metrics "$metrics" --budget "$budget" "$@"
}

# One line for each decision: verdict (the exit status) and seconds.
live() {
    local i rc n start file=$folder/live-$1
    touch "$file"
    n=$(wc -l < "$file")
    for ((i = 0; i < $2; i++)); do
        start=$EPOCHREALTIME
        pair "$1" --seed $((1000 * ($1 + 1) + n + i)) > "$folder/log" 2>&1
        rc=$?
        case $rc in
        0 | 3 | 4) echo "$rc $(awk "BEGIN { print $EPOCHREALTIME - $start }")" >> "$file" ;;
        *) cat "$folder/log" && exit 1 ;;
        esac
    done
}

# decisions, rounds of the pool, regressions, passes, too noisy, rounds and seconds of each.
drawn() {
    "$folder/rbe" gate --replay "$folder/pool-$1" --metrics "$metrics" --budget "$budget" \
        --decisions 1000 | sed 's/95 %//g; s/[^0-9. ]//g'
}

table() {
    local level f
    echo "| slow-down | how | decisions | regression | pass | too noisy | seconds: median | 95 % | most |"
    echo '|---:|---|---:|---:|---:|---:|---:|---:|---:|'
    for f in $(cd "$folder" && printf '%s\n' live-* pool-* | sed 's/^[a-z]*-//' | grep '^[0-9]' |
        sort -n -u); do
        level=$f
        if [ -f "$folder/live-$level" ]; then
            sort -n -k 2 "$folder/live-$level" | awk -v level="$level" '
                { n[$1]++; t[NR] = $2 }
                END { printf "| %s %% | live | %d | %d | %d | %d | %.1f | %.1f | %.1f |\n", level,
                      NR, n[3], n[0], n[4], t[int((NR + 1) / 2)], t[int(NR * 0.95 + 0.999)], t[NR] }'
        fi
        if [ -f "$folder/pool-$level" ]; then
            drawn "$level" | awk -v level="$level" '{ printf \
                "| %s %% | drawn from %d rounds | %d | %d | %d | %d | %s | %s | %s |\n", level,
                $2, $1, $3, $4, $5, $8, $9, $10 }'
        fi
    done
}

while [ $# -gt 0 ]; do
    case $1 in
    prepare) prepare ;;
    live) live "$2" "$3" && shift 2 ;;
    pool)
        pair "$2" --rounds "$3" --record "$folder/pool-$2" > "$folder/log" 2>&1
        case $? in 0 | 3 | 4) ;; *) cat "$folder/log" && exit 1 ;; esac
        shift 2
        ;;
    table) table ;;
    *) echo "gate-quality.sh: no step '$1'" >&2 && exit 2 ;;
    esac
    shift
done

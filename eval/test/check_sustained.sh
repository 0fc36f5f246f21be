#!/usr/bin/env bash
# check_sustained.sh - rbe eval sustained: its curve, the machine's sensors, ends before the end.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
bin=${RBE_BIN:?folder of the programs}
export RBE_DATA=$PWD/datasets/embedded
cd "$work" || exit 1
"$bin/rbe" synth m --shape 1,32,2,64,8192 > out 2> err || exit 1

# holds TEST FILE: of its row.
holds() { jq -e "$1" "$2" > out; }
# A machine of two zones and two CPUs.
mkdir -p sys/class/thermal/thermal_zone{0,1} sys/devices/system/cpu/cpu{0,1}/cpufreq
echo 40000 > sys/class/thermal/thermal_zone0/temp
echo 61500 > sys/class/thermal/thermal_zone1/temp
echo 1800000 > sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq
echo 1200000 > sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq
run() { RBE_SYSFS=$PWD/sys "$bin/$1" eval sustained -q --threads 1 --prompt 8 "${@:2}"; }
check 'rbe-run measures too' gives 0 run rbe-run --model m --minutes 0.02 --interval 0.4 --out r.jsonl
check 'three points' test "$(jq '.intervals | length' r.jsonl)" = 3
check 'of the whole time' holds '.complete and .minutes >= 0.02 and .interval_s == 0.4' r.jsonl
check 'tokens in each' holds 'all(.intervals[]; .tokens >= 1 and .tokens_per_s > 0)' r.jsonl
check 'their sum' holds '.tokens == ([.intervals[].tokens] | add)' r.jsonl
check 'the ends' holds '.first_tokens_per_s == .intervals[0].tokens_per_s and
    .last_tokens_per_s == .intervals[2].tokens_per_s and
    (.retained * .first_tokens_per_s / .last_tokens_per_s - 1 | fabs) < 1e-9 and
    .last_median_ms == .intervals[2].median_ms' r.jsonl
check 'the warmest zone' holds '.warmest_c == 61.5 and .intervals[1].temperature_c == 61.5' r.jsonl
check 'the mean frequency' holds '.intervals[0].mhz == 1500' r.jsonl
check 'no device' holds '.machine.device == null' r.jsonl

check 'a table' gives 0 env RBE_DEVICE=pi RBE_SYSFS=/nowhere "$bin/rbe" eval sustained -q --model m --prompt 8 \
    --minutes 0.01 --interval 0.1 --out n.jsonl
check 'a line a point' test "$(grep -c '^ *[0-9]' out)" -ge 6
check 'a machine that tells nothing' holds '.warmest_c == null and .intervals[0].mhz == null and
    .machine.device == "pi"' n.jsonl
check 'one point' gives 0 run rbe --model m --minutes 0.01 --interval 0.6 --out one.jsonl
check 'has no ratio' holds '(.intervals | length) == 1 and .retained == null' one.jsonl

# A signal ends it; what was measured is a row.
run rbe --model m --minutes 100 --interval 0.2 --out i.jsonl > out 2> err &
pid=$!
sleep 1
kill -TERM "$(pgrep -P $pid)" 2> /dev/null || kill -TERM $pid
wait $pid
check 'interrupted: one line' one_line interrupted
check 'and a row of what there was' holds '.complete == false and (.intervals | length) >= 2' i.jsonl

check 'no parts' refuses 2 'has no parts' run rbe --model m --shard 1/2
check 'a prompt that is too long' refuses 2 'beyond' run rbe --model m --prompt 63
check 'a device of no criterion' refuses 2 'RBE_DEVICE=Pi: valid: phone, pi, desktop$' env RBE_DEVICE=Pi "$bin/rbe" eval sustained \
    -q --model m
check 'no time' gives 2 run rbe --model m --minutes 0
check 'no model' refuses 1 missing run rbe --model missing
finish

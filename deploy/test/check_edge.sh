#!/usr/bin/env bash
# check_edge.sh - a board's limits: threads by cpu.max, memory by memory.max; its systemd units.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
bin=${RBE_BIN:?folder of the programs}
export RBE_DATA=$PWD/datasets/embedded
model=$RBE_DATA/mini-2.89-tuned.rbe
edge=$PWD/deploy/edge

# limits CPU.MAX MEMORY.MAX: those of all groups, in both versions' places.
limits() {
    rm -rf "$work/sys"
    mkdir -p "$work"/sys/fs/cgroup/{cpu,memory}
    echo "$1" > "$work/sys/fs/cgroup/cpu.max"
    cp "$work/sys/fs/cgroup/cpu.max" "$work/sys/fs/cgroup/cpu/"
    echo "$2" > "$work/sys/fs/cgroup/memory.max"
    cp "$work/sys/fs/cgroup/memory.max" "$work/sys/fs/cgroup/memory/"
}
run() { RBE_SYSFS=$work/sys "$bin/rbe-run" "$@"; }
generate() { run generate "$model" -p 'The city' -n 4 --temperature 0 --json "$@"; }
holds() { jq -e "$1" "$work/out" > "$work/jq"; }

limits 'max 100000' max
check 'without limits' gives 0 generate
allowed=$(jq .threads "$work/out")
ids=$(jq -c .ids "$work/out")
limits '150000 100000' max
check 'a quota of 1.5 CPUs' gives 0 generate
check 'gives one thread' holds '.threads == 1 and (.oversubscribed | not)'
limits '20000 100000' max
check 'one of 0.2' gives 0 generate
check 'too' holds '.threads == 1'
limits '6400000 100000' max
check 'one of 64' gives 0 generate
check 'no more than CPUs' holds ".threads == $allowed"
limits '100000 100000' max
check 'threads that are asked for' gives 0 generate -t 2
check 'are given, and marked' holds '.threads == 2 and .oversubscribed'
check 'with a warning' one_line '2 threads on 1 CPU'

limits 'max 100000' 268435456
check 'the board has room' gives 0 generate
check 'the same tokens' holds ".ids == $ids"
limits 'max 100000' 4000000
check 'a group smaller than the model' refuses 1 'more than the 4.0 MB of the control group' generate
check 'nothing is said' test ! -s "$work/out"
check 'chat too' refuses 1 'the 4.0 MB of the control group' run chat --model "$model"
check 'the service too' refuses 1 'the 4.0 MB of the control group' env RBE_SYSFS="$work/sys" \
    "$bin/rbe-serve" -m "$model"
limits 'max 100000' 4300000
check 'no room for the session' refuses 1 'of the control group' generate
limits 'max 100000' 9000000
check 'nor for several' refuses 1 'of the control group' env RBE_SYSFS="$work/sys" \
    "$bin/rbe-serve" -m "$model" --sessions 100
if limits_hold "$bin/rbe-run"; then
    check 'a limit of addresses' refuses 1 'limit of 6.0 MB' generate --memory-limit 6000000
fi

# --- units ----------------------------------------------------------------------------------
if command -v systemd-analyze > /dev/null; then
    mkdir "$work/units"
    cp "$edge"/rbe* "$work/units/"
    sed -i "s#/usr/local/bin/#$bin/#" "$work/units/"*.service
    check 'systemd takes the units' gives 0 systemd-analyze verify --man=no "$work/units"/rbe*
    check 'without a word' test ! -s "$work/err"
    echo 'MemoryMax=lots' >> "$work/units/rbe-chat@.service"
    systemd-analyze verify --man=no "$work/units"/rbe* > "$work/out" 2> "$work/err"
    check 'and would say one' grep -q 'memory limit' "$work/err"
else
    echo 'SKIP the units: no systemd-analyze'
fi
# What the unit runs, over what would be the socket.
limits 'max 100000' 268435456
command=$(sed -n "s#^ExecStart=/usr/local/bin/rbe-run##p" "$edge/rbe-chat@.service")
command=${command//\/var\/lib\/rbe\/model.rbe/$model}
command=${command//\/var\/lib\/rbe\/tokenizer/$RBE_DATA/rbe-mini}
# shellcheck disable=SC2086
check 'the unit answers' test "$(printf 'Who?\n' | run $command | wc -l)" -ge 1
finish

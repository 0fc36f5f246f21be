#!/usr/bin/env bash
# fleet.sh - scripts/fleet.sh on Slurm with killed tasks and nodes, and by GNU parallel
#
# SPDX-License-Identifier: MIT
#
# A controller and two node daemons on this machine, all files in a folder of their own; as root
# or as anybody, without systemd.  While a grid is at work a task is killed, a node with all that
# runs on it, and the daemon of a node whose task goes on.  Then the rows and models are compared
# with those of plain commands, bit for bit.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
PATH=$PATH:/usr/sbin
for tool in slurmctld slurmd munged sbatch parallel jq; do
    command -v $tool > /dev/null || { echo "SKIP no $tool (scripts/deps.sh --fleet)"; exit 77; }
done
arch=$(${CC:-gcc} -dumpmachine)
make -s -j"$(nproc)" programs || exit 1
PATH=$(cd "$BUILDROOT/${arch%%-*}-release/bin" && pwd):$PATH
export PATH
export RBE_DATA=$PWD/datasets/embedded
work=$(mktemp -d) passed=0 failed=0
chmod 755 "$work"
conf=$work/slurm/slurm.conf
export SLURM_CONF=$conf FLEET_POLL=1

check() { # WHAT COMMAND...
    if "${@:2}"; then
        passed=$((passed + 1))
        echo "ok   $1 ($SECONDS s)"
    else
        failed=$((failed + 1))
        echo "FAIL $1"
    fi
}

# --- Slurm on one machine -------------------------------------------------------------------

mkdir -p "$work"/slurm/{state,spool-a,spool-b} "$work/munge"
chmod 700 "$work/munge"
head -c 1024 /dev/urandom > "$work/munge/key"
chmod 400 "$work/munge/key"
# free: three ports that nobody has.
free() {
    python3 -c '
import socket
s = [socket.socket() for i in range(3)]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])'
}
read -r port port_a port_b <<< "$(free)"
host=$(uname -n)
host=${host%%.*} user=$(id -un)
cat > "$conf" << END
ClusterName=fleet
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# A job that lost its node begins again once its credential has expired.
AuthInfo=socket=$work/munge.socket,cred_expire=5
StateSaveLocation=$work/slurm/state
SlurmdSpoolDir=$work/slurm/spool-%n
SlurmctldPidFile=$work/slurm/slurmctld.pid
SlurmdPidFile=$work/slurm/slurmd-%n.pid
SlurmctldLogFile=$work/slurm/slurmctld.log
SlurmdLogFile=$work/slurm/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=1,bf_interval=1,requeue_delay=1
SlurmdTimeout=10
KillWait=2
UnkillableStepTimeout=5
ReturnToService=2
MpiDefault=none
NodeName=a NodeHostname=$host NodeAddr=127.0.0.1 Port=$port_a CPUs=2 State=UNKNOWN
NodeName=b NodeHostname=$host NodeAddr=127.0.0.1 Port=$port_b CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
# Later versions look for control groups, which a container has not to give.
slurmd -V | grep -q ' 22\.' || echo 'CgroupPlugin=disabled' > "${conf%/*}/cgroup.conf"

# of_node NAME: the processes of a node's jobs, and what watches them.
of_node() {
    local p parent
    grep -lsz "^SLURM_CONF=$conf$" /proc/[0-9]*/environ | cut -d / -f 3 | while read -r p; do
        grep -qsz "^SLURMD_NODENAME=$1$" "/proc/$p/environ" || continue
        echo "$p"
        parent=$(awk '/^PPid/ { print $2 }' "/proc/$p/status" 2> /dev/null)
        grep -qs '^slurmstepd' "/proc/$parent/comm" && echo "$parent"
    done | sort -u
}
daemon() { slurmd -f "$conf" -N "$1"; }
kill_daemon() { kill -KILL "$(cat "$work/slurm/slurmd-$1.pid")"; }
end() {
    local p
    scancel --user="$user" 2> /dev/null
    for p in $(of_node a) $(of_node b); do kill -KILL "$p" 2> /dev/null; done
    for p in "$work"/slurm/*.pid "$work/munge/pid"; do
        [ ! -s "$p" ] || kill "$(cat "$p")" 2> /dev/null
    done
    sleep 1
    [ $failed = 0 ] || tail -n 20 "$work"/slurm/*.log "$work"/*.log
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM
munged --force --key-file="$work/munge/key" --socket="$work/munge.socket" \
    --pid-file="$work/munge/pid" --log-file="$work/munge/log" --seed-file="$work/munge/seed" ||
    exit 1
slurmctld -f "$conf" || exit 1
check 'two node daemons start' eval 'daemon a && daemon b'
idle() { [ "$(sinfo -h -N -o '%T' 2> /dev/null | grep -cx idle)" = 2 ]; }
# within SECONDS COMMAND...
within() {
    local until=$((SECONDS + $1))
    while ! "${@:2}"; do
        if [ $SECONDS -ge $until ] || ! kill -0 "${alive:-$$}" 2> /dev/null; then return 1; fi
        sleep 0.2
    done
}
check 'and are idle' within 60 idle

# --- the grid, and the same by plain commands -----------------------------------------------

head -c 3000 "$RBE_DATA/calibration.txt" > "$work/small.txt"
head -c 12000 "$RBE_DATA/calibration.txt" > "$work/text"
head -n 40 "$RBE_DATA/lambada_test.jsonl" > "$work/lambada.jsonl"
rbe synth "$work/small" --shape 2,32,2,64,8192 > /dev/null
rbe synth "$work/mini" --shape 6,128,4,256,8192 --seed 2 > /dev/null
cat > "$work/grid" << END
model mini $work/mini
model small $work/small
profile seeds:3 --profile mini-2.89 --compensate 0 --search fast --calibration $work/text
profile int4
eval p1:4 perplexity --windows 120
eval kl:2 divergence --windows 8 --text $work/text
eval lambada:2 comprehension --limit 30 lambada=$work/lambada.jsonl
END
sed "/^model mini/d; s/:[34]/:2/; s|$work/text|$work/small.txt|; s/windows 120/windows 30/" \
    "$work/grid" > "$work/grid2"

# single GRID OUT: what it gives on one machine, without parts; models in OUT.models.
single() {
    local word name rest m p line words
    local -A path=() profile=() eval=()
    while read -r word name rest; do
        name=${name%:*}
        case $word in
        model) path[$name]=$rest ;;
        profile) profile[$name]=${rest:---profile $name} ;;
        eval) eval[$name]=$rest ;;
        esac
    done < "$1"
    mkdir -p "$2.models"
    for m in "${!path[@]}"; do
        for p in "${!profile[@]}"; do
            read -ra words <<< "${profile[$p]}"
            rbe convert "${path[$m]}" "$2.models/$m@$p.rbe" "${words[@]}" -q --json "$2" \
                > /dev/null 2>> "$2.log" || return 1
            for line in "${eval[@]}"; do
                read -ra words <<< "$line"
                rbe eval "${words[@]}" -m "${path[$m]}" -m "$2.models/$m@$p.rbe" --quiet \
                    --out "$2" > /dev/null 2>> "$2.log" || return 1
            done
        done
    done
}
# rows FILE: what does not depend on the run, each once, in an order of its own.
rows() {
    jq -cS 'del(.time_utc, .command, .machine, .seconds, .peak_bytes, .shards, .time_ratio,
                .tokens_per_s, .stages, .tensors[]?.seconds)' "$1" | sort -u
}
same_rows() { [ -s "$1" ] && cmp <(rows "$1") <(rows "$2"); }
same_models() { # WORK OUT
    local f n=0
    for f in "$1"/models/*/*.rbe; do
        cmp "$f" "$2.models/${f##*/}" || return 1
        n=$((n + 1))
    done
    [ $n = "$(find "$2.models" -name '*.rbe' | wc -l)" ]
}
check 'the grid by plain commands' single "$work/grid" "$work/single.jsonl"
check 'the small grid by plain commands' single "$work/grid2" "$work/single2.jsonl"

# --- Slurm, with what may happen to it ------------------------------------------------------

fleet() { scripts/fleet.sh --threads 1 "$@"; }
fleet --slurm --wait "$work/grid" "$work/out.jsonl" > "$work/fleet.log" 2>&1 &
fleet=$! alive=$fleet
# running STAGE [NODE]: a task of that stage is at work; its pid is in $pid.
running() {
    for pid in $(of_node "${2:-a}") $([ $# = 2 ] || of_node b); do
        [ "$(readlink "/proc/$pid/exe")" = "$(command -v rbe)" ] &&
            grep -qsxz "$1" "/proc/$pid/cmdline" && return
    done
    return 1
}
if within 300 running convert; then kill -KILL "$pid"; killed=1; fi
check 'a task of converting was killed' [ -n "${killed:-}" ]
killed=''
if within 300 running eval; then kill -KILL "$pid"; killed=1; fi
check 'a task of measuring was killed' [ -n "$killed" ]
killed=''
if within 300 running eval b; then
    kill_daemon b
    for p in $(of_node b); do kill -KILL "$p" 2> /dev/null; done
    killed=1
fi
check 'a node was killed with its task' [ -n "$killed" ]
killed=''
if within 300 running eval a; then
    kill_daemon a
    killed=1
fi
check "a node's daemon was killed, its task goes on" [ -n "$killed" ]
down() { sinfo -h -N -o '%N %T' | grep -q '^[ab] down'; }
check 'the controller notices' within 120 down
check 'the daemons start again' eval 'daemon a && daemon b'
alive=
wait $fleet
check 'the grid ends, nothing is missing' [ $? = 0 ]
tail -n 1 "$work/fleet.log"
check 'the log of the controller tells of a requeue' grep -qi 'requeue' "$work/slurm/slurmctld.log"
check 'a task was tried again' grep -rqs '^fleet.sh: .* failed$' "$work/out.jsonl.fleet/logs"
check "Slurm's models are those of one machine" same_models "$work/out.jsonl.fleet" \
    "$work/single.jsonl"
check "Slurm's rows are those of one machine" same_rows "$work/out.jsonl" "$work/single.jsonl"

# All jobs cancelled: what is missing is said, and the same command goes on.
fleet --slurm "$work/grid2" "$work/out2.jsonl" > "$work/fleet2.log" 2>&1
within 120 running convert
scancel --user="$user"
none() { [ -z "$(squeue -h)" ]; }
check 'all jobs are cancelled' within 60 none
fleet --status "$work/grid2" "$work/out2.jsonl" > "$work/status.log" 2>&1
check 'and the rest is missing' [ $? = 1 ]
check 'by model, profile and evaluation' grep -q '^missing: small by seeds, p1$' "$work/status.log"
check 'the same command does it' fleet --slurm --wait "$work/grid2" "$work/out2.jsonl"
check 'to the same rows' same_rows "$work/out2.jsonl" "$work/single2.jsonl"
check 'nothing is left to do' fleet --status "$work/grid2" "$work/out2.jsonl"

# --- GNU parallel ---------------------------------------------------------------------------

unset SLURM_CONF
fleet --jobs 2 "$work/grid2" "$work/out3.jsonl" > "$work/fleet3.log" 2>&1 &
fleet=$! alive=$fleet
ours() {
    pid=$(pgrep -f "rbe eval .*$work/out3.jsonl.fleet" | head -n 1)
    [ -n "$pid" ]
}
killed=''
if within 120 ours; then kill -KILL "$pid"; killed=1; fi
check 'by GNU parallel: a task was killed' [ -n "$killed" ]
alive=
wait $fleet
check 'by GNU parallel: nothing is missing' [ $? = 0 ]
check 'by GNU parallel: the same rows' same_rows "$work/out3.jsonl" "$work/single2.jsonl"
check 'by GNU parallel: the same models' same_models "$work/out3.jsonl.fleet" \
    "$work/single2.jsonl"

echo "$passed passed, $failed failed"
[ $failed = 0 ]

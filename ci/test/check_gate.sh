#!/usr/bin/env bash
# check_gate.sh - the gate's decisions on made-up times, and ci/gate.sh on a made-up project
#
# SPDX-License-Identifier: MIT
#
# Runs alone: it judges times.
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
rbe=${RBE_BIN:?folder with the program rbe}/rbe
here=$(cd "$(dirname "$0")/../.." && pwd)

has() { grep -q -- "$2" "$1"; }

# A worker whose units last MS milliseconds, more or less by up to SPREAD thousandths.
cat > "$work/stub" <<'STUB'
#!/usr/bin/env bash
RANDOM=$$
echo ready
while read -r what n; do
    case $what in
    cpu) echo ok ;;
    memory) echo "${MEMORY:-1000000}" ;;
    bad) echo '1 2 nonsense' ;;
    gone) exit 0 ;;
    stuck) sleep 1000 ;;
    quiet) echo 'error as it was told' ;;
    *)
        for ((i = 0; i < n; i++)); do
            printf '%d ' $((MS * (1000 + RANDOM % (2 * SPREAD + 1) - SPREAD)))
        done
        echo
        ;;
    esac
done
STUB
chmod +x "$work/stub"
gate() {
    local ms=$1
    shift
    "$rbe" gate --base "SPREAD=${SPREAD:-10} MS=1000 exec $work/stub" \
        --new "SPREAD=${SPREAD:-10} MS=$ms exec $work/stub" --sample-ms 4 --metrics decode "$@"
}

check 'passes what is the same' gives 0 gate 1000
check 'passes what is faster' gives 0 gate 900
check 'catches 5 %' gives 3 gate 1050 --markdown "$work/gate.md" --append "$work/h/history.jsonl"
check 'says so' has "$work/out" '^regression: new against base'
check 'in Markdown' has "$work/gate.md" '^| decode .* regression |$'
check 'and in the history' has "$work/h/history.jsonl" '"verdict":"regression"'
check 'appends another' gives 0 gate 1000 --append "$work/h/history.jsonl" --exact bytes=10:9
check 'as a line' test "$(wc -l < "$work/h/history.jsonl")" = 2
check 'refuses another file as history' gives 1 gate 1000 --append "$work/stub"
check 'allows 2 % when asked for 10 %' gives 0 gate 1020 --threshold 10
# A unit lasts 1 ms.
check 'allows 5 % of it below a floor of 0.1 ms' gives 0 gate 1050 --floor 0.1
check 'not above one of 0.01 ms' gives 3 gate 1050 --floor 0.01
check 'catches worse perplexity' gives 3 gate 1000 --exact perplexity=50:50.1
check 'not a hair' gives 0 gate 1000 --exact perplexity=50:50.01
check 'judges counts alone' gives 3 gate 1000 --metrics '' --count decode=1000:1030
check 'allows fewer' gives 0 gate 1000 --metrics '' --count decode=1000:1010
SPREAD=900
# Of such noise three runs in a hundred find one of the two faster: two of three tell.
noisy() {
    local n=0 i status
    for i in 1 2 3; do
        status=0
        gate 1000 --budget 0.5 > "$work/out.$i" 2>&1 || status=$?
        [ $status != 4 ] || n=$((n + 1))
    done
    [ $n -ge 2 ]
}
check 'says when it is too noisy' noisy
SPREAD=10
check 'catches memory' gives 3 "$rbe" gate --base "exec $work/stub" \
    --new "MEMORY=1040000 exec $work/stub" --metrics memory
check 'refuses a base that talks nonsense' gives 5 gate 1000 --metrics bad
check 'in one line' one_line 'the worker of the base: bad: number 3 of 3'
check 'and one that goes away' gives 5 gate 1000 --metrics gone
check 'in one line' one_line 'ended without an answer'
check 'and one that says why' gives 5 gate 1000 --metrics quiet
check 'in one line' one_line 'the worker of the base: error as it was told'
check 'and one that never was' gives 5 "$rbe" gate --base false \
    --new "MS=1000 SPREAD=0 exec $work/stub"
check 'a new build that goes away' gives 1 "$rbe" gate --metrics decode \
    --base "MS=1000 SPREAD=0 exec $work/stub" --new 'echo ready; read x; exit 0'
check 'in one line' one_line 'the worker of the new build ended'
SECONDS=0
check 'ends a base that stops answering' gives 5 gate 1000 --metrics stuck --budget 1 \
    --patience 0.5
check 'in one line' one_line 'the worker of the base gave no answer in 0.5 s'
check 'and one that never begins' gives 1 "$rbe" gate --metrics decode --patience 0.5 \
    --base "MS=1000 SPREAD=0 exec $work/stub" --new 'sleep 1000; echo ready'
check 'in one line' one_line 'the worker of the new build gave no answer'
check 'within seconds' test $SECONDS -lt 20
check 'wants patience' gives 2 gate 1000 --patience 0
check 'wants workers' gives 2 "$rbe" gate
check 'and sane numbers' gives 2 gate 1000 --threshold 0
check 'records rounds' gives 0 gate 1000 --rounds 20 --record "$work/pool"
check 'and draws from them' gives 0 "$rbe" gate --replay "$work/pool" --metrics decode \
    --decisions 50
check '50 of 50 pass' has "$work/out" '^50 decisions from 20 rounds: 0 regression, 50 pass'
head -n 5 "$work/pool" > "$work/few"
check 'not from five' gives 1 "$rbe" gate --replay "$work/few" --metrics decode

# How the gate's quality is measured, on the same made-up times.
quality=$work/quality
mkdir "$quality"
cp "$rbe" "$quality/rbe"
echo model > "$quality/model.rbe"
{ head -n 1 "$work/stub" && echo 'SPREAD=10 MS=1000' && sed 1d "$work/stub"; } > "$quality/worker"
# shellcheck disable=SC2016
sed 's/MS=1000/MS=$((1000 + 10 * RBE_PLANT_SLOWDOWN))/' "$quality/worker" \
    > "$quality/worker-planted"
chmod +x "$quality/worker" "$quality/worker-planted"
measure() { BUDGET=20 "$here/ci/gate-quality.sh" "$quality" "$@"; }
check 'gate-quality.sh decides' gives 0 measure live 0 2 live 10 2
check 'two pass' test "$(cut -d ' ' -f 1 "$quality/live-0" | paste -sd ' ')" = '0 0'
check 'two do not' test "$(cut -d ' ' -f 1 "$quality/live-10" | paste -sd ' ')" = '3 3'
check 'records' gives 0 measure pool 10 20
check 'and counts' gives 0 measure table
check 'the live ones' has "$work/out" '^| 0 % | live | 2 | 0 | 2 | 0 |'
check 'and those drawn' has "$work/out" '^| 10 % | drawn from 20 rounds | 1000 | 1000 | 0 | 0 |'
check 'knows its steps' gives 2 measure nonsense

# A project whose programs are scripts, with a history: slow, broken, and as it is.
if ! command -v git > /dev/null; then
    echo 'SKIP ci/gate.sh: no git'
else
    tree=$work/project
    mkdir -p "$tree/ci" "$tree/datasets/embedded/rbe-mini"
    echo 12345 > "$tree/datasets/embedded/a-1.5-tuned.rbe"
    echo 'ppl 50' > "$tree/datasets/embedded/b-2.rbe"
    for f in calibration.txt wikipedia-tune.jsonl wiki.valid.raw rbe-mini/model.safetensors; do
        echo text > "$tree/datasets/embedded/$f"
    done
    mkdir -p "$tree/convert/profiles" "$tree/train/profiles"
    echo 'ppl 50' > "$tree/convert/profiles/a.profile"
    echo 'ppl 50' > "$tree/train/profiles/r.profile"
    touch "$tree/ci/gate.profile"
    cp "$here/ci/gate.sh" "$tree/ci/"
    cp "$work/stub" "$tree/ci/gate_worker.c"
    cat > "$tree/rbe.sh" <<RBE
#!/bin/sh
# What the model or the profile says of its own quality.
own() {
    for a; do
        case \$last in --model | --profile) sed -n '/^ppl/p' "\$a" 2> /dev/null ;; esac
        last=\$a
    done
}
case \$1 in
gate) exec '$rbe' "\$@" ;;
convert)
    for f; do :; done
    case \$*,\$f in *' nowhere '*/head/* | *' head '*/base/*)
        echo 'no such profile'
        exit 1
        ;;
    esac
    case "\$*" in *--profile*) MODEL=\${PROFILE:-\$MODEL} ;; esac
    echo "\$MODEL" > "\$f"
    own "\$@" >> "\$f"
    ;;
tune) own "\$@" > "\$4" ;;
eval)
    case "\$*" in *tuned*) PPL=\${TUNED:-\$PPL} ;; *profile*) PPL=\${PROFILED:-\$PPL} ;; esac
    PPL=\$(own "\$@" | sed 's/ppl //' | grep . || echo \$PPL)
    echo "{\"perplexity\": \$PPL}"
    ;;
esac
RBE
    echo "B = \$(BUILDROOT)/$(gcc -dumpmachine | cut -d- -f1)-release" > "$tree/Makefile"
    # Programs with the speed of their tree written into them, and slower when a fault is
    # planted; a worker that wants a new function builds only where it is.
    cat > "$tree/ci/gate.mk" <<'MK'
ifeq ($(B),)
$(error no B)
endif
.RECIPEPREFIX := >
planted = $(if $(PLANT),echo 'MS=$$((MS * (100 + RBE_PLANT_SLOWDOWN) / 100))',true)
gate-programs:
>! grep -q new_function ci/gate_worker.c || grep -q new_function rbe.sh
>mkdir -p $(B)/bin
>{ head -n 1 rbe.sh; cat speed; sed 1d rbe.sh; } > $(B)/bin/rbe
>{ head -n 1 ci/gate_worker.c; cat speed; $(planted); sed 1d ci/gate_worker.c; } \
> > $(B)/bin/gate-worker
>chmod +x $(B)/bin/rbe $(B)/bin/gate-worker
MK
    cd "$tree" || exit 1
    export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b
    export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    unset GIT_DIR GIT_WORK_TREE BUILDROOT
    echo build > .gitignore
    echo 'SPREAD=10 MS=1000 PPL=50 MODEL=123456789' > speed
    git init -q . && git add -A && git commit -q -m good && git tag good
    # shellcheck disable=SC2016
    echo '$(error nonsense)' >> Makefile
    git add -A && git commit -q -m broken && git tag broken
    git checkout -q good -- . && git commit -q -m good-again
    own() { ci/gate.sh --metrics decode "$@"; }
    check 'gate.sh: an unknown metric' gives 2 own --metrics decode,badname HEAD
    check 'in one line' one_line "^gate.sh: no metric 'badname'; valid: decode"
    check 'gate.sh: nothing to measure' gives 0 own HEAD
    check 'and says why' has "$work/out" 'the same to the byte'
    check 'measures all the same' gives 0 own --even-if-same good
    check 'both exact rows' has "$work/out" '^bytes .* pass$'
    echo 'SPREAD=10 MS=1060 PPL=50 MODEL=123456789' > speed
    check 'catches a slower tree' gives 3 own --markdown "$work/own.md" good
    check 'against its base' has "$work/own.md" 'dirty against good'
    mkdir "$work/t m p"
    check 'with blanks in TMPDIR too' gives 3 env TMPDIR="$work/t m p" ci/gate.sh --no-exact \
        --metrics decode good
    git clone -q --depth 1 "file://$tree" "$work/shallow"
    check 'a shallow clone' gives 1 "$work/shallow/ci/gate.sh" HEAD^
    check 'says how to deepen it' one_line "'HEAD^' in this shallow clone.*git fetch --deepen="
    echo 'SPREAD=10 MS=1000 PPL=50.2 MODEL=123456789' > speed
    check 'catches perplexity' gives 3 own good
    echo 'SPREAD=10 MS=1000 PPL=50 MODEL=1234567890' > speed
    check 'catches bytes' gives 3 own good
    check 'says which' has "$work/out" '^bytes .* regression$'
    check 'four perplexities' test "$(grep -c '^[a-z_0-9]*perplexity' "$work/out")" = 4
    echo 'SPREAD=10 MS=1000 PPL=50 TUNED=50.2 MODEL=123456789' > speed
    check 'catches perplexity of what ships trained' gives 3 own good
    check 'says which' has "$work/out" '^a_1_5_tuned_perplexity .* regression$'
    echo 'SPREAD=10 MS=1000 PPL=50 PROFILED=50.2 MODEL=123456789' > speed
    check 'catches perplexity by profile' gives 3 own good
    check 'says which' has "$work/out" '^profile_perplexity .* regression$'
    echo 'SPREAD=10 MS=1000 PPL=50 PROFILE=1234567890 MODEL=123456789' > speed
    check 'and bytes' gives 3 own --profile p good
    check 'says which' has "$work/out" '^profile_bytes .* regression$'
    check 'nothing exact when told' gives 0 own --no-exact good
    check 'goes on where the base knows no such profile' gives 0 own --profile head good
    check 'and says so' has "$work/err" '^head is not compared, the base cannot: no such profile'
    check 'not where this tree does not' gives 1 own --profile nowhere good
    check 'no row of it' test "$(grep -c exact "$work/out")" = 0
    git checkout -q speed

    # One program, other data.
    judged() { # WHAT FILE FIGURE: worse it is a regression, better none, and nothing is timed
        echo 'ppl 60' > "$2"
        check "catches a worse $1" gives 3 own HEAD
        check 'says which' has "$work/out" "^$3_perplexity .* regression\$"
        check 'and that alone' test "$(grep -c 'perplexity\|^decode' "$work/out")" = 1
        echo 'ppl 40' > "$2"
        check "allows a better $1" gives 0 own HEAD
        check 'having looked' has "$work/out" "^$3_perplexity .* pass\$"
        check 'not unseen' gives 4 own --no-exact HEAD
        git checkout -q "$2"
    }
    judged 'shipped model' datasets/embedded/b-2.rbe b_2
    judged 'profile' convert/profiles/a.profile p_a
    judged 'recipe' train/profiles/r.profile t_r
    echo 'ppl 49' >> datasets/embedded/b-2.rbe
    check 'a shipped model that is larger' gives 3 own HEAD
    check 'by its bytes' has "$work/out" '^b_2_bytes .* regression$'
    git checkout -q datasets
    echo next > datasets/embedded/rbe-mini/model.safetensors
    check 'another original' gives 0 own HEAD
    check 'is looked at' has "$work/out" '^original_perplexity'
    git checkout -q datasets
    echo 'new' > convert/profiles/new.profile
    echo 'other' > datasets/embedded/wiki.valid.raw
    check 'what has no quality' gives 0 own HEAD
    check 'is said' has "$work/err" '^convert/profiles/new.profile is new'
    check 'of texts too' has "$work/err" '^datasets/embedded/wiki.valid.raw is measured on'
    rm convert/profiles/new.profile
    git checkout -q datasets
    check 'catches what was planted' gives 3 own --plant 10 HEAD
    check 'in the times' has "$work/out" '^decode .*regression$'
    check 'not in the next run' gives 0 own --even-if-same HEAD

    # Instructions: of a valgrind that counts 100 and a unit's milliseconds for each.
    mkdir "$work/tools"
    cat > "$work/tools/valgrind" << 'VALGRIND'
#!/usr/bin/env bash
read -r _ n
ms=$(sed -n 's/.*MS=\([0-9]*\).*/\1/p' "${@:(-3):1}" | head -n 1)
echo "==1== Collected : $((100 + n * ms))" >&2
VALGRIND
    chmod +x "$work/tools/valgrind"
    instructions() { PATH=$work/tools:$PATH own --instructions --no-exact "$@"; }
    echo 'SPREAD=10 MS=1010 PPL=50 MODEL=123456789' > speed
    check 'allows 1 % more instructions' gives 0 instructions good
    check 'of a unit, not of loading' has "$work/out" '^decode  *1000  *1010 '
    echo 'SPREAD=10 MS=1030 PPL=50 MODEL=123456789' > speed
    check 'not 3 %' gives 3 instructions good

    # What is kept of a base is used again, but not with another worker.
    echo 'SPREAD=10 MS=1060 PPL=50 MODEL=123456789' > speed
    keep() { own --no-exact --keep "$work/keep" "$@"; }
    check 'keeps the base' gives 3 keep good
    check 'which it built' has "$work/err" '^building good'
    check 'uses it' gives 3 keep good
    check 'without building' test "$(grep -c 'building good' "$work/err")" = 0
    cp ci/gate_worker.c "$work/worker"
    sed -i 's/) echo ok ;;/) sleep 0; echo ok ;;/' ci/gate_worker.c
    check 'not with another worker' gives 3 keep good
    check 'then builds again' has "$work/err" '^building good'
    check 'says nothing of old workers' test "$(grep -c 'its own' "$work/err" "$work/out" |
        cut -d : -f 2 | paste -sd +)" = 0+0
    echo '# new_function' >> ci/gate_worker.c
    echo '# new_function' >> rbe.sh
    for how in building using; do
        check "$how a base by its own worker" gives 3 keep good
        check 'is said' has "$work/err" 'does not compile against good'
        check 'in the verdict too' has "$work/out" 'against good (by its own worker)'
    done
    git checkout -q -- rbe.sh speed
    cp "$work/worker" ci/gate_worker.c

    # A base whose program breaks.
    # shellcheck disable=SC2016
    echo 'SPREAD=10 MS=1000 PPL=50 MODEL=123456789; [ "${0%worker}" = "$0" ] || exit 0' > speed
    git add -A && git commit -q -m breaks && git tag breaks
    git checkout -q good -- speed
    check 'a base whose worker breaks' gives 5 own breaks
    check 'is named' has "$work/err" 'the worker of the base'
    check 'does not pass a base that does not build' gives 5 own broken
    check 'and says so' has "$work/err" 'does not build: nothing was compared'
    check 'knows its revisions' gives 1 own nowhere
    check 'in one line' one_line "no revision 'nowhere'"
    check 'wants one' gives 2 own
    check 'and known options' gives 2 own --fast good
    echo nonsense > ci/gate.mk
    check 'refuses a tree that does not build' gives 1 own good
    check 'leaves no worktree behind' test "$(git worktree list | wc -l)" = 1
fi
finish

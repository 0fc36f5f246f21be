#!/usr/bin/env bash
# check_gate.sh - the gate's decisions on made-up times, and ci/gate.sh on a made-up project
#
# SPDX-License-Identifier: MIT
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
check 'catches worse perplexity' gives 3 gate 1000 --exact perplexity=50:50.1
check 'not a hair' gives 0 gate 1000 --exact perplexity=50:50.01
check 'judges counts alone' gives 3 gate 1000 --metrics '' --count decode=1000:1030
check 'allows fewer' gives 0 gate 1000 --metrics '' --count decode=1000:1010
SPREAD=900
check 'says when it is too noisy' gives 4 gate 1000 --budget 0.5
SPREAD=10
check 'catches memory' gives 3 "$rbe" gate --base "exec $work/stub" \
    --new "MEMORY=1040000 exec $work/stub" --metrics memory
check 'refuses a worker that talks nonsense' gives 1 gate 1000 --metrics bad
check 'in one line' one_line 'the worker of the base: bad: number 3 of 3'
check 'and one that goes away' gives 1 gate 1000 --metrics gone
check 'in one line' one_line 'ended without an answer'
check 'and one that never was' gives 1 "$rbe" gate --base false --new false
check 'wants workers' gives 2 "$rbe" gate
check 'and sane numbers' gives 2 gate 1000 --threshold 0
check 'records rounds' gives 0 gate 1000 --rounds 20 --record "$work/pool"
check 'and draws from them' gives 0 "$rbe" gate --replay "$work/pool" --metrics decode \
    --decisions 50
check '50 of 50 pass' has "$work/out" '^50 decisions from 20 rounds: 0 regression, 50 pass'
head -n 5 "$work/pool" > "$work/few"
check 'not from five' gives 1 "$rbe" gate --replay "$work/few" --metrics decode

# A project whose programs are scripts, with a history: slow, broken, and as it is.
if ! command -v git > /dev/null; then
    echo 'SKIP ci/gate.sh: no git'
else
    tree=$work/project
    mkdir -p "$tree/ci" "$tree/datasets/embedded/rbe-mini"
    cp "$here/ci/gate.sh" "$tree/ci/"
    cp "$work/stub" "$tree/ci/gate_worker.c"
    cat > "$tree/rbe.sh" <<RBE
#!/bin/sh
case \$1 in
gate) exec '$rbe' "\$@" ;;
convert) for f; do :; done; echo "\$MODEL" > "\$f" ;;
eval) echo "{\"perplexity\": \$PPL}" ;;
esac
RBE
    echo "B = \$(BUILDROOT)/$(gcc -dumpmachine | cut -d- -f1)-release" > "$tree/Makefile"
    # Programs with the speed of their tree written into them.
    cat > "$tree/ci/gate.mk" <<'MK'
ifeq ($(B),)
$(error no B)
endif
.RECIPEPREFIX := >
gate-programs:
>mkdir -p $(B)/bin
>{ head -n 1 rbe.sh; cat speed; sed 1d rbe.sh; } > $(B)/bin/rbe
>{ head -n 1 ci/gate_worker.c; cat speed; sed 1d ci/gate_worker.c; } > $(B)/bin/gate-worker
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
    check 'gate.sh: nothing to measure' gives 0 own HEAD
    check 'and says why' has "$work/out" 'the same to the byte'
    check 'measures all the same' gives 0 own --even-if-same good
    check 'both exact rows' has "$work/out" '^bytes .* pass$'
    echo 'SPREAD=10 MS=1060 PPL=50 MODEL=123456789' > speed
    check 'catches a slower tree' gives 3 own --markdown "$work/own.md" good
    check 'against its base' has "$work/own.md" 'dirty against good'
    echo 'SPREAD=10 MS=1000 PPL=50.2 MODEL=123456789' > speed
    check 'catches perplexity' gives 3 own good
    echo 'SPREAD=10 MS=1000 PPL=50 MODEL=1234567890' > speed
    check 'catches bytes' gives 3 own good
    check 'says which' has "$work/out" '^bytes .* regression$'
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

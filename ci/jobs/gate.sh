#!/usr/bin/env bash
# gate.sh - the gate on this tree: against itself no regression, slowed down by 10 % one
#
# SPDX-License-Identifier: MIT
#
# Both sides are one build, so that only measuring is tried; ci/test/check_gate.sh tries
# building and deciding.  A machine that is too busy to tell is no failure of the gate against
# itself; what is planted must be found on any, within a minute and a half.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
arch=$(gcc -dumpmachine)
bin=$BUILDROOT/${arch%%-*}-release/bin
# The worker, plain and with a slow-down planted, and a model.
BUDGET=90 ci/gate-quality.sh "$work" prepare live 10 1 || exit 1
read -r verdict seconds < "$work/live-10"
[ "$verdict" = 3 ] || { echo "FAIL 10 % slower: exit status $verdict, not 3"; exit 1; }
echo "10 % slower is a regression, seen in $seconds s"

worker="exec '$work/worker' '$work/model.rbe' 1"
"$bin/rbe" gate --base "$worker" --new "$worker" --metrics decode,gemv_int4,memory --budget 25 \
    --append "$work/history.jsonl"
rc=$?
[ -s "$work/history.jsonl" ] || exit 1
case $rc in
0) ;;
4) echo 'too noisy to tell: the machine is busy' ;;
*) exit 1 ;;
esac

# Instructions repeat, however busy the machine is; a tree with changes would build HEAD first.
if ! command -v valgrind > /dev/null || [ -n "$(git status --porcelain 2>&1)" ]; then
    echo 'SKIP instructions: no valgrind, or no clean checkout'
    exit 0
fi
ci/gate.sh --instructions --even-if-same --no-exact --codec int4 --metrics gemv_int4 HEAD

#!/usr/bin/env bash
# gate.sh - the gate on this tree against itself: real times, which must not be a regression
#
# SPDX-License-Identifier: MIT
#
# Both sides are one build, so that only measuring is tried; ci/test/check_gate.sh tries
# building and deciding.  A machine that is too busy to tell is no failure of the gate.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
arch=$(gcc -dumpmachine)
bin=$BUILDROOT/${arch%%-*}-release/bin
make -s -f Makefile -f ci/gate.mk -j"$(nproc)" gate-programs || exit 1
"$bin/rbe" convert --quiet --codec=int4 --no-calibration datasets/embedded/rbe-mini \
    "$work/model.rbe" > "$work/log" || { cat "$work/log" && exit 1; }
worker="exec '$bin/gate-worker' '$work/model.rbe' 1"
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

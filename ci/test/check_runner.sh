#!/usr/bin/env bash
# check_runner.sh - scripts/run-tests.sh: verdicts, counts, and which instruction sets ran
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
here=$(cd "$(dirname "$0")/../.." && pwd)

made() { # NAME COMMANDS: a test that does so
    echo "$2" > "$work/$1.sh"
}
made good "echo 'isa sse41+avx2, mask 0x3'; echo '3 passed, 0 failed'"
made same "echo 'isa sse41+avx2, mask 0x3'; echo '2 passed, 0 failed'"
made masked "echo 'isa scalar, mask 0'; echo '1 passed, 0 failed'"
made skips "echo 'SKIP all of it'; exit 77"
made bad "echo 'FAIL that'; echo '1 passed, 1 failed'; exit 1"
runs() { bash "$here/scripts/run-tests.sh" "$work/log" "$@"; }

check 'passes' gives 0 runs "$work"/{good,same,masked,skips}.sh
check 'counts' test "$(tail -n 1 "$work/out")" = '6 passed, 0 failed, 1 skipped'
check 'says which ISAs ran, once each' test "$(grep -c '^isa ' "$work/out")" = 2
check 'by name' grep -q '^isa sse41+avx2, mask 0x3$' "$work/out"
check 'a failure fails' gives 1 runs "$work"/{good,bad}.sh
# One waits for what another leaves: at once they pass, one by one they could not.
mkdir "$work/met"
meets() { # NAME OTHER [LINE]
    made "$1" "${3:-}
    touch '$work/met/$1'
    for i in {1..100}; do [ ! -e '$work/met/$2' ] || exit 0; sleep 0.1; done; exit 1"
}
meets left right
meets right left
check 'several at once' gives 0 env JOBS=2 bash "$here/scripts/run-tests.sh" "$work/log" "$work"/{left,right}.sh
made single "# Runs alone
[ -e '$work/done' ]"
made first "sleep 0.3; touch '$work/done'"
check 'some after all others' gives 0 env JOBS=2 bash "$here/scripts/run-tests.sh" "$work/log" "$work"/{single,first}.sh
check 'nothing that ran fails' gives 1 runs "$work"/skips.sh
finish

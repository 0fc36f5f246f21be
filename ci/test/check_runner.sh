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
check 'nothing that ran fails' gives 1 runs "$work"/skips.sh
finish

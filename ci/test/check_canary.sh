#!/usr/bin/env bash
# check_canary.sh - the faults of ci/jobs/canary-all.sh can still be planted, and are told apart
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
here=$(cd "$(dirname "$0")/../.." && pwd)
unset CANARY_EVERY CANARY_FROM CANARY_ONLY

places() { env CANARY_PLACES=1 "$@" bash "$here/ci/jobs/canary-all.sh"; }
check 'every place is there' gives 0 places
grep '^FAIL' "${work:?}/out"
all=$(grep -o '^[0-9]*' "$work/out")
check 'forty of them' test "$all" -ge 40
check 'each room has some' test "$(grep -v '^#' "$here/ci/canary-all.faults" |
    awk -F ' *[|] *' '{ print $2 }' | grep -oE '^(base|rbe|kernels|model|grad|convert|train|eval|gate|reports)/' | sort -u | wc -l)" -ge 9
check 'a part' gives 0 places CANARY_EVERY=8 CANARY_FROM=3
check 'is every eighth' test "$(grep -o '^[0-9]*' "$work/out")" = $(((all - 3 + 7) / 8))

list() { printf '%s\n' "$1" > "$work/list"; }
list 'a place that is gone | base/stats.c | base/test/check_stats | s/never was here/x/'
check 'a place that is gone fails' gives 1 places CANARY_LIST="$work/list"
check 'by name' grep -q '^FAIL cannot plant: a place that is gone' "$work/out"
list 'two places | base/stats.c | base/test/check_stats | s/double/float/'
check 'so does one that is many' gives 1 places CANARY_LIST="$work/list"
list 'no test | base/stats.c | rbe/test/check_nothing | s/acos/cos/'
check 'and a test that is gone' gives 1 places CANARY_LIST="$work/list"
check 'and no fault at all' gives 1 places CANARY_ONLY='no such fault'
finish

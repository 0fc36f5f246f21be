# shellcheck shell=bash
# lib.sh - what the shell tests share: a folder to work in, counting, and looking at output.
#
# SPDX-License-Identifier: MIT
#
# A test sources it first and calls finish last.  $work is removed at the end; what a command
# said stands in $work/out and $work/err.
set -u
work=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
passed=0 failed=0

# check WHAT COMMAND...: counts; where the command fails, shows what was said last, and
# ends there with $RBE_CHECK_STOP set.
check() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $what"
        head -n 20 "$work/out" "$work/err" 2> /dev/null
        [ -z "${RBE_CHECK_STOP:-}" ] || exit 1
    fi
}

# gives STATUS COMMAND...: it exits so.
gives() {
    local want=$1
    shift
    "$@" > "$work/out" 2> "$work/err" < /dev/null
    [ $? = "$want" ]
}

# one_line PATTERN: that is all it said on stderr.
one_line() { [ "$(wc -l < "$work/err")" = 1 ] && grep -q -- "$1" "$work/err"; }

# refuses STATUS PATTERN COMMAND...: it exits so, with one line on stderr that matches.
refuses() { gives "$1" "${@:3}" && one_line "$2"; }

# limits_hold PROGRAM: whether limits of address space can be tried on it.  The address
# sanitizer reserves terabytes of addresses, and no limit holds then.
limits_hold() {
    ! grep -q __asan_init "$1" && return
    echo 'SKIP a memory limit: this build has the address sanitizer'
    return 1
}

# The last line; 0 when nothing failed.
finish() {
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
}

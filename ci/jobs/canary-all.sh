#!/usr/bin/env bash
# canary-all.sh - plants one fault after the other outside the kernels; a test must fail each time
#
# SPDX-License-Identifier: MIT
#
# Works in a copy of the tree, one fault at a time.  A fault is one line of ci/canary-all.faults:
# what it is, the file, an expression of sed -E that changes exactly one line of it (or the place
# is gone, which fails), and the tests that must notice, tried in turn; - is all of `make check`.
#   CANARY_EVERY=N CANARY_FROM=K   every N-th fault only, from the K-th on (counted from 0)
#   CANARY_ONLY=TEXT               only those whose line holds it
#   CANARY_LIST=FILE               other faults than those of ci/canary-all.faults
#   CANARY_PLACES=1                only look whether every place is still there: seconds
set -u
cd "$(dirname "$0")/../.." || exit 2
list=${CANARY_LIST:-$PWD/ci/canary-all.faults}
export RBE_CHECK_STOP=1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
every=${CANARY_EVERY:-1} from=${CANARY_FROM:-0}
tree=$work/tree
mkdir "$tree"

# Those of this slice: WHAT|FILE|TESTS|EXPRESSION.
sed 's/ *| */|/; s/ *| */|/2; s/^ *//' "$list" | grep -v '^#\|^$' | grep -F -- "${CANARY_ONLY:-}" |
    awk -v every="$every" -v from="$from" 'NR > from && (NR - 1 - from) % every == 0' > "$work/faults"
[ -s "$work/faults" ] || { echo 'FAIL no fault chosen'; exit 1; }

# plant FILE EXPRESSION: into the copy; the old file is $work/saved.
plant() {
    [ -f "$tree/$1" ] || return 1
    cp "$tree/$1" "$work/saved"
    sed -E "$2" "$work/saved" > "$tree/$1" && [ "$(diff "$work/saved" "$tree/$1" | grep -c '^<')" = 1 ]
}
# With a newer time, so that what was built of the fault is built anew.
restore() { cp "$work/saved" "$tree/$1"; }

if [ -n "${CANARY_PLACES:-}" ]; then
    bad=0 n=0
    while IFS='|' read -r what file tests expression; do
        n=$((n + 1)) file=${file// /}
        mkdir -p "$tree/${file%/*}" && cp "$file" "$tree/$file"
        plant "$file" "$expression" || { echo "FAIL cannot plant: $what (the text in $file has changed)"; bad=1; }
        for t in $tests; do
            [ "$t" = - ] || [ -f "$t.c" ] || [ -f "$t" ] || { echo "FAIL no test $t"; bad=1; }
        done
    done < "$work/faults"
    echo "$n places"
    exit $bad
fi

if git rev-parse --is-inside-work-tree > /dev/null 2>&1; then
    git ls-files -z -co --exclude-standard
else
    find . -path ./build -prune -o -path ./results -prune -o -type f -printf '%P\0'
fi | tar --null -T - --ignore-failed-read -cf - 2> "$work/tar.log" | tar -xf - -C "$tree" || exit 1

# What was built here already need not be built again.
arch=$(${CC:-gcc} -dumpmachine)
B=${arch%%-*}-release
export CCACHE_NOHASHDIR=1
if [ -d "${BUILDROOT:-build}/$B" ]; then
    mkdir "$tree/build" && cp -a "${BUILDROOT:-build}/$B" "$tree/build/" || exit 1
fi
cd "$tree" || exit 1
unset BUILDROOT
export RBE_BIN=$tree/build/$B/bin

# What a test needs: a program of its own, or the programs; those of the service run both.
target_of() {
    case $1 in
    bench/*.sh) echo "build/$B/bin/rbe build/$B/bin/rbe-bench" ;;
    deploy/*.sh) echo "build/$B/bin/rbe build/$B/bin/rbe-run build/$B/bin/rbe-serve" ;;
    deploy/test/check_serve*) echo "build/$B/bin/rbe build/$B/bin/rbe-serve build/$B/$1" ;;
    *.sh) echo "build/$B/bin/rbe" ;;
    *) echo "build/$B/$1" ;;
    esac
}
# try TEST: builds and runs it; 0 it passes, 1 it fails, 2 it does not build, 124 too long.
try() {
    if [ "$1" = - ]; then
        make -s -j"$(nproc)" programs tests > "$work/make.log" 2>&1 || return 2
        make -s check > "$work/test.log" 2>&1 && return 0
        return 1
    fi
    # shellcheck disable=SC2046
    make -s -j"$(nproc)" $(target_of "$1") > "$work/make.log" 2>&1 || return 2
    case $1 in
    *.sh) timeout 900 bash "$1" > "$work/test.log" 2>&1 ;;
    *) timeout 900 "build/$B/$1" > "$work/test.log" 2>&1 ;;
    esac
    case $? in
    0 | 77) return 0 ;;
    124) return 124 ;;
    *) return 1 ;;
    esac
}

# Without a fault every test that is to notice one passes; a second try for those that look at
# the clock.
for t in $(cut -d '|' -f 3 "$work/faults" | tr ' ' '\n' | sort -u | grep -v '^-*$'); do
    try "$t" || try "$t" || {
        tail -n 5 "$work/make.log"
        grep FAIL "$work/test.log" | head -n 5
        echo "FAIL $t fails without a fault"
        exit 1
    }
done

caught=0 all=0
while IFS='|' read -r what file tests expression; do
    file=${file// /} all=$((all + 1)) how='not caught'
    if ! plant "$file" "$expression"; then
        echo "FAIL cannot plant: $what (the text in $file has changed)"
        [ ! -f "$tree/$file" ] || restore "$file"
        continue
    fi
    for t in $tests; do
        try "$t"
        case $? in
        0) continue ;;
        1) how=caught ;;
        2) how='does not build' ;;
        *) how='ran too long' ;;
        esac
        break
    done
    restore "$file"
    if [ "$how" = caught ]; then
        caught=$((caught + 1))
        echo "ok   caught: $what: $(grep -m 1 FAIL "$work/test.log" | cut -c 1-70)"
    else
        [ "$how" != 'does not build' ] || grep -m 3 error "$work/make.log"
        echo "FAIL $how: $what"
    fi
done < "$work/faults"
echo "$caught faults caught, $((all - caught)) missed"
[ "$caught" = "$all" ]

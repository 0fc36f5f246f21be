#!/usr/bin/env bash
# run-tests.sh LOG PROGRAM... - run the test programs, keep their output, count the checks.
#
# SPDX-License-Identifier: MIT
#
# As many at once as there are CPUs (or JOBS); those whose source says "Runs alone" after that,
# one by one.  A program's verdict is its exit status; 77 means skipped.  Its last line may read
# 'N passed, N failed', and then those are added up; else the program counts as one.  Lines
# 'isa ...' say which instruction sets a program ran; those that differ stand at the end.
set -u
log=$1
shift
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export work EMULATOR=${EMULATOR:-} SEED=${SEED:-}

# one NUMBER PROGRAM: its output, and what the last lines of this script add up.
one() {
    local n=$1 t=$2 start rc last p=0 f=0 word=ok
    start=$(date +%s.%N)
    case $t in
    *.sh) bash "$t" ;;
    *) $EMULATOR "$t" ${SEED:+"$SEED"} ;;
    esac > "$work/$n.out" 2>&1 < /dev/null
    rc=$?
    times > "$work/$n.times"
    last=$(tail -n 1 "$work/$n.out")
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed ]]; then
        p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]}
    fi
    if [ $rc = 77 ]; then
        word=SKIP
    elif [ $rc != 0 ]; then
        word=FAIL
        [ "$f" -gt 0 ] || f=1
    elif [ $((p + f)) = 0 ]; then
        p=1
    elif [ "$f" -gt 0 ]; then
        word=FAIL
    fi
    echo "$word $p $f $rc" > "$work/$n.verdict"
    # In one piece, as others print too.
    local text
    text=$(printf '  %-4s  %-44s %5d passed %3d failed  %6.1f s, %6.1f of CPU\n' "$word" "${t##*/}" "$p" "$f" \
        "$(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')" "$(awk '
            NR == 2 { split($0, t, /[ms ]+/); print 60 * (t[1] + t[3]) + t[2] + t[4] }' "$work/$n.times")"
        if [ $word = FAIL ]; then
            grep -E 'FAIL|ERROR|error:|Sanitizer|Assertion' "$work/$n.out" | head -n 20
            [ $rc -lt 128 ] || tail -n 5 "$work/$n.out"
        fi
        grep '^SKIP' "$work/$n.out" | sed 's/^/        /')
    echo "$text"
}
export -f one

# The source of a program stands in the tree under the end of its name.
source_of() {
    case $1 in
    *.sh) echo "$1" ;;
    *) echo "$(basename "$(dirname "$(dirname "$1")")")/test/${1##*/}.c" ;;
    esac
}
together=() alone=() n=0
for t in "$@"; do
    n=$((n + 1))
    if grep -qs 'Runs alone' "$(source_of "$t")"; then
        alone+=("$n" "$t")
    else
        together+=("$n" "$t")
    fi
done
pairs() { [ $# = 0 ] || printf '%s\0' "$@"; }
pairs "${together[@]}" | xargs -0 -r -n 2 -P "${JOBS:-$(nproc)}" bash -c 'one "$@"' one
pairs "${alone[@]}" | xargs -0 -r -n 2 bash -c 'one "$@"' one

passed=0 failed=0 skipped=0 n=0 bad=() ran=()
: > "$log"
for t in "$@"; do
    n=$((n + 1))
    read -r word p f rc < "$work/$n.verdict" || { word=FAIL p=0 f=1 rc='none: interrupted'; }
    { echo "== $t (exit $rc)"; cat "$work/$n.out"; } >> "$log"
    passed=$((passed + p)) failed=$((failed + f))
    case $word in
    FAIL) bad+=("$t") ;;
    SKIP) skipped=$((skipped + 1)) ;;
    esac
    while IFS= read -r line; do
        case " ${ran[*]-} " in *" $line "*) ;; *) ran+=("$line") ;; esac
    done < <(grep '^isa ' "$work/$n.out")
done
[ ${#bad[@]} = 0 ] || printf 'failed: %s\n' "${bad[@]}"
[ ${#ran[@]} = 0 ] || printf '%s\n' "${ran[@]}"
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed = 0 ] && [ $passed -gt 0 ]

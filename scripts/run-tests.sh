#!/usr/bin/env bash
# run-tests.sh LOG PROGRAM... - run each test program, keep its output, count the checks.
#
# SPDX-License-Identifier: MIT
#
# A program's verdict is its exit status; 77 means skipped.  Its last line may read
# 'N passed, N failed', and then those are added up; else the program counts as one.  Lines
# 'isa ...' say which instruction sets a program ran; those that differ stand at the end.
set -u
log=$1
shift
passed=0 failed=0 skipped=0 bad=() ran=()
: > "$log"
for t in "$@"; do
    out=$(mktemp)
    start=$(date +%s.%N)
    case $t in
    *.sh) bash "$t" > "$out" 2>&1 ;;
    *) ${EMULATOR:-} "$t" ${SEED:+"$SEED"} > "$out" 2>&1 ;;
    esac
    rc=$?
    { echo "== $t (exit $rc)"; cat "$out"; } >> "$log"
    last=$(tail -n 1 "$out")
    p=0 f=0
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed ]]; then
        p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]}
    fi
    word=ok
    if [ $rc = 77 ]; then
        word=SKIP skipped=$((skipped + 1))
    elif [ $rc != 0 ]; then
        word=FAIL
        [ "$f" -gt 0 ] || f=1
    elif [ $((p + f)) = 0 ]; then
        p=1
    elif [ "$f" -gt 0 ]; then
        word=FAIL
    fi
    passed=$((passed + p)) failed=$((failed + f))
    printf '  %-4s  %-44s %5d passed %3d failed  %6.1f s\n' "$word" "${t##*/}" "$p" "$f" \
        "$(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')"
    if [ $word = FAIL ]; then
        bad+=("$t")
        grep -E 'FAIL|ERROR|error:|Sanitizer|Assertion' "$out" | head -n 20
        [ $rc -lt 128 ] || tail -n 5 "$out"
    fi
    grep '^SKIP' "$out" | sed 's/^/        /'
    while IFS= read -r line; do
        case " ${ran[*]-} " in *" $line "*) ;; *) ran+=("$line") ;; esac
    done < <(grep '^isa ' "$out")
    rm -f "$out"
done
[ ${#bad[@]} = 0 ] || printf 'failed: %s\n' "${bad[@]}"
[ ${#ran[@]} = 0 ] || printf '%s\n' "${ran[@]}"
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed = 0 ] && [ $passed -gt 0 ]

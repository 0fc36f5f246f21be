#!/usr/bin/env bash
# run.sh [--list] [--no-skip] [JOB...] [^JOB...] - the jobs of continuous integration, also by hand.
#
# SPDX-License-Identifier: MIT
#
# Without names every job runs; ^JOB leaves one out; with --no-skip a job that is skipped, for
# a tool that is missing, has failed.  Each job's output goes to
# $BUILDROOT/ci/JOB.log, and what it says last is shown when it fails.  The last line counts
# the jobs: 'N passed, N failed'.  A job is an executable ci/jobs/JOB.sh; its second line
# starts '# JOB.sh - ' and says what it does; its exit status is its verdict, 77 = skipped.
set -u
cd "$(dirname "$0")/.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
logs=$BUILDROOT/ci

all=()
for f in ci/jobs/*.sh; do
    name=${f##*/}
    all+=("${name%.sh}")
done

jobs=() without=() no_skip=0
for a in "$@"; do
    case $a in
    --list)
        for j in "${all[@]}"; do
            printf '%-10s %s\n' "$j" "$(sed -n "2s/^# $j.sh - //p" "ci/jobs/$j.sh")"
        done
        exit 0
        ;;
    --no-skip)
        no_skip=1
        continue
        ;;
    -*)
        echo "run.sh: unknown option '$a'; valid: --list --no-skip" >&2
        exit 2
        ;;
    esac
    name=${a#^}
    if [ ! -f "ci/jobs/$name.sh" ]; then
        echo "run.sh: no job '$name'; valid: ${all[*]}" >&2
        exit 2
    fi
    if [ "$a" = "$name" ]; then
        jobs+=("$name")
    else
        without+=("$name")
    fi
done
[ ${#jobs[@]} -gt 0 ] || jobs=("${all[@]}")

mkdir -p "$logs" || exit 1
passed=0 failed=0
for j in "${jobs[@]}"; do
    case " ${without[*]-} " in *" $j "*) continue ;; esac
    start=$SECONDS
    bash "ci/jobs/$j.sh" > "$logs/$j.log" 2>&1
    rc=$?
    word=ok
    case $rc in
    0) passed=$((passed + 1)) ;;
    77)
        word=SKIP
        [ $no_skip = 0 ] || word=FAIL failed=$((failed + 1))
        ;;
    *) word=FAIL failed=$((failed + 1)) ;;
    esac
    printf '  %-4s  %-10s %4d s  %s\n' $word "$j" $((SECONDS - start)) \
        "$(tail -n 1 "$logs/$j.log" | cut -c 1-70)"
    if [ $word = FAIL ]; then
        grep -nE 'FAIL|error:|ERROR|warning:' "$logs/$j.log" | head -n 20
        tail -n 15 "$logs/$j.log"
        echo "  ($logs/$j.log has all of it)"
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]

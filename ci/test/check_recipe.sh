#!/usr/bin/env bash
# check_recipe.sh - ci/recipe.sh in a made-up repository: its base, what it posts, its exit status
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
here=$(cd "$(dirname "$0")/../.." && pwd)

mkdir -p "$work/repository/ci"
cd "$work/repository" || exit 1
cp "$here/ci/recipe.sh" ci/
# Stands for the gate: says what it was called with, writes a verdict or none.
cat > ci/gate.sh << 'END'
#!/usr/bin/env bash
while [ $# -gt 1 ]; do
    [ "$1" != --markdown ] || md=$2
    [ "$1" != --append ] || echo '{}' >> "$2"
    [ "$1" != --no-exact ] || echo 'option given'
    shift
done
echo "base $1"
[ -n "${SILENT:-}" ] || echo "| verdict of $1 |" > "$md"
echo 'the last line'
exit "${CODE:-0}"
END
chmod +x ci/gate.sh
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null OUT=$work/kept
unset GITHUB_STEP_SUMMARY POST_COMMAND BASE_BRANCH BEFORE
git init -q -b main .
commit() {
    git -c user.name=x -c user.email=x@x -c commit.gpgsign=false commit -q --allow-empty -m "$1"
    git rev-parse HEAD
}
git add -A
first=$(commit one)
check 'no parent is an error' test "$(ci/recipe.sh > "$work/out" 2>&1; echo $?)" = 2
second=$(commit two)
git checkout -q -b change
commit three > /dev/null
third=$(commit four)
commit five > /dev/null

# shellcheck disable=SC2120
run() { ci/recipe.sh "$@" > "$work/out" 2>&1; }
check 'compares with the parent' run
check 'which is this' grep -q "^base $third" "$work/out"
check 'prints the verdict' grep -qF "| verdict of $third |" "$work/out"
BEFORE=$second check 'compares with what was there before a push' run
check 'which is that' grep -q "^base $second" "$work/out"
BEFORE=0000000000000000000000000000000000000000 check 'not with what is not there' run
check 'but with the parent' grep -q "^base $third" "$work/out"
BASE_BRANCH=main check 'compares with where it left main' run
check 'which is that' grep -q "^base $second" "$work/out"
check 'takes a revision and options' run "$first" --no-exact
check 'passes them on' grep -q 'option given' "$work/out"
check 'and the revision' grep -q "^base $first" "$work/out"
check 'keeps a history' test "$(wc -l < "$work/kept/history.jsonl")" = 5

export GITHUB_STEP_SUMMARY=$work/summary POST_COMMAND="cp -t $work/posted"
mkdir "$work/posted"
CODE=3 run
check 'a regression is no pass' test $? = 3
check 'is in the summary' grep -q 'verdict of' "$work/summary"
check 'is posted' grep -q 'verdict of' "$work/posted/gate.md"
CODE=5 SILENT=1 run
check 'a base that does not build is no pass' test $? = 5
check 'nor an old verdict' test ! "$(grep -c 'verdict of' "$work/kept/gate.md")" -gt 0
check 'and says why' grep -q 'the last line' "$work/posted/gate.md"
POST_COMMAND=false run
check 'a post that fails does not change the verdict' test $? = 0
BASE_BRANCH=nowhere run
check 'an unknown branch fails' test $? = 1
# Every job of ci/run.sh is one of a workflow's: of each push, each night or each week.
check 'the workflows run every job' diff \
    <(for f in "$here"/.github/workflows/*.yml; do
        sed -n '/^ *job:$/,/steps:/s/^ *- \([a-z-]*\)$/\1/p' "$f"
    done | sort) <(basename -s .sh "$here"/ci/jobs/*.sh | sort)

# Counting jobs.
mkdir -p "$work/runner/ci/jobs"
cp "$here/ci/run.sh" "$work/runner/ci/"
for job in 'good 0' 'bad 1' 'absent 77'; do
    echo "exit ${job#* }" > "$work/runner/ci/jobs/${job% *}.sh"
done
unset BUILDROOT
jobs_give() { # STATUS LINE ARGUMENT...
    local want=$1 line=$2
    shift 2
    gives "$want" "$work/runner/ci/run.sh" "$@" && test "$(tail -n 1 "$work/out")" = "$line"
}
check 'jobs are counted' jobs_give 1 '1 passed, 1 failed'
check 'one left out' jobs_give 0 '1 passed, 0 failed' ^bad
check 'one that is skipped may fail' jobs_give 1 '1 passed, 1 failed' --no-skip ^bad
check 'nothing run is no pass' jobs_give 1 '0 passed, 0 failed' absent
check 'unknown jobs are refused' gives 2 "$work/runner/ci/run.sh" nonsense

for f in "$here"/.github/workflows/*.yml; do
    check "$f has no tab" test -z "$(grep -P '\t' "$f")"
    if python3 -c 'import yaml' 2> /dev/null; then
        check "$f is YAML with jobs and steps" python3 -c '
import sys, yaml
w = yaml.safe_load(open(sys.argv[1]))
jobs = w["jobs"].values()
assert jobs and (True in w or "on" in w)
assert all(("run" in s) != ("uses" in s) for j in jobs for s in j["steps"])
' "$f"
    fi
    while IFS= read -r script; do
        check "$f calls $script, which is there" test -x "$here/$script"
    done < <(grep -oE '\b(ci|scripts)/[a-z]+\.sh' "$f" | sort -u)
done
finish

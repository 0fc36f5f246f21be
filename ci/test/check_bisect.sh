#!/usr/bin/env bash
# check_bisect.sh - ci/bisect.sh in a made-up repository: it names the commit
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
here=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$work/repository/ci"
cd "$work/repository" || exit 1
cp "$here/ci/bisect.sh" ci/
# Stands for the gate: the times of both stand in files; no build where one says so.
cat > ci/gate.sh << 'END'
#!/usr/bin/env bash
while [ $# -gt 1 ]; do shift; done
[ ! -e broken ] || exit 1
base=$(git show "$1:time") head=$(cat time)
echo "$head against $base"
[ $((100 * head)) -le $((103 * base)) ] || exit 3
END
chmod +x ci/gate.sh
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
git init -q -b main .
# commit TIME SUBJECT
commit() {
    echo "$1" > ./time
    git add -A
    git -c user.name=x -c user.email=x@x -c commit.gpgsign=false commit -q --allow-empty -m "$2"
}
commit 1000 first
git tag good
for i in 1 2 3 4 5; do commit 1000 "calm $i"; done
commit 1100 'The slow one'
for i in 6 7 8; do commit 1100 "calm $i"; done
check 'it names the commit' gives 0 ci/bisect.sh good
check 'this one' grep -q '^first bad commit: [0-9a-f]* The slow one' "$work/out"
check 'the checkout is where it was' test "$(git symbolic-ref --short HEAD)" = main
check 'and alone' test "$(git worktree list | wc -l)" = 1
check 'no bisection is left' test -z "$(git for-each-ref refs/bisect)"
check 'by a command of its own' gives 0 ci/bisect.sh good HEAD~1 -- \
    bash -c '[ "$(cat time)" -lt 1050 ] || exit 3'
check 'the same' grep -q 'first bad commit: .*The slow one' "$work/out"
check 'what is not bad' gives 1 ci/bisect.sh good HEAD~4
check 'in one line' one_line 'calm 5 is not bad'

# A creep, and commits that do not build in between.
git tag creep
for i in $(seq 1 6); do
    [ "$i" = 2 ] && touch broken
    [ "$i" = 3 ] && git rm -q --cached broken && rm broken
    commit $((1100 + 11 * i)) "creep $i"
done
check 'a creep' gives 0 ci/bisect.sh creep
check 'where it passes the threshold' grep -q 'first bad commit: .*creep 4' "$work/out"
touch broken
commit 1100 'does not build'
check 'one that cannot be judged' gives 1 ci/bisect.sh creep
check 'says so' one_line 'cannot be judged'
check 'no revision' gives 2 ci/bisect.sh nothing
check 'is named' grep -q "no revision 'nothing' of GOOD" "$work/err"
check 'the wrong way round' gives 2 ci/bisect.sh HEAD good
check 'nothing' gives 2 ci/bisect.sh
finish

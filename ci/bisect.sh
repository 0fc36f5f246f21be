#!/usr/bin/env bash
# bisect.sh GOOD [BAD] [-- COMMAND...] - which commit made rbe slower, larger or worse?
#
# SPDX-License-Identifier: MIT
#
# Halves the commits between GOOD and BAD (default: HEAD), in a checkout in a temporary folder,
# until one is left, and names it.  COMMAND runs in the checkout and judges it: exit status 0 is
# good, 3 is bad, and a commit with any other status is skipped (git bisect skip).  The default
# command is ci/gate.sh --keep FOLDER GOOD, which builds GOOD once and compares the checkout with
# it.  Of many small slow-downs it names the commit at which their sum exceeds the gate's
# threshold.  GATE_OPTIONS are more options of ci/gate.sh.
# Exit status: 0 a commit is named, 1 none, 2 usage, 4 several are left, which were all skipped.
set -u
cd "$(dirname "$0")/.." || exit 1

usage() {
    echo "bisect.sh: $1; see the head of ci/bisect.sh" >&2
    exit 2
}
case ${1:-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d'
    exit 0
    ;;
'' | -*) usage 'a GOOD revision comes first' ;;
esac
good=$1 bad=HEAD
shift
[ $# -eq 0 ] || [ "$1" = -- ] || { bad=$1 && shift; }
if [ $# -gt 0 ]; then
    [ "$1" = -- ] && shift
    [ $# -gt 0 ] || usage 'no COMMAND behind --'
fi
# commit NAME WHAT: its hash.
commit() {
    git rev-parse --verify --quiet "$1^{commit}" || usage "no revision '$1' of $2"
}
good=$(commit "$good" GOOD) || exit
bad=$(commit "$bad" BAD) || exit
git merge-base --is-ancestor "$good" "$bad" || usage 'GOOD is no ancestor of BAD'
[ "$good" != "$bad" ] || usage 'GOOD and BAD are the same'

work=$(mktemp -d) || exit 1
# shellcheck disable=SC2329 # the trap calls it
leave() {
    git worktree remove --force "$work/tree" > "$work/null" 2>&1
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 130' INT TERM
git worktree add --quiet --detach "$work/tree" "$bad" || exit 1
# shellcheck disable=SC2086 # options are words
[ $# -gt 0 ] || set -- ci/gate.sh --keep "$work/base" ${GATE_OPTIONS:-} "$good"
# What git bisect run asks: its own numbers.
{
    echo '#!/usr/bin/env bash'
    printf '%q ' "$@"
    printf '> %q 2>&1 < /dev/null\n' "$work/said"
    # shellcheck disable=SC2016 # for the script that is written
    printf '%s\n' 'code=$?' "tail -n 1 '$work/said'" \
        'case $code in 0) exit 0 ;; 3) exit 1 ;; *) exit 125 ;; esac'
} > "$work/step"
chmod +x "$work/step"

cd "$work/tree" || exit 1
"$work/step"
case $? in
1) ;;
0)
    echo "bisect.sh: $(git log -1 --format='%h %s') is not bad: nothing to look for" >&2
    exit 1
    ;;
*)
    echo "bisect.sh: $(git log -1 --format='%h %s') cannot be judged" >&2
    exit 1
    ;;
esac
git bisect start "$bad" "$good" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
git bisect run "$work/step" 2>&1 | tee "$work/log"
if grep -q 'is the first bad commit' "$work/log"; then
    # git ends its last line in none.
    printf '\nfirst bad commit: %s\n' "$(git log -1 --format='%h %s' refs/bisect/bad)"
elif grep -q "only 'skip'ped commits left" "$work/log"; then
    echo 'bisect.sh: the commits that are left cannot be judged' >&2
    exit 4
else
    exit 1
fi

#!/usr/bin/env bash
# recipe.sh [BASE_REV] [OPTION OF gate.sh...] - the gate on any CI service, or by hand
#
# SPDX-License-Identifier: MIT
#
# Compares the checkout with BASE_REV and posts the verdict as Markdown: to standard output, to
# $GITHUB_STEP_SUMMARY if it is set, and to the command in $POST_COMMAND, whose last argument is
# the file.  The default of BASE_REV is the commit at which the checkout branched off $BASE_BRANCH,
# else $BEFORE if it exists, else the parent.
#   OUT           folder of the results: gate.md, gate.log, history.jsonl (default: results/gate)
#   BASE_BRANCH   such as origin/main
#   BEFORE        what the branch was before a push of several commits
#   POST_COMMAND  such as 'gh pr comment 12 --body-file'
# The exit status is that of gate.sh: 0 pass; everything else is not a pass.
set -u
cd "$(dirname "$0")/.." || exit 1
out=${OUT:-results/gate}
mkdir -p "$out" || exit 1

case ${1:-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d'
    exit 0
    ;;
'' | -*)
    base=$(git rev-parse --verify --quiet 'HEAD^')
    # Zeros for a new branch, and a commit that a forced push took away, are not there.
    if [ -n "${BEFORE:-}" ] && git rev-parse --verify --quiet "$BEFORE^{commit}" > /dev/null; then
        base=$BEFORE
    fi
    if [ -n "${BASE_BRANCH:-}" ]; then
        base=$(git merge-base "$BASE_BRANCH" HEAD) ||
            { echo "recipe.sh: no common ancestor with $BASE_BRANCH; in a shallow clone 'git" \
                  "fetch --unshallow' brings what is missing" >&2
              exit 1; }
    fi
    if [ -z "$base" ]; then
        echo 'recipe.sh: no parent to compare with; give BASE_REV' \
            "$([ "$(git rev-parse --is-shallow-repository 2>&1)" != true ] ||
                echo ", or 'git fetch --deepen=100': this clone is shallow")" >&2
        exit 2
    fi
    ;;
*)
    base=$1
    shift
    ;;
esac

rm -f "$out/gate.md"
ci/gate.sh --markdown "$out/gate.md" --append "$out/history.jsonl" "$@" "$base" \
    2>&1 | tee "$out/gate.log"
code=${PIPESTATUS[0]}

# When nothing was compared there is no table: then the last line says why.
if [ ! -s "$out/gate.md" ]; then
    case $code in
    0) word=pass ;;
    *) word='**not passed**' ;;
    esac
    printf '### Gate: %s\n\n%s\n' "$word" "$(tail -n 1 "$out/gate.log")" > "$out/gate.md"
fi
cat "$out/gate.md"
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$out/gate.md" >> "$GITHUB_STEP_SUMMARY"
if [ -n "${POST_COMMAND:-}" ]; then
    # shellcheck disable=SC2086
    $POST_COMMAND "$out/gate.md" || echo 'recipe.sh: the verdict was not posted' >&2
fi
exit "$code"

#!/usr/bin/env bash
# commit.sh - the commit that this source tree is of, and whether the sources differ from it
#
# SPDX-License-Identifier: MIT
#
# Prints 'COMMIT clean', 'COMMIT changed' or, of an archive, 'COMMIT unknown'; nothing when it
# cannot be told.  The Makefile puts it into the programs, which put it on every row.
set -u
cd "$(dirname "$0")/.." || exit 1
# git archive and scripts/dist.sh fill this in.
archive='$Format:%H$'

# Git is asked about this folder, whatever a hook or another repository around it has set; the
# tree counts when it is all of a checkout, and not files lying about in one.
of_git() {
    local cdup commit changes
    # shellcheck disable=SC2046
    unset $(git rev-parse --local-env-vars)
    cdup=$(git rev-parse --show-cdup) && [ -z "$cdup" ] &&
        git ls-files --error-unmatch scripts/commit.sh > /dev/null &&
        commit=$(git rev-parse --verify HEAD) &&
        changes=$(git --no-optional-locks status --porcelain -- Makefile datasets '*.c' '*.h' \
            '*.cc' '*.def' '*.profile' '*.gp') || return
    echo "$commit $([ -z "$changes" ] && echo clean || echo changed)"
}
of_git 2> /dev/null && exit
case $archive in
\$*) ;;
*\ *) echo "$archive" ;;
*) echo "$archive unknown" ;;
esac

#!/usr/bin/env bash
# check_commit.sh - a row's commit is the one that the program was built from, wherever it runs.
#
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/../.." || exit 1
. test/lib.sh
rbe=$(cd "${RBE_BIN:?folder of the programs}" && pwd)/rbe
here=$PWD
command -v git > "$work/out" || { echo 'SKIP no git'; exit 77; }
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
# shellcheck disable=SC2046
unset $(git rev-parse --local-env-vars)

# A project of the script and one source, under a name with a blank.
p="$work/a project"
mkdir -p "$p/scripts" "$p/base"
cp scripts/commit.sh scripts/dist.sh "$p/scripts/"
cp .gitattributes "$p/"
echo one > "$p/base/file.c"
echo build > "$p/.gitignore"
git() { command git -c protocol.file.allow=always "$@"; }
git -C "$p" init -q . && git -C "$p" add -A && git -C "$p" commit -q -m one
sha=$(git -C "$p" rev-parse HEAD)
# says TEXT FOLDER: what its script prints, run from elsewhere.
says() { [ "$("$2/scripts/commit.sh" 2>&1)" = "$1" ]; }

check 'a checkout' says "$sha clean" "$p"
echo two > "$p/base/file.c"
check 'with a change' says "$sha changed" "$p"
git -C "$p" checkout -q base/file.c
echo new > "$p/base/new.c"
check 'with a file that is compiled too' says "$sha changed" "$p"
rm "$p/base/new.c"
echo note > "$p/note"
check 'with a note' says "$sha clean" "$p"
git -C "$p" gc -q && git -C "$p" pack-refs --all
check 'after git gc' says "$sha clean" "$p"
git -C "$p" worktree add -q "$work/tree"
check 'a worktree' says "$sha clean" "$work/tree"
git -C "$p" checkout -q --detach
check 'no branch' says "$sha clean" "$p"

git init -q "$work/outer" && cd "$work/outer" || exit 1
git submodule --quiet add "$p" sub && git commit -q -m outer
check 'a submodule' says "$sha clean" "$work/outer/sub"
git -C "$p" archive --prefix=arch/ HEAD | tar -x -C "$work/outer"
check 'an archive inside another repository' says "$sha unknown" "$work/outer/arch"
(cd "$p" && BUILDROOT=build scripts/dist.sh 1) > "$work/out" 2>&1
mkdir "$work/dist" && tar -xzf "$p/build/rbe-bench-1.tar.gz" -C "$work/dist"
check 'an archive of make dist' says "$sha unknown" "$work/dist/rbe-bench-1"
check 'has the same files' diff -r -x .git -x build -x note -x commit.sh "$p" \
    "$work/dist/rbe-bench-1"
echo two > "$p/base/file.c"
(cd "$p" && BUILDROOT=build scripts/dist.sh 1) > "$work/out" 2>&1
tar -xzf "$p/build/rbe-bench-1.tar.gz" -C "$work/dist"
check 'of a tree with changes' says "$sha changed" "$work/dist/rbe-bench-1"
git -C "$p" checkout -q base/file.c
mkdir "$work/outer/copy" && cp -r "$p/scripts" "$p/base" "$work/outer/copy/"
check 'a copy inside another repository' says '' "$work/outer/copy"
mkdir "$work/copy" && cp -r "$p/scripts" "$p/base" "$work/copy/"
check 'a copy without any' says '' "$work/copy"
check 'a hook of another repository' env GIT_DIR="$work/outer/.git" \
    GIT_WORK_TREE="$work/outer" bash -c '[ "$("$1/scripts/commit.sh")" = "$2 clean" ]' - "$p" "$sha"
check 'no git on the path' env PATH="$work/none" /bin/bash -c \
    'cd() { builtin cd "$1"; }; dirname() { echo "${1%/*}"; }; export -f cd dirname
     [ -z "$(/bin/bash "$1/scripts/commit.sh" 2>&1)" ]' - "$work/copy"

# The program carries it, and is not misled by where it stands.
want=$(sed -n 's/.*"\([0-9a-f]*\).*"/\1/p' "${rbe%/bin/rbe}/commit.h")
mkdir -p "$work/outer/bin" && cp "$rbe" "$work/outer/bin/"
(cd "$work/outer" && RBE_COMMIT='' RBE_DATA=$here/datasets/embedded bin/rbe info --json) \
    > "$work/row" 2> "$work/err"
commit() { sed -n 's/^ "commit": "\{0,1\}\([0-9a-f]*\|null\)"\{0,1\},$/\1/p' "$work/row"; }
check 'a row names no commit of another repository' test "$(commit)" != \
    "$(git -C "$work/outer" rev-parse HEAD)"
check 'but that of the source' test "$(commit)" = "${want:-null}"
finish

#!/usr/bin/env bash
# dist.sh VERSION - a source archive of the files git knows, alike to the byte every time
#
# SPDX-License-Identifier: MIT
#
# Into $BUILDROOT (default: build).  Times are those of the commit, or SOURCE_DATE_EPOCH;
# owners and modes do not depend on who makes it.
set -euo pipefail
cd "$(dirname "$0")/.."
name=rbe-bench-${1:?usage: dist.sh VERSION}
out=${BUILDROOT:-build}/$name.tar.gz
if ! top=$(git rev-parse --show-toplevel 2> /dev/null) || [ "$top" != "$(pwd -P)" ]; then
    echo "dist.sh: no git checkout here, which says what belongs into the archive" >&2
    exit 1
fi
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
mkdir -p "$(dirname "$out")"
# The archive has no git to ask, so it is told the commit.
stamp=$(mktemp -d)
trap 'rm -rf "$stamp"' EXIT
mkdir "$stamp/scripts"
commit=$(scripts/commit.sh)
# shellcheck disable=SC2016
sed 's/\$Format:%H\$/'"${commit% clean}/" scripts/commit.sh > "$stamp/scripts/commit.sh"
chmod +x "$stamp/scripts/commit.sh"
git ls-files -z ':!scripts/commit.sh' | tar --sort=name --mtime="@$epoch" --owner=0 --group=0 \
    --numeric-owner --mode='u+rw,go=rX' --format=ustar --transform="s,^,$name/,S" -cf - \
    --null --no-recursion -T - -C "$stamp" scripts/commit.sh | gzip -n -6 > "$out.tmp"
mv "$out.tmp" "$out"
echo "$out"

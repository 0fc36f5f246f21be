#!/usr/bin/env bash
# deb.sh VERSION - Debian packages, built from the archive of dist.sh
#
# SPDX-License-Identifier: MIT
#
# Into $BUILDROOT/deb (default: build/deb).  DEB_BUILD_OPTIONS is the packaging tools' own:
# nocheck leaves the tests out.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:?usage: deb.sh VERSION}
root=$(mkdir -p "${BUILDROOT:-build}" && cd "${BUILDROOT:-build}" && pwd)
command -v dh > /dev/null || { echo "deb.sh: debhelper is not installed" >&2; exit 77; }
scripts/dist.sh "$version"
rm -rf "$root/deb"
mkdir -p "$root/deb"
tar -xzf "$root/rbe-bench-$version.tar.gz" -C "$root/deb"
cd "$root/deb/rbe-bench-$version"
unset BUILDROOT MAKEFLAGS MAKELEVEL CONFIG CC CXX
jobs=$(nproc)
export DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-} parallel=$jobs"
dpkg-buildpackage -us -uc -b
cd ..
rm -rf "rbe-bench-$version"
ls ./*.deb

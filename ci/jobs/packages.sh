#!/usr/bin/env bash
# packages.sh - make dist, the same twice; Debian packages, which are unpacked and run
#
# SPDX-License-Identifier: MIT
#
# Without debhelper the packages are left out, and it says so.
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
git rev-parse --is-inside-work-tree > "$work/null" 2>&1 || { echo 'SKIP no git checkout'; exit 77; }
# What a command said is shown where it fails.
says() { "$@" > "$work/out" 2> "$work/err"; }

check 'make dist' says make -s dist
archive=$(ls "$BUILDROOT"/rbe-bench-*.tar.gz)
sum=$(sha256sum < "$archive")
check 'make dist again' says env -i PATH="$PATH" HOME="$HOME" BUILDROOT="$BUILDROOT" \
    sh -c 'umask 077; make -s dist'
check 'the same archive' test "$sum" = "$(sha256sum < "$archive")"
if ! command -v dh > "$work/null"; then
    echo 'SKIP packages: debhelper is not installed'
    finish
    exit
fi

# From the archive, which has no git: what the packages hold was built there.
check 'make deb' says env DEB_BUILD_OPTIONS=noautodbgsym make -s deb
debs=("$BUILDROOT"/deb/*.deb)
check 'three packages' test ${#debs[@]} = 3
for d in "${debs[@]}"; do dpkg-deb -x "$d" "$work/deb"; done
mkdir "$work/elsewhere"
unset RBE_DATA RBE_PROFILES RBE_BIN
elsewhere() { (cd "$work/elsewhere" && env PATH="$work/deb/usr/bin:/usr/bin:/bin" "$@"); }
check 'rbe info, packaged' says elsewhere rbe info
for program in rbe rbe-run; do
    check "$program generate, packaged" says elsewhere $program generate --tokens 4 --prompt 'The city'
done
mkdir "$work/elsewhere/results"
check 'rbe eval, packaged' says elsewhere rbe eval perplexity -q --windows 1 --context 32 \
    --out results/p.jsonl
check 'rbe report, packaged' says elsewhere rbe report results
if command -v lintian > "$work/null"; then
    # The packages are nobody's upload: no maintainer to write to, no bug to close.
    check 'lintian' says lintian --fail-on error,warning --suppress-tags \
        initial-upload-closes-no-bugs,bogus-mail-host,bogus-mail-host-in-debian-changelog "${debs[@]}"
else
    echo 'SKIP lintian is not installed'
fi
finish

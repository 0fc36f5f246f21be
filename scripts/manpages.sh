#!/usr/bin/env bash
# manpages.sh BIN FOLDER - every manual page, from the text that --help prints
#
# SPDX-License-Identifier: MIT
#
# BIN holds rbe, rbe-run, rbe-serve and rbe-bench.  The scripts' pages are made from their head comments, which
# are their --help too.  The pages are replaced all together, or not at all.
set -euo pipefail
bin=${1:?usage: manpages.sh BIN FOLDER} out=${2:?usage: manpages.sh BIN FOLDER}
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

names() { sed -n "s/^$1(\([a-z]*\), \".*/\1/p" cli/commands.def; }

"$bin/rbe" man > "$work/rbe.1"
for c in $(names COMMAND) $(names GROUP); do
    "$bin/rbe" man "$c" > "$work/rbe-$c.1"
done
for e in $(names EVALUATION); do
    "$bin/rbe" man eval "$e" > "$work/rbe-eval-$e.1"
done
"$bin/rbe-run" man > "$work/rbe-run.1"
"$bin/rbe-bench" --man > "$work/rbe-bench.1"
"$bin/rbe-serve" --man > "$work/rbe-serve.1"

# script NAME FILE: its head comment; the first line is the synopsis, ' - ', what it does.
script() {
    local version date
    version=$(sed -n 's/^#define RBE_VERSION "\(.*\)"/\1/p' base/version.h)
    date=$(sed -n 's/^#define RBE_VERSION_DATE "\(.*\)"/\1/p' base/version.h)
    awk -v name="$1" -v version="$version" -v date="$date" '
        NR == 1 { next }
        !/^#/ { exit }
        { sub(/^# ?/, ""); gsub(/\\/, "\\e"); gsub(/-/, "\\-") }
        NR == 2 {
            what = $0; sub(/.* \\- /, "", what); sub(/\.  .*|\.$/, "", what)
            call = $0; sub(/ \\- .*/, "", call); sub(/^[^ ]*/, "", call)
            page = name; gsub(/-/, "\\-", page)
            printf ".TH %s 1 %s \"rbe\\-bench %s\" \"User Commands\"\n", toupper(page), date,
                   version
            printf ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.B %s\n", page, what, page
            if (call != "") print substr(call, 2)
            print ".SH DESCRIPTION"
            next
        }
        /^SPDX/ { next }
        /^$/ { if (said) gap = 1; next }
        { if (gap) print plain ? ".fi" : ".PP"; gap = 0 }
        /^  / { if (!plain) print ".nf"; plain = 1; print; said = 1; next }
        { if (plain) print ".fi"; plain = 0; print; said = 1 }
        END { if (plain) print ".fi"; print ".SH SEE ALSO\nrbe(1), rbe\\-bench(1)" }
    ' "$2" > "$work/$1.1"
}
script rbe-measure scripts/report.sh
script rbe-bench-plots bench/plots.sh

mkdir -p "$out"
rm -f "$out"/*.1
cp "$work"/*.1 "$out/"

#!/usr/bin/env bash
# readme-table.sh [RESULTS] - puts the verdict, the table and the plot of a report into README
#
# SPDX-License-Identifier: MIT
#
# RESULTS (default: results) is what `make report` filled.  What stands between the two marker
# lines of README.md is replaced, and docs/rate.png by the report's plot.
set -eu
cd "$(dirname "$0")/.."
results=${1:-results}
report=$results/report/report.md
[ -s "$report" ] || { echo "readme-table.sh: $report: not there; run make report" >&2; exit 1; }

new=$(mktemp)
trap 'rm -f "$new"' EXIT
{
    awk '/^\*\*/ && !seen++ { print; print "" }' "$report"
    awk '/^[0-9]+ of [0-9]+ checks pass/ { print; print ""; exit }' "$report"
    # The table of the promises, its first column included.
    awk '/^## The promises/ { here = 1 } here && /^\|/ { print; on = 1; next } on { exit }' "$report"
    echo
    # Why, the page says: README has the names alone.
    awk -F ' *[|] *' '/^## The promises/ { here = 1 } here && /^\|/ { on = 1 }
        on && /NOT MEASURED/ { names = names (names ? ", " : "") $2 } on && !/^\|/ { exit }
        END { if (names) print "Not measured: " names ". The page gives the reasons." }' "$report"
    echo
    # One line for all rows of the table of machines: some steps mask features on purpose.
    awk -F ' *[|] *' '/^## Machine and provenance/ { on = 1; next } /^</ { on = 0 }
        on && NF > 8 && $9 ~ /^[0-9]/ {
            sub(/Z$/, "", $9); sub(/T/, " ", $9); at = $9; machine = $2; cpus = $4
            if (length($7) > length(features)) features = $7
            if ($8 != "-" && !seen[$8]++) commits = commits (commits ? ", " : "") $8
        }
        END { printf "Measured until %s UTC on %s, %s CPUs, features %s", at, machine, cpus, features
              if (commits) printf ", at commit %s", commits
              print "." }' "$report"
} > "$new"
awk -v new="$new" '/^<!-- end of the table/ { on = 0 }
    !on { print }
    /^<!-- table / { on = 1; while ((getline line < new) > 0) print line }' README.md > "$new.md"
grep -q '^<!-- end of the table' "$new.md" || { echo 'readme-table.sh: no markers' >&2; exit 1; }
mv "$new.md" README.md
[ ! -s "$results/report/plots/rate.png" ] || cp "$results/report/plots/rate.png" docs/rate.png
echo "README.md and docs/rate.png are those of $report"

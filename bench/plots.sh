#!/usr/bin/env bash
# plots.sh TSV FOLDER - draws every plot of the table that rbe-bench --tsv wrote
#
# SPDX-License-Identifier: MIT
#
# As SVG and PNG.  A plot whose rows were not measured is left out, and the exit status is 1.
# Installed it is rbe-bench-plots.
set -u
if [ $# != 2 ] || [ ! -f "$1" ]; then
    echo "usage: ${0##*/} TSV FOLDER" >&2
    exit 2
fi
above=$(dirname "$(readlink -f "$0")")/..
scripts=$above/reports/plots
[ -d "$scripts" ] || scripts=$above/share/rbe-bench/plots
if ! command -v gnuplot > /dev/null; then
    echo "plots.sh: gnuplot is not installed" >&2
    exit 1
fi
mkdir -p "$2" || exit 1
bad=0
for script in "$scripts"/bench-*.gp; do
    name=$(basename "$script" .gp)
    [ "$name" = bench-common ] && continue
    for kind in svg png; do
        # A plot whose rows were not measured is left out, not drawn empty.
        if gnuplot -e "in='$1'; out='$2/.$name.$kind'; kind='$kind'" \
            "$scripts/bench-common.gp" "$script" 2> "$2/.$name.err"; then
            mv "$2/.$name.$kind" "$2/$name.$kind"
        else
            rm -f "$2/.$name.$kind" "$2/$name.$kind"
            echo "plots.sh: $name.$kind left out: $(grep -m 1 -E '[a-z]' "$2/.$name.err")" >&2
            bad=1
        fi
        rm -f "$2/.$name.err"
    done
done
exit $bad

#!/usr/bin/env bash
# plots.sh TSV FOLDER - draws every plot of the table that rbe-bench --tsv wrote
#
# SPDX-License-Identifier: MIT
#
# As SVG and PNG.  A plot whose rows are not in the table is left out, and that is said; no plot
# at all, or a script that fails, is exit status 1.
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
# In gnuplot's quotes a quote stands twice.
tsv=${1//\'/\'\'} folder=${2//\'/\'\'}
# said NAME: a line of the table's head.
said() { sed -n "s/^# $1 //p" "$table" | head -n 1 | tr -cd 'a-z0-9_ '; }
table=$1
formats=$(said formats) usual=$(said usual_blocks) isas=$(said isas)
if [ -z "$formats" ] || [ -z "$usual" ] || [ -z "$isas" ]; then
    echo "plots.sh: $1: its head does not list formats and ISAs; rbe-bench --summarise" \
        "RESULT.json --tsv TSV makes it anew" >&2
    exit 1
fi
bad=0 drawn=0
for script in "$scripts"/bench-*.gp; do
    name=$(basename "$script" .gp)
    [ "$name" = bench-common ] && continue
    for kind in svg png; do
        # A name within SVG has no '-'.
        gnuplot -e "in='$tsv'; out='$folder/.$name.$kind'; kind='$kind'; ink='#6e7781'" \
            -e "id='${name//-/_}'; formats='$formats'; usual_blocks='$usual'; isas='$isas'" \
            "$scripts/common.gp" "$scripts/bench-common.gp" "$script" 2> "$2/.$name.err"
        rc=$?
        if [ $rc = 0 ] && [ -s "$2/.$name.$kind" ]; then
            mv "$2/.$name.$kind" "$2/$name.$kind"
            drawn=$((drawn + 1))
        else
            rm -f "$2/.$name.$kind" "$2/$name.$kind"
            if [ $rc = 3 ]; then
                [ $kind = png ] || echo "plots.sh: $name left out: its rows are not in $1" >&2
            else
                echo "plots.sh: $name.$kind: $(grep -m 1 -E '[a-z]' "$2/.$name.err")" >&2
                bad=1
            fi
        fi
        rm -f "$2/.$name.err"
    done
done
[ $drawn -gt 0 ] || echo "plots.sh: nothing of $1 could be drawn" >&2
[ $bad = 0 ] && [ $drawn -gt 0 ]

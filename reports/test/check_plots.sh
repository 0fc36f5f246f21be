#!/usr/bin/env bash
# check_plots.sh - each plot of the page draws the columns that its head names
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
plots=$(cd "$(dirname "$0")/../plots" && pwd)
if ! command -v gnuplot > /dev/null; then
    echo 'SKIP no gnuplot'
    exit 77
fi

# No two columns hold the same number, so that each point says where it comes from.
printf 'a\t2\t30\t700\t1100\t1\nb\t3\t40\t800\t1200\t0\na\t5\t60\t900\t1300\t0\n' > "${work:?}/in.tsv"
settings="kind='svg'; id='x'; in='$work/in.tsv'; out='$work/x.svg'; series='a b '; title='t'; apart=0; apart_name=''; "
settings+="roof=5; rows=3; f32=10; budget=2.9; most=35; stages=''; entries=5; "

# The table that gnuplot would draw: of each curve its first point; blanks between numbers are one.
drawn() {
    gnuplot -e "$settings" "$plots/common.gp" -e "set table '$work/table'" "$plots/$1.gp" \
        > "$work/out" 2>&1 || return 1
    awk '/^# Curve/ { first = 1 } /^#/ || !NF { next } first { first = 0
        out = $1; for (i = 2; i <= NF; i++) if ($i ~ /^[-0-9.]+$/) out = out " " $i
        printf "%s%s", n++ ? ", " : "", out } END { print "" }' "$work/table" > "$work/points"
}
# draws SCRIPT POINTS: those, before what it draws besides.
draws() {
    check "$1 runs" drawn "$1"
    check "$1 draws $2" grep -qF -- "$2" "$work/points"
    [ $failed = 0 ] || cat "$work/points"
}
xy='2 30, 3 40'
draws allocation "$xy"
draws cdf "$xy"
draws context "$xy"
draws depth "$xy"
draws distortion "$xy"
draws divergence '2 30, 3 40'
draws kernels '2 0 1.4 2 -0.36 0.36, 2 0 32'
usual=$settings
settings+="shape='wide'; in='$work/lead.tsv'; "
printf 'a\t2\t30\ttwo\t0\t1\nb\t3\t40\tthree\t1\t0\na\t4\t50\tfour\t2\t0\na\t4.5\t60\tmore\t3\t0\n' \
    > "$work/lead.tsv"
draws lead '2 30, 3 40, 4 50, 3 40, 2 30'
settings=$usual
draws memory '-0.25 2 -0.36 -0.14, 0 30 -0.11 0.11, 0.25 700 0.14 0.36'
draws peak "$xy"
draws rate "$xy"
draws recovery "$xy"
draws roof "$xy"
settings+="parts='p q'; "
draws stages "0 0 0 2 -0.32 0.32, 2 0 2 32 -0.32 0.32"
draws sweep "$xy"
draws sustained "$xy, 2 700, 3 800"
draws tokens '2 0 0 2 -0.36 0.36, 2 0 -28 32'
draws trend '1.875 30 700 1100, 3.125 40 800 1200, 1.875 30, 3.125 40, 1.875 30'
draws turns "$xy, 2 700, 3 800"
check 'every script of the page was tried' test "$(printf '%s\n' "$plots"/*.gp |
    grep -vc 'common.gp\|bench-')" = 19
finish

# stages.gp - where does the time of a conversion go?
#
# SPDX-License-Identifier: MIT
#
# in: conversion, then seconds of each part; parts, title, rows.
set title title
set title offset -6,0
set xlabel 'seconds'
set xlabel offset -6,0
set style fill solid 0.85 noborder
set yrange [rows - 0.4:-0.6]
set xrange [0:*]
set grid noytics xtics
set ytics scale 0
# All of the key, which has more entries than there are conversions.
set bmargin at screen 0.33
set key at screen 0.5,0.02 center bottom horizontal maxcols 2
# Left end of a part: the sum of those before it.
before(k) = k < 1 ? 0 : (column(k + 1) + before(k - 1))
plot for [k = 1:words(parts)] in \
         using (before(k - 1)):0:(before(k - 1)):(before(k)):($0 - 0.32):($0 + 0.32):ytic(1) \
         with boxxyerror lc rgb hue[k] title word(parts, k)

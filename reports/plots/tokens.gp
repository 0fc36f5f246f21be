# tokens.gp - how long do all matrices of a model take for one token?
#
# SPDX-License-Identifier: MIT
#
# in: kernel, ms, MAD of it; rows, title.
set title title
set xlabel 'all matrices, cold: ms (median; bar: MAD)'
# The middle of the picture is left of that of the axes.
set title offset -9,0
set xlabel offset -6,0
stats in using 2 nooutput
# Room for the number behind the longest bar.
set xrange [0:1.25 * STATS_max]
set yrange [rows - 0.4:-0.6]
set grid noytics xtics
set key off
set ytics scale 0
plot in using 2:0:(0):2:($0 - 0.36):($0 + 0.36):ytic(1) with boxxyerror \
         fs solid 0.85 border lc rgb hue[3] lc rgb hue[3], \
     in using 2:0:3 with xerrorbars pt 0 lw 1.5 lc rgb ink, \
     in using ($2 + $3):0:(sprintf($2 >= 100 ? '  %.0f' : '  %.3g', $2)) with labels left tc rgb ink

# tokens.gp - how long do all matrices of a model take for one token?
#
# SPDX-License-Identifier: MIT
#
# in: kernel, ms, MAD of it; rows, title.
set title title
set xlabel 'all matrices, once, cold: ms (median; bar: MAD)'
set xrange [0:*]
set yrange [rows - 0.4:-0.6]
set grid noytics xtics
set key off
set ytics scale 0
plot in using 2:0:(0):2:($0 - 0.36):($0 + 0.36):ytic(1) with boxxyerror \
         fs solid 0.85 border lc rgb hue[3] lc rgb hue[3], \
     in using 2:0:3 with xerrorbars pt 0 lw 1.5 lc rgb ink, \
     in using ($2 + $3):0:(sprintf('  %.3g', $2)) with labels left tc rgb ink

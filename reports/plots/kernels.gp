# kernels.gp - how near does each kernel come to the measured read bandwidth?
#
# SPDX-License-Identifier: MIT
#
# in: kernel, GB/s, MAD of it, sorted; roof (GB/s), rows, title.
set title title
set xlabel 'encoded weights, GB/s, log scale (median; bar: MAD)'
stats in using 2 nooutput
most = roof > STATS_max ? roof : STATS_max
low = 0.7 * STATS_min
# A kernel is many times as fast as another: on a linear scale the slow ones could not be seen.
set logscale x
# Room for the number behind the longest bar.
set xrange [low:3 * most]
set yrange [rows - 0.4:-0.6]
set grid noytics xtics
set key off
set ytics scale 0
set arrow 1 from roof, graph 0 to roof, graph 1 nohead lc rgb hue[5] lw 2
set label 1 sprintf('read roof: %.1f GB/s ', roof) at roof, graph 1.03 right tc rgb ink
# The middle of the picture is left of that of the axes.
set title offset -9,0.8
set xlabel offset -6,0
plot in using 2:0:(low):2:($0 - 0.36):($0 + 0.36):ytic(1) with boxxyerror \
         fs solid 0.85 border lc rgb hue[1] lc rgb hue[1], \
     in using 2:0:3 with xerrorbars pt 0 lw 1.5 lc rgb ink, \
     in using ($2 + $3):0:(sprintf($2 >= 100 ? '  %.0f' : '  %.3g', $2)) with labels left tc rgb ink

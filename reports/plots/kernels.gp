# kernels.gp - how near does each kernel come to the measured read bandwidth?
#
# SPDX-License-Identifier: MIT
#
# in: kernel, GB/s, MAD of it; roof (GB/s), rows, title.
set title title
set xlabel 'encoded weights, GB/s (median; bar: MAD)'
stats in using 2 nooutput
set xrange [0:1.06 * (roof > STATS_max ? roof : STATS_max)]
set yrange [rows - 0.4:-0.6]
set grid noytics xtics
set key off
set ytics scale 0
set arrow 1 from roof, graph 0 to roof, graph 1 nohead lc rgb hue[5] lw 2
set label 1 sprintf('read roof: %.1f GB/s ', roof) at roof, graph 1.03 right tc rgb ink
# The middle of the picture is left of that of the axes.
set title offset -9,0.8
set xlabel offset -6,0
plot in using 2:0:(0):2:($0 - 0.36):($0 + 0.36):ytic(1) with boxxyerror \
         fs solid 0.85 border lc rgb hue[1] lc rgb hue[1], \
     in using 2:0:3 with xerrorbars pt 0 lw 1.5 lc rgb ink

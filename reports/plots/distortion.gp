# distortion.gp - how large is the error of each codec on the same matrices?
#
# SPDX-License-Identifier: MIT
#
# in: series, bits per weight, relative RMSE; series, title.
set title title
set xlabel 'bits per weight, logarithmic'
set ylabel 'relative RMSE of the weights'
set logscale x
set xrange [*:*]
set yrange [0:*]
name(i) = word(series, i)
plot 2**-x with lines lw 2 dt (8,4) lc rgb ink title 'bound, white noise', \
     for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
         with linespoints lw 2 pt 4 + i ps 0.9 lc rgb hue[(i - 1) % |hue| + 1] title name(i)

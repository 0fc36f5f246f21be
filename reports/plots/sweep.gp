# sweep.gp - what does the block size B cost or gain?
#
# SPDX-License-Identifier: MIT
#
# in: kernel, B, weights per second / 1e9; series, title.
set title title
set xlabel 'block size B (128 / B bits per weight, before scales)'
set ylabel '10^9 weights multiplied a second'
set logscale x 2
set logscale y
set key maxcols 1 spacing 1.05
name(i) = word(series, i)
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
    smooth unique with linespoints lw 2 pt 4 + i lc rgb hue[(i - 1) % |hue| + 1] title name(i)

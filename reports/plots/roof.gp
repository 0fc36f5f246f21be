# roof.gp - how fast can this machine read, by the size of what is read?
#
# SPDX-License-Identifier: MIT
#
# in: series, bytes, GB/s; series, title.
set title title
set xlabel 'bytes read over and over'
set ylabel 'GB/s'
set logscale x 2
set format x '%.0b %B'
set yrange [0:*]
set rmargin 4
name(i) = word(series, i)
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
    with linespoints lw 2 pt 4 + i lc rgb hue[(i - 1) % |hue| + 1] title name(i)

# cdf.gp - which share of tokens comes within a given time?
#
# SPDX-License-Identifier: MIT
#
# in: series, ms, share (0..1); series, title.
set title title
set xlabel 'time for a token, ms, logarithmic'
set ylabel 'share of tokens'
set logscale x
set yrange [0:1]
name(i) = word(series, i)
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
    with lines lw 2 lc rgb hue[(i - 1) % |hue| + 1] title name(i)

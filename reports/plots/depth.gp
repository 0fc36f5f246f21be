# depth.gp - does a token take longer when more stands in the context?
#
# SPDX-License-Identifier: MIT
#
# in: series, tokens in the context, median ms of a token; series, title.
set title title
set xlabel 'tokens in the context'
set ylabel 'ms for a token (median), logarithmic'
set logscale y
set xrange [0:*]
name(i) = word(series, i)
# The rows come in any order.
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
         smooth unique with linespoints lw 2 pt 4 + i lc rgb hue[(i - 1) % |hue| + 1] title name(i)

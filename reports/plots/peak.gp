# peak.gp - how much memory does a process need when the context is longer?
#
# SPDX-License-Identifier: MIT
#
# in: series, tokens in the context at last, most resident memory in MB; series, title.
set title title
set xlabel 'tokens generated'
set ylabel 'most resident memory, MB (10^6 bytes)'
set xrange [0:*]
set yrange [0:*]
name(i) = word(series, i)
# The rows come in any order.
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
         smooth unique with linespoints lw 2 pt 4 + i lc rgb hue[(i - 1) % |hue| + 1] title name(i)

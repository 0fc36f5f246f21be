# throughput.gp - how many tokens a second does each model generate, by depth of the context?
#
# SPDX-License-Identifier: MIT
#
# in: series, tokens in the context, tokens a second; series, title.
set title title
set xlabel 'tokens in the context'
set ylabel 'tokens generated per second'
set yrange [0:*]
name(i) = word(series, i)
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
         with linespoints lw 2 pt 4 + i lc rgb hue[(i - 1) % |hue| + 1] title name(i)

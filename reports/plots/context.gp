# context.gp - does a token take longer when more has been said?
#
# SPDX-License-Identifier: MIT
#
# in: series, tokens in the context, median ms of a token; series, title.
set title title
set xlabel 'tokens in the context when the answer ends'
set ylabel 'ms for a token (median of the turn)'
set xrange [0:*]
set yrange [0:*]
name(i) = word(series, i)
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
    with points pt 4 + i ps 0.9 lc rgb hue[(i - 1) % |hue| + 1] title name(i)

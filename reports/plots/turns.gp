# turns.gp - how long does each turn of a conversation wait for its first token?
#
# SPDX-License-Identifier: MIT
#
# in: series, turn, first token ms, p95 ms/token; series, title.
set title title
set xlabel 'turn'
stats in using 2 nooutput
if (STATS_max <= 10) { set xtics 1 }
set ylabel 'ms, logarithmic'
set logscale y
set yrange [*:2000]
name(i) = word(series, i)
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
         with linespoints lw 2 pt 7 ps 0.6 lc rgb hue[(i - 1) % |hue| + 1] \
         title name(i) . ', first token', \
     for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):4 \
         with lines lw 1.5 dt (4,3) lc rgb hue[(i - 1) % |hue| + 1] title name(i) . ', p95 a token', \
     1000 with lines lw 1.5 dt (6,4) lc rgb soft title 'limit, first token: 1 s', \
     50 with lines lw 1.5 dt (2,3) lc rgb soft title 'limit, p95: 50 ms'

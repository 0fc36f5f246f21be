# turns.gp - how long does each turn of a conversation wait for its first token?
#
# SPDX-License-Identifier: MIT
#
# in: series, turn, first token ms, p95 ms/token; series, title.
set title title
set xlabel 'turn'
set ylabel 'ms, logarithmic'
set logscale y
set yrange [*:2000]
set arrow 1 from graph 0, first 1000 to graph 1, first 1000 nohead lc rgb soft lw 1.5 dt (6,4)
set arrow 2 from graph 0, first 50 to graph 1, first 50 nohead lc rgb soft lw 1.5 dt (2,3)
set label 1 'limit of the first token: 1 s' at graph 0.01, first 1300 tc rgb ink
set label 2 'limit of a token at p95: 50 ms' at graph 0.01, first 65 tc rgb ink
name(i) = word(series, i)
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
         with linespoints lw 2 pt 7 ps 0.6 lc rgb hue[(i - 1) % 8 + 1] \
         title name(i) . ', first token', \
     for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):4 \
         with lines lw 1.5 dt (4,3) lc rgb hue[(i - 1) % 8 + 1] title name(i) . ', p95 a token'

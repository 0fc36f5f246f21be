# trend.gp - what became of each metric, run by run of the gate?
#
# SPDX-License-Identifier: MIT
#
# in: series, run, change in percent, its interval, regression (0 or 1); series, title, entries.
set title title
set xlabel 'run of the gate'
set ylabel 'change, % (up: slower, larger, worse; bar: interval of the run)'
set xrange [0.5:entries + 0.5]
set yrange [*<0:0<*]
set xtics 1, (entries > 20 ? ceil(entries / 10.0) : 1)
set offsets 0, 0, graph 0.05, graph 0.05
set arrow 1 from graph 0, first 0 to graph 1, first 0 nohead lc rgb ink lw 1
name(i) = word(series, i)
n = words(series)
# Side by side, so that bars of one run do not hide each other.
at(i) = $2 + (i - (n + 1) / 2.0) * 0.5 / n
is(i) = strcol(1) eq name(i)
plot for [i = 1:n] in using (is(i) ? at(i) : NaN):3:4:5 with yerrorbars pt 0 lw 1.2 \
        lc rgb hue[(i - 1) % |hue| + 1] notitle, \
     for [i = 1:n] in using (is(i) ? at(i) : NaN):3 with linespoints lw 1.8 pt 3 + i ps 0.8 \
        lc rgb hue[(i - 1) % |hue| + 1] title name(i), \
     for [i = 1:n] in using (is(i) && $6 > 0 ? at(i) : NaN):3 with points pt 6 ps 2.4 lw 2 \
        lc rgb hue[5] notitle, \
     keyentry with points pt 6 ps 2.4 lw 2 lc rgb hue[5] title 'regression'

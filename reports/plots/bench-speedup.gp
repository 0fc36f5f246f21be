# bench-speedup.gp - how much faster than the scalar reference is each kernel?
#
# SPDX-License-Identifier: MIT
array scalar[8]
do for [f = 1:8] { scalar[f] = NaN }
at(name) = place(formats, name)
stats in using (is_usual('cold', 1) && strcol('isa') eq 'scalar' \
    ? (scalar[at(strcol('format'))] = column('ns_median'), 1) : NaN) nooutput
times(i) = is_of(i) ? scalar[at(strcol('format'))] / column('ns_median') : NaN
# Without a scalar row there is nothing to compare with.
least = 1e30
most = 0
do for [i = 1:words(shown_isas)] {
    stats in using (v = times(i), v > 0 ? (least = smaller(least, v - mad(v)), \
        most = larger(most, v + mad(v)), 1) : NaN) nooutput
}
if (most == 0) { exit status 3 }
set title 'Speed-up over the scalar kernel of the same format, 3072 x 768, cold, one thread'
set ylabel 'times (bar: median; line: MAD)'
set logscale y 2
set yrange [smaller(least, 1) / 1.5:most * 1.4]
set xrange [0.4:words(shown_formats) + 0.6]
set xtics scale 0 ('' -1)
do for [f = 1:words(shown_formats)] { set xtics add (format(f) f) }
set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead lc rgb ink lw 1
plot for [i = 1:words(shown_isas)] in using (bar_x(i)):(times(i)):(bar * 0.9) with boxes \
        fs solid 0.9 border lc rgb colour(i) lc rgb colour(i) title isa(i), \
     for [i = 1:words(shown_isas)] in using (bar_x(i)):(times(i) - mad(times(i))):(0): \
        (2 * mad(times(i))) with vectors heads size graph 0.004, 90 lw 1.5 lc rgb ink, \
     for [i = 1:words(shown_isas)] in using (bar_x(i)):(mark(1.08 * (times(i) + \
        mad(times(i))))) with points pt 2 ps 0.8 lw 1.5 lc rgb ink, \
     keyentry with points pt 2 ps 0.8 lw 1.5 lc rgb ink title unstable

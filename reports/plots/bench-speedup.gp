# bench-speedup.gp - how much faster than the scalar reference is each kernel?
#
# SPDX-License-Identifier: MIT
array scalar[8]
do for [f = 1:8] { scalar[f] = NaN }
at(name) = place(formats, name)
stats in using (is_usual('cold', 1) && strcol('isa') eq 'scalar' \
    ? (scalar[at(strcol('format'))] = column('ns_median'), 1) : NaN) nooutput
times(i) = is_of(i) ? scalar[at(strcol('format'))] / column('ns_median') : NaN
set title 'Speed-up over the scalar kernel of the same format, 3072 x 768, cold, one thread'
set ylabel 'times'
set logscale y 2
set yrange [0.5:*]
set xrange [0.4:words(shown_formats) + 0.6]
set xtics scale 0
do for [f = 1:words(shown_formats)] { set xtics add (format(f) f) }
set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead lc rgb ink lw 1
plot for [i = 1:words(shown_isas)] in using (bar_x(i)):(times(i)):(bar * 0.9) with boxes \
        fs solid 0.9 border lc rgb colour(i) lc rgb colour(i) title isa(i)

# bench-weights.gp - how many weights does each kernel multiply in a second?
#
# SPDX-License-Identifier: MIT
if (words(shown_isas) == 0) { exit status 3 }
set title 'Weights decoded and multiplied, 3072 x 768, cold, one thread'
set ylabel '10^9 weights a second (bar: median; line: MAD)'
set yrange [0:*]
set xrange [0.4:words(shown_formats) + 0.6]
set xtics scale 0 ('' -1)
do for [f = 1:words(shown_formats)] { set xtics add (format(f) f) }
rate(i) = giga(i, 'weights_per_second')
plot for [i = 1:words(shown_isas)] in using (bar_x(i)):(rate(i)):(bar * 0.9) with boxes \
        fs solid 0.9 border lc rgb colour(i) lc rgb colour(i) title isa(i), \
     for [i = 1:words(shown_isas)] in using (bar_x(i)):(rate(i) - mad(rate(i))):(0): \
        (2 * mad(rate(i))) with vectors heads size graph 0.004, 90 lw 1.5 lc rgb ink, \
     for [i = 1:words(shown_isas)] in using (bar_x(i)):(mark(rate(i) + mad(rate(i)))) \
        with points pt 2 ps 0.8 lw 1.5 lc rgb ink, \
     keyentry with points pt 2 ps 0.8 lw 1.5 lc rgb ink title unstable

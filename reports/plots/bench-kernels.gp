# bench-kernels.gp - how near does each kernel come to the measured read bandwidth?
#
# SPDX-License-Identifier: MIT
if (words(shown_isas) == 0) { exit status 3 }
roof = 0
top = 0
stats in using (is_usual('cold', 1) ? (roof = column('read_roof') / 1e9, \
    top = larger(top, column('bytes_per_second') / 1e9), 1) : NaN) nooutput
set title 'Encoded weights read by matrix times vector, 3072 x 768, cold, one thread'
set ylabel 'GB/s (bar: median; line: MAD)'
set yrange [0:larger(roof, top) * 1.12]
set xrange [0.4:words(shown_formats) + 0.6]
set xtics scale 0 ('' -1)
do for [f = 1:words(shown_formats)] { set xtics add (format(f) f) }
rate(i) = giga(i, 'bytes_per_second')
plot for [i = 1:words(shown_isas)] in using (bar_x(i)):(rate(i)):(bar * 0.9) with boxes \
        fs solid 0.9 border lc rgb colour(i) lc rgb colour(i) title isa(i), \
     for [i = 1:words(shown_isas)] in using (bar_x(i)):(rate(i) - mad(rate(i))):(0): \
        (2 * mad(rate(i))) with vectors heads size graph 0.004, 90 lw 1.5 lc rgb ink, \
     for [i = 1:words(shown_isas)] in using (bar_x(i)):(mark(rate(i) + mad(rate(i)))) \
        with points pt 2 ps 0.8 lw 1.5 lc rgb ink, \
     roof with lines lw 2 lc rgb '#c0392b' title sprintf('read roof, %.1f', roof), \
     keyentry with points pt 2 ps 0.8 lw 1.5 lc rgb ink title unstable

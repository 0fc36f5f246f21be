# bench-kernels.gp - how near does each kernel come to the measured read bandwidth?
#
# SPDX-License-Identifier: MIT
roof = 0
top = 0
larger(a, b) = a > b ? a : b
stats in using (is_usual('cold', 1) ? (roof = column('read_roof') / 1e9, \
    top = larger(top, column('bytes_per_second') / 1e9), 1) : NaN) nooutput
set title 'Encoded weights read by matrix times vector, 3072 x 768, cold, one thread'
set ylabel 'GB/s (bar: median; line: MAD)'
set yrange [0:larger(roof, top) * 1.08]
set xrange [0.4:words(shown_formats) + 0.6]
set xtics scale 0
do for [f = 1:words(shown_formats)] { set xtics add (format(f) f) }
set arrow 1 from graph 0, first roof to graph 1, first roof nohead lc rgb '#c0392b' lw 2
set label 1 sprintf('measured read bandwidth: %.1f GB/s', roof) at graph 0.01, first roof \
    offset 0, 0.6 tc rgb '#c0392b'
rate(i) = giga(i, 'bytes_per_second')
plot for [i = 1:words(shown_isas)] in using (bar_x(i)):(rate(i)):(bar * 0.9) with boxes \
        fs solid 0.9 border lc rgb colour(i) lc rgb colour(i) title isa(i), \
     for [i = 1:words(shown_isas)] in using (bar_x(i)):(rate(i) - mad(rate(i))):(0): \
        (2 * mad(rate(i))) with vectors heads size graph 0.004, 90 lw 1.5 lc rgb ink

# bench-sweep.gp - what does the size of a weight cost or gain, ISA by ISA?
#
# SPDX-License-Identifier: MIT
is_sweep(f) = is_product('cold') && column('threads') == 1 && strcol('format') eq f
is_any = "(is_sweep('seed') || is_sweep('seed4'))"
roof = 0
most = 0
least = 1e30
wide = 0
narrow = 1e30
points = 0
stats in using (@is_any ? (roof = column('read_roof') / 1e9, \
    v = column('weights_per_second') / 1e9, b = column('bits_per_weight'), \
    most = larger(most, v), least = smaller(least, v), points = points + 1, \
    wide = larger(wide, b), narrow = smaller(narrow, b), 1) : NaN) nooutput
if (points < 2 || narrow == wide) { exit status 3 }
set title 'seed (lines) and seed4 (dashes) by block size, 3072 x 768, cold, one thread'
set xlabel 'bits per weight, all bytes counted (8 at B = 16, 2.9 at 44, 0.07 at 4096)'
set ylabel '10^9 weights a second (bar: MAD)'
set logscale xy
set logscale x 2
set xrange [narrow / 1.3:wide * 1.3]
set yrange [least / 1.5:most * 2]
set samples 400
bits(f, i) = is_sweep(f) && strcol('isa') eq isa(i) ? column('bits_per_weight') : NaN
rate(f) = column('weights_per_second') / 1e9
plot for [i = 1:words(shown_isas)] in using (bits('seed', i)):(rate('seed')) \
        smooth unique with lines lw 2 lc rgb colour(i), \
     for [i = 1:words(shown_isas)] in using (bits('seed', i)):(rate('seed')):(mad(rate('seed'))) \
        with yerrorbars pt 7 ps 0.7 lw 1.2 lc rgb colour(i), \
     for [i = 1:words(shown_isas)] in using (bits('seed4', i)):(rate('seed4')) \
        smooth unique with lines lw 2 dt (6,4) lc rgb colour(i), \
     for [i = 1:words(shown_isas)] in \
        using (bits('seed4', i)):(rate('seed4')):(mad(rate('seed4'))) \
        with yerrorbars pt 6 ps 0.7 lw 1.2 lc rgb colour(i), \
     for [i = 1:words(shown_isas)] for [f in 'seed seed4'] in \
        using (mark(bits(f, i))):(rate(f)) with points pt 2 ps 1.1 lw 1 lc rgb ink, \
     for [i = 1:words(shown_isas)] keyentry with linespoints lw 2 pt 7 ps 0.7 \
        lc rgb colour(i) title isa(i), \
     roof * 8 / x with lines lw 2 dt (12,4,2,4) lc rgb ink title 'memory roof', \
     keyentry with points pt 2 ps 1.1 lw 1 lc rgb ink title unstable

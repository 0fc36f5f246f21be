# bench-sweep.gp - what does the size of a weight cost or gain, ISA by ISA?
#
# SPDX-License-Identifier: MIT
is_sweep(f) = is_product('cold') && column('threads') == 1 && strcol('format') eq f
roof = 0
top = 0
stats in using (is_sweep('seed') || is_sweep('seed4') \
    ? (roof = column('read_roof') / 1e9, v = column('weights_per_second') / 1e9, \
       top = v > top ? v : top, 1) : NaN) nooutput
set title 'seed (lines) and seed4 (dashes) by block size, 3072 x 768, cold, one thread'
set xlabel 'bits per weight, all bytes counted (8 at B = 16, 2.9 at 44, 0.07 at 4096)'
set ylabel '10^9 weights a second'
set logscale xy
set logscale x 2
set xrange [0.05:10]
set yrange [0.05:top * 2]
set samples 400
bits(f, i) = is_sweep(f) && strcol('isa') eq isa(i) ? column('bits_per_weight') : NaN
plot for [i = 1:words(shown_isas)] in \
        using (bits('seed', i)):(column('weights_per_second') / 1e9) \
        smooth unique with linespoints lw 2 pt 7 ps 0.7 lc rgb colour(i) title isa(i), \
     for [i = 1:words(shown_isas)] in \
        using (bits('seed4', i)):(column('weights_per_second') / 1e9) \
        smooth unique with linespoints lw 2 dt (6,4) pt 6 ps 0.7 lc rgb colour(i), \
     roof * 8 / x with lines lw 2 dt (12,4,2,4) lc rgb ink title 'memory roof'

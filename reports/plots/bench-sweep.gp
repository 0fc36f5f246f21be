# bench-sweep.gp - what does the size of a weight cost or gain, ISA by ISA?
#
# SPDX-License-Identifier: MIT
roof = 0
stats in using (is_usual('cold', 1) ? (roof = column('read_roof') / 1e9, 1) : NaN) nooutput
top = 0
best(v) = (top = v > top ? v : top)
stats in using (is_product('cold') && column('threads') == 1 && (strcol('format') eq 'seed' || strcol('format') eq 'seed4') \
    ? best(column('weights_per_second') / 1e9) : NaN) nooutput
set title 'seed (lines) and seed4 (dashes) by block size, 3072 x 768, cold, one thread'
set xlabel 'bits per weight, all bytes counted (8 at B = 16, 2.9 at 44, 0.07 at 4096)'
set ylabel '10^9 weights a second'
set logscale x 2
set xrange [0.05:10]
set logscale y
set yrange [0.05:top * 2]
set samples 400
series(f, i) = is_product('cold') && column('threads') == 1 && strcol('format') eq f && \
    strcol('isa') eq word(shown_isas, i)
plot for [i = 1:words(shown_isas)] in \
        using (series('seed', i) ? column('bits_per_weight') : NaN):(column('weights_per_second') / 1e9) \
        smooth unique with linespoints lw 2 pt 7 ps 0.7 lc rgb colour(word(shown_isas, i)) title word(shown_isas, i), \
     for [i = 1:words(shown_isas)] in \
        using (series('seed4', i) ? column('bits_per_weight') : NaN):(column('weights_per_second') / 1e9) \
        smooth unique with linespoints lw 2 dt (6,4) pt 6 ps 0.7 lc rgb colour(word(shown_isas, i)), \
     roof * 8 / x with lines lw 2 dt (12,4,2,4) lc rgb ink title 'memory roof'

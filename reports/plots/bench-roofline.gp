# bench-roofline.gp - is a kernel held back by memory or by arithmetic?
#
# SPDX-License-Identifier: MIT
#
# Roofs of the ISAs: of 16-bit dot products, of floats where the seed has no such kernel.
roof = 0
stats in using (is_usual('cold', 1) ? (roof = column('read_roof') / 1e9, 1) : NaN) nooutput
array peak[8]
do for [i = 1:8] { peak[i] = NaN }
do for [f in 'f32 int8 seed'] {
    stats in using (is_usual('cold', 1) && strcol('format') eq f && has(isas, strcol('isa')) \
        ? (peak[place(isas, strcol('isa'))] = column('peak') / 1e9, 1) : NaN) nooutput
}
set title 'Roofline: 3072 x 768, cold, one thread (lines: measured roofs)'
set xlabel 'multiply-adds per encoded byte read'
set ylabel '10^9 multiply-adds a second'
set logscale xy
set xrange [0.15:200]
set yrange [0.005:500]
set samples 400
set grid xtics ytics lc rgb ink lw 0.4 dt (2,4)
shape(f) = 3 + place(formats, format(f))
intensity(i, f) = is_of(i) && strcol('format') eq format(f) \
    ? column('weights') / column('bytes') : NaN
limit(x, i) = (p = peak[place(isas, isa(i))], roof * x < p ? roof * x : p)
plot for [i = 1:words(shown_isas)] limit(x, i) \
        with lines lw 1.5 lc rgb colour(i) title isa(i), \
     for [i = 1:words(shown_isas)] for [f = 1:words(shown_formats)] in \
        using (intensity(i, f)):(column('weights_per_second') / 1e9) \
        with points pt shape(f) ps 1.3 lw 1.5 lc rgb colour(i), \
     for [f = 1:words(shown_formats)] NaN with points pt shape(f) ps 1.3 lc rgb ink \
        title format(f)

# bench-roofline.gp - is a kernel held back by memory or by arithmetic?
#
# SPDX-License-Identifier: MIT
roof = 0
stats in using (is_usual('cold', 1) ? (roof = column('read_roof') / 1e9, 1) : NaN) nooutput
array integer[8]
array floating[8]
do for [i = 1:8] { integer[i] = NaN; floating[i] = NaN }
stats in using (is_usual('cold', 1) && has(isas, strcol('isa')) \
    ? ((strcol('format') eq 'seed' ? (integer[place(isas, strcol('isa'))] = column('peak') / 1e9) : 0), \
       (strcol('format') eq 'f32' ? (floating[place(isas, strcol('isa'))] = column('peak') / 1e9) : 0), 1) : NaN) nooutput
set title 'Roofline: 3072 x 768, cold, one thread (lines: measured roofs)'
set xlabel 'multiply-adds per encoded byte read'
set ylabel '10^9 multiply-adds a second'
set logscale xy
set xrange [0.15:200]
set yrange [0.05:500]
set samples 400
set grid xtics ytics lc rgb ink lw 0.4 dt (2,4)
shape(f) = 3 + place(formats, f)
point(i, f) = is_usual('cold', 1) && strcol('isa') eq word(shown_isas, i) && strcol('format') eq f
min(a, b) = a < b ? a : b
peak_of(i) = (v = integer[place(isas, word(shown_isas, i))], v == v ? v : floating[place(isas, word(shown_isas, i))])
plot for [i = 1:words(shown_isas)] min(roof * x, peak_of(i)) with lines lw 1.5 \
        lc rgb colour(word(shown_isas, i)) title word(shown_isas, i), \
     for [i = 1:words(shown_isas)] for [f = 1:words(shown_formats)] in \
        using (point(i, word(shown_formats, f)) ? column('weights') / column('bytes') : NaN):(column('weights_per_second') / 1e9) \
        with points pt shape(word(shown_formats, f)) ps 1.3 lw 1.5 lc rgb colour(word(shown_isas, i)), \
     for [f = 1:words(shown_formats)] NaN with points pt shape(word(shown_formats, f)) ps 1.3 lc rgb ink \
        title word(shown_formats, f)

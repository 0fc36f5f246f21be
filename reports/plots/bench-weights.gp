# bench-weights.gp - how many weights does each kernel multiply in a second?
#
# SPDX-License-Identifier: MIT
set title 'Weights decoded and multiplied, 3072 x 768, cold, one thread'
set ylabel '10^9 weights a second (bar: median; line: MAD)'
set yrange [0:*]
set xrange [0.4:words(shown_formats) + 0.6]
set xtics scale 0
do for [f = 1:words(shown_formats)] { set xtics add (word(shown_formats, f) f) }
rate = '(is_usual("cold", 1) && strcol("isa") eq word(shown_isas, i) ? column("weights_per_second") / 1e9 : NaN)'
plot for [i = 1:words(shown_isas)] in \
        using (bar_x(strcol('format'), i)):(@rate):(bar * 0.9) \
        with boxes fs solid 0.9 border lc rgb colour(word(shown_isas, i)) \
        lc rgb colour(word(shown_isas, i)) title word(shown_isas, i), \
     for [i = 1:words(shown_isas)] in \
        using (bar_x(strcol('format'), i)):(@rate):(@rate * column('ns_mad') / column('ns_median')) \
        with yerrorbars ps 0 lw 1.5 lc rgb ink

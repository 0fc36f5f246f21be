# bench-roofline.gp - is a kernel held back by memory or by arithmetic?
#
# SPDX-License-Identifier: MIT
#
# Multiply-adds that are done.  Roofs of the ISAs: of 16-bit dot products (of bytes on neondot),
# of floats where the table has no kernel in integers.
if (words(shown_isas) == 0) { exit status 3 }
roof = 0
array peak[words(isas)]
do for [i = 1:words(isas)] { peak[i] = NaN }
do for [f in 'f32 int8 seed'] {
    stats in using (is_usual('cold', 1) && strcol('format') eq f && has(isas, strcol('isa')) \
        ? (peak[place(isas, strcol('isa'))] = column('peak') / 1e9, 1) : NaN) nooutput
}
rate(name) = column(name) / 1e9
intense(w) = rate('multiply_adds_per_second') / rate('bytes_per_second')
left = 1e30
right = 0
low = 1e30
high = 0
stats in using (is_usual('cold', 1) ? (roof = rate('read_roof'), x = intense(0), \
    y = rate('multiply_adds_per_second'), left = smaller(left, x), right = larger(right, x), \
    low = smaller(low, y), high = larger(high, rate('peak')), 1) : NaN) nooutput
set title 'Roofline: 3072 x 768, cold, one thread (lines: measured roofs)'
set xlabel 'multiply-adds done per encoded byte read'
set ylabel '10^9 multiply-adds a second (bar: MAD)'
set logscale xy
set xrange [left / 2:larger(right, high / roof) * 2]
set yrange [low / 2:high * 2]
set xtics (1)
do for [d = -3:4] { do for [m in '1 2 5'] { set xtics add (m * 10.0**d) } }
set format x '%g'
set samples 400
set grid xtics ytics lc rgb ink lw 0.4 dt (2,4)
shape(f) = 3 + place(formats, format(f))
intensity(i, f) = is_of(i) && strcol('format') eq format(f) ? intense(0) : NaN
limit(x, i) = (p = peak[place(isas, isa(i))], roof * x < p ? roof * x : p)
done = 'rate("multiply_adds_per_second")'
plot for [i = 1:words(shown_isas)] limit(x, i) \
        with lines lw 1.5 lc rgb colour(i) title isa(i), \
     for [i = 1:words(shown_isas)] for [f = 1:words(shown_formats)] in \
        using (intensity(i, f)):(@done):(mad(@done)) \
        with yerrorbars pt shape(f) ps 1.3 lw 1.5 lc rgb colour(i), \
     for [i = 1:words(shown_isas)] for [f = 1:words(shown_formats)] in \
        using (mark(intensity(i, f))):(@done) with points pt 2 ps 1.6 lw 1 lc rgb ink, \
     for [f = 1:words(shown_formats)] keyentry with points pt shape(f) ps 1.3 lc rgb ink \
        title format(f), \
     keyentry with points pt 2 ps 1.6 lw 1 lc rgb ink title unstable

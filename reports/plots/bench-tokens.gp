# bench-tokens.gp - how long do all matrices of a token take?
#
# SPDX-License-Identifier: MIT
is_model = 'strcol("kind") eq "model" && column("ns_median") > 0 && \
    column("block") == usual(strcol("format"))'
base(s) = s[1:strstrt(s, '/t:') - 1]
short(n) = (s = n[12:], s[1:strstrt(s, '/') - 1])
names = ''
least = 1e30
most = 0
note_name(n) = (names = with_name(names, n), note_count(column('threads')), \
    least = smaller(least, larger(column('ns_median') - column('ns_mad'), \
    column('ns_median') / 4) / 1e6), \
    most = larger(most, (column('ns_median') + column('ns_mad')) / 1e6), 1)
stats in using (@is_model ? note_name(base(strcol('name'))) : NaN) nooutput
if (words(names) == 0) { exit status 3 }
do for [t = 1:most_threads] { counts = counts.keep_count(t) }
set title 'All matrices of a GPT-2 of 124M for one token, weights cold'
set xlabel 'milliseconds (median; line: MAD)'
set logscale x
set xrange [least / 1.2:most * 1.6]
set xtics (1)
do for [d = -3:4] { do for [m in '1 2 5'] { set xtics add (m * 10.0**d) } }
set format x '%g'
set grid noytics xtics lc rgb ink lw 0.4 dt (2,4)
set yrange [words(names) + 0.6:0.4]
set ytics scale 0 ('' -1)
do for [i = 1:words(names)] { set ytics add (short(word(names, i)) i) }
text(v) = sprintf(v >= 99.5 ? ' %.0f' : ' %.3g', v)
# Rows of one kernel under each other, by number of threads.
height(i) = place(names, base(strcol('name'))) + \
    (words(counts) > 1 ? 0.5 * ((i - 1.0) / (words(counts) - 1) - 0.5) : 0)
ms(i, v) = @is_model && column('threads') == count(i) ? v / 1e6 : NaN
plot for [i = 1:words(counts)] in \
        using (ms(i, column('ns_median'))):(height(i)):(column('ns_mad') / 1e6) \
        with xerrorbars pt 5 ps 1 lw 1.5 lc rgb count_hue(i) title count_title(i), \
     for [i = 1:words(counts)] in using (mark(ms(i, column('ns_median')))):(height(i)) \
        with points pt 2 ps 1.4 lw 1 lc rgb ink, \
     for [i = 1:words(counts)] in using \
        (ms(i, column('ns_median') + column('ns_mad'))):(height(i)): \
        (text(column('ns_median') / 1e6)) with labels left offset 0.6, 0 tc rgb ink \
        font (words(names) * words(counts) > 30 ? ',9' : ''), \
     keyentry with points pt 2 ps 1.4 lw 1 lc rgb ink title unstable

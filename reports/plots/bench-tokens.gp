# bench-tokens.gp - how long do all matrices of a token take?
#
# SPDX-License-Identifier: MIT
is_model = 'strcol("kind") eq "model" && column("ns_median") > 0'
base(s) = s[1:strstrt(s, '/t:') - 1]
short(n) = (s = n[12:], s[1:strstrt(s, '/') - 1])
names = ''
most = 1
larger(a, b) = a > b ? a : b
note_name(n) = (names = with_name(names, n), most = larger(most, column('threads')), 1)
stats in using (@is_model ? note_name(base(strcol('name'))) : NaN) nooutput
set title 'All matrices of a GPT-2 of 124M for one token, weights cold'
set xlabel 'milliseconds (median; line: MAD)'
set logscale x
set grid noytics xtics lc rgb ink lw 0.4 dt (2,4)
set yrange [words(names) + 0.6:0.4]
set ytics scale 0
do for [i = 1:words(names)] { set ytics add (short(word(names, i)) i) }
text(v) = sprintf(v >= 99.5 ? ' %.0f' : ' %.3g', v)
height(t) = place(names, base(strcol('name'))) - 0.2 + 0.4 * (t - 1)
label_at(t) = ms(t, column('ns_median') + column('ns_mad'))
ms(t, v) = @is_model && column('threads') == t ? v / 1e6 : NaN
plot for [t = 1:(most > 1 ? 2 : 1)] in \
        using (ms(t, column('ns_median'))):(height(t)):(column('ns_mad') / 1e6) \
        with xerrorbars pt 5 ps 1.1 lw 1.5 lc rgb hue[t == 1 ? 3 : 5] \
        title sprintf('%d thread%s', t, t > 1 ? 's' : ''), \
     for [t = 1:(most > 1 ? 2 : 1)] in using \
        (label_at(t)):(height(t)):(text(column('ns_median') / 1e6)) \
        with labels left offset 0.6, 0 tc rgb ink

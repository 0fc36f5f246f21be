# sustained.gp - how does the speed change over minutes without a pause, and the temperature?
#
# SPDX-License-Identifier: MIT
#
# in: series, minutes, tokens a second, degrees Celsius or nan; series, title.
set title title
set xlabel 'minutes'
set ylabel 'tokens generated per second'
set yrange [0:*]
set xrange [0:*]
set ytics nomirror
name(i) = word(series, i)
warm = 0
stats in using 4 nooutput name 'T'
if (exists('T_records') && T_records > 0) { \
    warm = 1; \
    set y2label 'degrees Celsius' tc rgb ink; \
    set y2tics tc rgb ink; \
    set border 11 lc rgb ink }
if (warm) \
    plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
             with linespoints lw 2 pt 7 ps 0.6 lc rgb hue[(i - 1) % |hue| + 1] title name(i), \
         for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):4 axes x1y2 \
             with lines lw 1.5 dt (4,3) lc rgb hue[(i - 1) % |hue| + 1] \
             title name(i) . ', temperature'; \
else \
    plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
             with linespoints lw 2 pt 7 ps 0.6 lc rgb hue[(i - 1) % |hue| + 1] title name(i)

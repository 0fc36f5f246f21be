# rate.gp - how much perplexity does each codec lose at each size?
#
# SPDX-License-Identifier: MIT
#
# in: series, bits per weight, perplexity; series: their names, a '_' for a blank; f32, budget.
set title title
set xlabel 'bits per weight (whole file)'
set ylabel 'perplexity, WikiText-103 test (log scale)'
set logscale y
set format y '%.0s%c'
set yrange [f32 * 0.8:*]
set arrow 1 from budget, graph 0 to budget, graph 1 nohead lc rgb soft lw 1.5 dt (6,4)
set label 1 sprintf('%.2f bits: 45 MB for GPT-2 small', budget) \
    at budget, graph 0.96 offset 0.7,0 tc rgb ink
name(i) = word(series, i)
spaced(s) = strstrt(s, '_') ? \
    s[1:strstrt(s, '_') - 1].' '.spaced(s[strstrt(s, '_') + 1:strlen(s)]) : s
plot f32 with lines lw 2 dt (8,4) lc rgb ink title sprintf("f32: %.2f", f32), \
     for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
         with linespoints lw 2 pt 4 + i ps 1.1 lc rgb hue[(i - 1) % |hue| + 1] title spaced(name(i))

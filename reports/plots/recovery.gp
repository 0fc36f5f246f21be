# recovery.gp - how much perplexity does training after encoding win back?
#
# SPDX-License-Identifier: MIT
#
# in: series, tokens / 1e6, percent above the original's perplexity; series, title, stages: the
# name of each and where it ends, in millions of tokens.
set title title
set xlabel 'training tokens, millions'
set ylabel 'perplexity above the original, percent'
set xzeroaxis lw 2 dt (8,4) lc rgb ink
set xrange [0:*]
do for [i = 1:words(stages):2] {
    at = real(word(stages, i + 1))
    set arrow from at, graph 0 to at, graph 1 nohead lc rgb soft lw 1 dt (2,3)
    set label word(stages, i) at at, graph (0.97 - 0.06 * ((i - 1) / 2 % 3)) right \
        offset -0.5,0 tc rgb ink
}
name(i) = word(series, i)
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
         with linespoints lw 2 pt 4 + i ps 0.7 lc rgb hue[(i - 1) % |hue| + 1] title name(i)

# rate-curve.gp - how much perplexity does each codec, however poor, lose at each size?
#
# SPDX-License-Identifier: MIT
#
# in: codec, bits a parameter, perplexity; out: the SVG; f32: the original's; what: the text.
set terminal svg size 860,520 dynamic background '#ffffff' font 'sans-serif,12'
set output out
set datafile separator tab
set title 'Perplexity against size of the whole file: '.what
set xlabel 'bits a parameter'
set ylabel 'perplexity'
set logscale y
set xrange [0:9]
set key outside right top
budget = 8 * 45e6 / 124439808
set arrow 1 from budget, graph 0 to budget, graph 1 nohead lc rgb '#888888' dt (6,4)
set label 1 sprintf(' %.2f bits: 45 MB for GPT-2 small', budget) at budget, graph 0.97
codecs = 'seed int8 int4 hybrid packed128 svd'
name(i) = word(codecs, i)
plot f32 with lines lw 2 dt (8,4) lc rgb '#000000' title sprintf('f32: %.2f', f32), \
     for [i = 1:words(codecs)] in using 2:(strcol(1) eq name(i) ? $3 : NaN) \
         with linespoints lw 2 pt 4 + i title name(i)

# allocation.gp - how many bits does each matrix get?
#
# SPDX-License-Identifier: MIT
#
# in: class, layer, bits per weight; series, title; apart (bits of the embedding, or 0) and
# apart_name.
set title title
set xlabel 'layer'
set ylabel 'bits per weight, scales counted'
set yrange [0:*]
set xtics 1
set xrange [-0.5:*]
name(i) = word(series, i)
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
         with linespoints lw 2 pt 4 + i lc rgb hue[(i - 1) % |hue| + 1] title name(i), \
     apart > 0 ? apart : NaN with lines lw 2 dt (8,4) lc rgb ink \
         title sprintf('%s: %.2f', apart_name, apart)

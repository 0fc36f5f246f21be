# divergence.gp - how far do the models' predictions go from the original's?
#
# SPDX-License-Identifier: MIT
#
# in: series, index, KL in nats; series, title.
set title title
set ylabel 'KL from the original, nats, logarithmic'
set logscale y
set xrange [-0.3:4.3]
set xtics ('median' 0, 'mean' 1, '90 %%' 2, '99 %%' 3, '99.9 %%' 4)
name(i) = word(series, i)
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
    with linespoints lw 1.5 pt 4 + i ps 1.1 lc rgb hue[(i - 1) % |hue| + 1] title name(i)

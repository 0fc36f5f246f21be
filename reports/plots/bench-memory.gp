# bench-memory.gp - how fast can this machine read, by the size of what is read?
#
# SPDX-License-Identifier: MIT
is_read = 'strcol("kind") eq "probe" && strcol("op") eq "read"'
probe(s) = s[1:strstrt(s, '/') - 1]
# The curve belongs to the fastest reader; the others were measured at the largest size only.
widest = ''
least = 1e30
most = 1
larger(a, b) = a > b ? a : b
smallest(bytes, name) = bytes < least ? (least = bytes, widest = probe(name), 1) : 1
stats in using (@is_read ? (most = larger(most, column('threads')), \
    smallest(column('bytes'), strcol('name'))) : NaN) nooutput
set title 'Read bandwidth by working set ('.widest.'): the steps are the caches'
set xlabel 'bytes read over and over'
set ylabel 'GB/s'
set logscale x 2
set format x '%.0b %BB'
set yrange [0:*]
size(t) = @is_read && probe(strcol('name')) eq widest && column('threads') == t \
    ? column('bytes') : NaN
plot for [t = 1:most] in using (size(t)):(column('bytes_per_second') / 1e9) \
    smooth unique with linespoints lw 2 pt 7 ps 0.8 lc rgb hue[t == 1 ? 3 : 5] \
    title sprintf('%d thread%s', t, t > 1 ? 's' : '')

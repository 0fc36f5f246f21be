# bench-memory.gp - how fast can this machine read, by the size of what is read?
#
# SPDX-License-Identifier: MIT
is_read = 'strcol("kind") eq "probe" && strcol("op") eq "read" && column("ns_median") > 0'
probe(s) = s[1:strstrt(s, '/') - 1]
# The curve belongs to the probe with the smallest set; the others read the largest only.
widest = ''
least = 1e30
smallest(bytes, name) = bytes < least ? (least = bytes, widest = probe(name), 1) : 1
stats in using (@is_read ? (note_count(column('threads')), \
    smallest(column('bytes'), strcol('name'))) : NaN) nooutput
do for [t = 1:most_threads] { counts = counts.keep_count(t) }
if (words(counts) == 0) { exit status 3 }
set title 'Read bandwidth by working set ('.widest.'): the steps are the caches'
set xlabel 'bytes read over and over'
set ylabel 'GB/s (bar: MAD)'
set logscale x 2
set format x '%.0b %BB'
set yrange [0:*]
size(i) = @is_read && probe(strcol('name')) eq widest && column('threads') == count(i) \
    ? column('bytes') : NaN
rate = "column('bytes_per_second') / 1e9"
plot for [i = 1:words(counts)] in using (size(i)):(@rate) \
        smooth unique with lines lw 2 lc rgb count_hue(i), \
     for [i = 1:words(counts)] in using (size(i)):(@rate):(mad(@rate)) \
        with yerrorbars pt 7 ps 0.8 lw 1.2 lc rgb count_hue(i), \
     for [i = 1:words(counts)] in using (mark(size(i))):(@rate) \
        with points pt 2 ps 1.3 lw 1 lc rgb ink, \
     for [i = 1:words(counts)] keyentry with linespoints lw 2 pt 7 ps 0.8 \
        lc rgb count_hue(i) title count_title(i), \
     keyentry with points pt 2 ps 1.3 lw 1 lc rgb ink title unstable

# bench-threads.gp - what do more threads bring to a whole model?
#
# SPDX-License-Identifier: MIT
#
# Of each format the kernel that the runtime takes on this machine.
is_used(f) = strcol('kind') eq 'model' && column('ns_median') > 0 && strcol('used') eq '1' && \
    strcol('format') eq word(formats, f) && column('block') == usual(word(formats, f))
base(s) = s[1:strstrt(s, '/t:') - 1]
short(n) = (s = n[12:], s[1:strstrt(s, '/') - 1])
array used[8]
array one[8]
most = 1
fastest = 1
do for [f = 1:8] {
    used[f] = '-'
    one[f] = NaN
    stats in using (is_used(f) && column('threads') == 1 \
        ? (used[f] = base(strcol('name')), one[f] = column('ns_median'), 1) : NaN) nooutput
    stats in using (is_used(f) && one[f] > 0 ? (most = larger(most, column('threads')), \
        fastest = larger(fastest, one[f] / column('ns_median')), 1) : NaN) nooutput
}
if (most == 1) { exit status 3 }
set title 'All matrices of a GPT-2 of 124M, one token, cold: speed-up by threads'
set xlabel 'threads'
set ylabel 'times the speed of one thread (bar: MAD)'
set xrange [0.8:most + 0.2]
set yrange [0:larger(fastest, most) * 1.1]
step = ceil(most / 16.0)
set xtics step
threads(f) = is_used(f) ? column('threads') : NaN
times(f) = one[f] / column('ns_median')
plot x with lines lw 1.5 dt (6,4) lc rgb ink title 'ideal', \
     for [f = 1:8] in using (threads(f)):(times(f)) smooth unique with lines lw 1.8 lc rgb hue[f], \
     for [f = 1:8] in using (threads(f)):(times(f)):(mad(times(f))) \
        with yerrorbars pt 3 + f ps 1 lw 1.4 lc rgb hue[f], \
     for [f = 1:8] in using (mark(threads(f))):(times(f)) \
        with points pt 2 ps 1.6 lw 1 lc rgb ink, \
     for [f = 1:8] keyentry with linespoints lw 1.8 pt 3 + f lc rgb hue[f] \
        title used[f] eq '-' ? '' : short(used[f]), \
     keyentry with points pt 2 ps 1.6 lw 1 lc rgb ink title unstable

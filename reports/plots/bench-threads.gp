# bench-threads.gp - what do more threads bring to a whole model?
#
# SPDX-License-Identifier: MIT
#
# Of each format the kernel listed last, the one that is used.
is_model = 'strcol("kind") eq "model" && column("ns_median") > 0'
base(s) = s[1:strstrt(s, '/t:') - 1]
short(n) = (s = n[12:], s[1:strstrt(s, '/') - 1])
array used[8]
array one[8]
do for [f = 1:8] { used[f] = '-'; one[f] = NaN }
most = 1
larger(a, b) = a > b ? a : b
stats in using (@is_model ? (used[place(formats, strcol('format'))] = base(strcol('name')), \
    most = larger(most, column('threads')), 1) : NaN) nooutput
is_used(f) = @is_model && base(strcol('name')) eq used[f]
do for [f = 1:8] {
    stats in using (is_used(f) && column('threads') == 1 \
        ? (one[f] = column('ns_median'), 1) : NaN) nooutput
}
set title 'All matrices of a GPT-2 of 124M, one token, cold: speed-up by threads'
set xlabel 'threads'
set ylabel 'times the speed of one thread'
set xrange [0.8:most + 0.2]
set yrange [0:most * 1.15]
set xtics 1
threads(f) = is_used(f) ? column('threads') : NaN
plot x with lines lw 1.5 dt (6,4) lc rgb ink title 'ideal', \
     for [f = 1:8] in using (threads(f)):(one[f] / column('ns_median')) \
        smooth unique with linespoints lw 1.8 pt 3 + f ps 1 lc rgb hue[f] \
        title used[f] eq '-' ? '' : short(used[f])

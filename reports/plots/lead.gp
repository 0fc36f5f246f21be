# lead.gp - how much quality does each encoded model lose at how many bits?
#
# SPDX-License-Identifier: MIT
#
# in: series, bits per weight, percent lost, label, side of the label, recorded; series: names
# of the lines; budget (bits), most (percent); shape: wide or phone.  No legend: each point says
# what it is.
set title title
set xlabel 'bits per weight (whole file)'
set ylabel 'quality lost: perplexity above f32, in percent (log scale)'
stats in using 2 name 'B' nooutput
stats in using 3 name 'L' nooutput
set xrange [(B_min < budget ? B_min : budget) - 0.1:(B_max > budget ? B_max : budget) + 0.1]
set logscale y
set yrange [L_min / 1.5:L_max * 1.5]
set ytics (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
set format y '%g %%'
set xtics 0.5
set key off
if (shape eq 'phone') { set ylabel 'perplexity above f32, percent' }
set arrow 1 from budget, graph 0 to budget, graph 1 nohead lc rgb hue[5] lw 1.5 dt (6,4) back
limit = shape eq 'phone' ? ' %.2f bits' : '%.2f bits: 45 MB for GPT-2 small'
set label 1 sprintf(limit, budget) \
    at budget, graph 1.02 center tc rgb ink
if (L_max * 1.5 > most && L_min / 1.5 < most) {
    set arrow 2 from graph 0, first most to graph 1, first most nohead lc rgb hue[5] lw 1.5 \
        dt (6,4) back
    set label 2 sprintf('at most %g %%', most) at graph 0.995, first most right \
        offset 0,0.6 tc rgb ink
}
name(i) = word(series, i)
plot for [i = 1:words(series)] in using (strcol(1) eq name(i) ? $2 : NaN):3 \
         with lines lw 1.5 lc rgb hue[(i - 1) % |hue| + 1], \
     for [i = 1:words(series)] in using (strcol(1) eq name(i) && $6 == 0 ? $2 : NaN):3 \
         with points pt 7 ps 1.2 lc rgb hue[(i - 1) % |hue| + 1], \
     for [i = 1:words(series)] in using (strcol(1) eq name(i) && $6 == 1 ? $2 : NaN):3 \
         with points pt 6 lw 2 ps 1.2 lc rgb hue[(i - 1) % |hue| + 1], \
     in using ($5 == 0 ? $2 : NaN):3:4 with labels left offset 0.8,0.5 tc rgb ink, \
     in using ($5 == 1 ? $2 : NaN):3:4 with labels right offset -0.8,-0.5 tc rgb ink, \
     in using ($5 == 2 ? $2 : NaN):3:4 with labels right offset -0.8,0.5 tc rgb ink, \
     in using ($5 == 3 ? $2 : NaN):3:4 with labels left offset 0.8,-0.5 tc rgb ink

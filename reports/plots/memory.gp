# memory.gp - how large are the weights, the file, and the process that generates?
#
# SPDX-License-Identifier: MIT
#
# in: model, weights as f32, file, peak resident, all in MB; series, title.
set title title
set ylabel 'MB (10^6 bytes)'
set yrange [0:*]
set xrange [-0.6:words(series) - 0.4]
set style fill solid 0.85 noborder
set xtics scale 0
plot in using ($0 - 0.25):2:(0.22) with boxes lc rgb hue[1] title 'weights as f32', \
     in using 0:3:(0.22):xtic(1) with boxes lc rgb hue[2] title 'model file', \
     in using ($0 + 0.25):4:(0.22) with boxes lc rgb hue[3] title 'peak memory', \
     in using ($0 - 0.25):2:(sprintf('%.1f', $2)) with labels offset 0,0.6 tc rgb ink notitle, \
     in using 0:3:(sprintf('%.1f', $3)) with labels offset 0,0.6 tc rgb ink notitle, \
     in using ($0 + 0.25):4:(sprintf('%.1f', $4)) with labels offset 0,0.6 tc rgb ink notitle

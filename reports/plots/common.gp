# common.gp - what every plot shares; loaded first.
#
# SPDX-License-Identifier: MIT
#
# The caller sets: out (file to write), kind (svg or png), id (a word), in (TSV), and what
# each plot needs.
# In SVG all text and axes have the colour of ink, which the page replaces by its own; whoever
# draws for no page gives another ink.
if (!exists('ink')) { ink = kind eq 'svg' ? '#010203' : '#1d2229' }
soft = '#8a8f98'
# As many as the curve of size against quality has lines.
array hue[10] = ['#3b82c4', '#d9730d', '#2e9e6b', '#b455a8', '#c0392b', '#7d6ee7', '#8a8f3c', \
    '#4aa3a8', '#a56a3a', '#e0569b']
# The plots of the page have series; they are narrow, the key below, so that a phone shows all
# of it with text that can be read.  Those with a bar for each of many rows grow; so does the
# key, with two series a line, or one where there are many.  Other plots are wide, the key at their right.
narrow = exists('series')
wide = narrow ? 520 : 860
high = narrow ? (exists('rows') && rows > 10 ? 160 + 26 * rows : 420) + (words(series) > 4 ? 24 : 10) * words(series) : 440
scale = narrow ? 1.8 : 1.5
thick = narrow ? 1.8 : 1
# The first plot of the page is as wide as that, and drawn once more for phones.
if (exists('shape') && shape eq 'wide') { wide = 1180; high = 480; scale = 1; thick = 1 }
if (exists('shape') && shape eq 'phone') { wide = 460; high = 560 }
if (kind eq 'svg') \
    set terminal svg size wide,high dynamic noenhanced font 'sans-serif,14' name id; \
else \
    set terminal pngcairo size scale*wide,scale*high noenhanced font 'DejaVu Sans,10' \
        fontscale (narrow ? scale : 1.3) linewidth thick pointscale thick background '#ffffff'
set output out
set datafile separator tab
# A series is picked by making the others' rows NaN; they do not break its line.
set datafile missing NaN
set border 3 lc rgb ink
set tics nomirror tc rgb ink
set grid ytics lc rgb soft lw 0.4 dt (2,4)
set key tc rgb ink outside right top vertical samplen 1.5 spacing 1.15
# An empty title keeps it from the label above it.
if (narrow && !exists('shape')) { set key outside bottom center horizontal title ' ' }
set title tc rgb ink
set xlabel tc rgb ink
set ylabel tc rgb ink
set style line 1 lc rgb hue[1]

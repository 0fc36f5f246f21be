# bench-common.gp - what the plots of rbe-bench's own table share; loaded after common.gp.
#
# SPDX-License-Identifier: MIT
#
# in: the TSV of rbe-bench --tsv; formats, usual_blocks, isas: lines of its head; ink is
# a grey that reads on white and on black, because the SVG has no background of its own.
# A script whose rows are not in the table ends with status 3.
set datafile columnheaders
set datafile missing '-'
# No gap around the points of error bars.
set pointintervalbox 0
set errorbars small
set key noautotitle

# A colour for each ISA; what is absent draws nothing.
array hue[8] = ['#8a8f98', '#b455a8', '#3b82c4', '#2e9e6b', \
    '#d9730d', '#c0392b', '#7d6ee7', '#4aa3a8']
place(list, name) = int(sum [i = 1:words(list)] (word(list, i) eq name ? i : 0))
has(list, name) = place(list, name) > 0
larger(a, b) = a > b ? a : b
smaller(a, b) = a < b ? a : b

# Rows of one multiplication by a 3072 x 768 matrix, each format at its usual block size.
usual(f) = has(formats, f) ? int(word(usual_blocks, place(formats, f))) : 0
is_product(cache) = strcol('kind') eq 'product' && strcol('op') eq 'gemv' && \
    strcol('cache') eq cache && column('rows') == 3072 && column('cols') == 768 && \
    column('ns_median') > 0
is_usual(cache, threads) = is_product(cache) && column('threads') == threads && \
    column('block') == usual(strcol('format'))

# ISAs and formats that are there, so that the key and the axis hold no others.
present_isas = ''
present_formats = ''
with_name(list, name) = has(list, name) ? list : list.' '.name
note(f, i) = (present_formats = with_name(present_formats, f), \
              present_isas = with_name(present_isas, i), 1)
stats in using (is_usual('cold', 1) ? note(strcol('format'), strcol('isa')) : NaN) nooutput
keep(list, name) = has(list, name) ? ' '.name : ''
shown_isas = ''
do for [i = 1:words(isas)] { shown_isas = shown_isas.keep(present_isas, word(isas, i)) }
shown_formats = ''
do for [f = 1:words(formats)] {
    shown_formats = shown_formats.keep(present_formats, word(formats, f))
}
isa(i) = word(shown_isas, i)
format(f) = word(shown_formats, f)
colour(i) = hue[(place(isas, isa(i)) - 1) % |hue| + 1]
# The usual rows of shown ISA i, and 10^9 a second of a column, NaN for other rows.
is_of(i) = is_usual('cold', 1) && strcol('isa') eq isa(i)
giga(i, name) = is_of(i) ? column(name) / 1e9 : NaN
mad(v) = v * column('ns_mad') / column('ns_median')

# A cross stands above what scattered too much, or has too few samples, to be believed.
is_shaky = 'column("unstable") > 0'
unstable = 'unstable'
mark(v) = @is_shaky ? v : NaN

# Clustered bars: ISA i's bar in the cluster of a row's format.
bar = 0.84 / (words(shown_isas) > 0 ? words(shown_isas) : 1)
bar_x(i) = place(shown_formats, strcol('format')) - 0.42 + bar * (i - 0.5)

# Numbers of threads among the rows that a script chose, and a colour for each.  The script
# notes them, and then puts those that were noted into `counts`, rising.
counts = ''
noted = ''
most_threads = 1
note_count(t) = (noted = with_name(noted, sprintf('%d', t)), \
    most_threads = larger(most_threads, t), 1)
keep_count(t) = has(noted, sprintf('%d', t)) ? sprintf('%d ', t) : ''
count(i) = int(word(counts, i))
count_hue(i) = hue[i == 1 ? 3 : i == 2 ? 5 : (i - 3) % 8 + 1]
count_title(i) = sprintf('%d thread%s', count(i), count(i) > 1 ? 's' : '')

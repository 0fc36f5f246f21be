#!/usr/bin/env bash
# check_report.sh - rbe report from made-up rows: the table, the page, and what it refuses.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
rbe=${RBE_BIN:?folder with the program rbe}/rbe

run() { "$rbe" report "$@" > "$work/out" 2> "$work/err"; }
fails() {
    local want=$1
    shift
    run "$@"
    [ $? = "$want" ]
}
has() { grep -qF -- "$2" "$1"; }
lacks() { ! grep -qE -- "$2" "$1"; }

mkdir "$work/r"
mini='"parameters":11705856,"label":null,"bytes"'
shipped=$(sha256sum < "$(dirname "$0")/../../datasets/embedded/rbe-mini/model.safetensors" | cut -d' ' -f1)
base='{"name":"rbe-mini","sha256":"'$shipped'",'$mini':23426000,"rbe":false,"bits_per_weight":16}'
head='{"schema":"rbe-result-1","time_utc":"2025-01-31T12:00:00Z","command":"rbe eval <x>\ry",'
head+='"commit":"0123abc","machine":{"cpu":"a & b","arch":"x86_64","cores":2,"threads":2},'
sha=173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08
ppl='"text":{"name":"wiki.test.raw","sha256":"'$sha'"},"protocol":"P1","windows":9,"scored":4599,'
ppl+='"context":512,"complete":true,"base_perplexity":52.46,"percent_change":4.5,'
ppl+='"percent_change_ci95":[4.1,4.9],"perplexity"'
tensor='{"name":"wte.weight","class":"wte","part":"embedding","layer":-1,"shape":[9,4],"codec":"seed","block":44,"bytes":9,'
tensor+='"parts":[{"rows":3,"codec":"seed","block":32},{"rows":6,"codec":"seed","block":64}],'
tensor+='"bits_per_weight":3,"ratio":10,"relative_rmse":0.1,"bound":0.09,"seconds":1,'
tensor+='"probe_divergence":0.1},'
tensor+='{"name":"h.0.mlp.c_fc.weight","class":"mlp.fc","part":"feed-forward","layer":0,"shape":[4,4],"codec":"seed",'
tensor+='"block":44,"bytes":9,'
tensor+='"bits_per_weight":3,"ratio":10,"relative_rmse":0.1,"bound":0.09,"seconds":1},'
tensor+='{"name":"h.0.mlp.c_fc.bias","shape":[4],"codec":"f16","bytes":8,"bits_per_weight":16}'
for bits in 2 3 4; do
    # A name that must be quoted for JSON, HTML and gnuplot alike.
    odd="'\\\"\$(x)"
    model='{"name":"seed-'$bits$odd'","sha256":"b'$bits'",'$mini':'$((bits * 1463232))
    model+=',"rbe":true,"bits_per_weight":'$bits'}'
    echo "$head"'"kind":"paired","base":'"$base"',"model":'"$model,$ppl:$((60 - bits))}"
    echo "$head"'"kind":"convert","base":'"$base"',"model":'"$model"',"profile":"p","seconds":1,
"tensors":['"$tensor"']}' | tr '\n' ' '
    echo
done > "$work/r/rows.jsonl"
cat > "$work/r/bench.json" <<'JSON'
{"context": {"date": "2025-01-31"}, "benchmarks": [
 {"name": "gemv_seed_avx2/96x64/B:44/cold/t:1", "run_name": "gemv_seed_avx2/96x64/B:44/cold/t:1",
  "run_type": "iteration", "repetitions": 1, "real_time": 1000, "time_unit": "ns",
  "what": "product", "op": "gemv", "cache": "cold", "format": "seed", "isa": "avx2",
  "kernel": "gemv_seed_avx2", "rows": 96, "cols": 64,
  "block": 44, "bytes_per_second": 5e9, "items_per_second": 1e10, "read_roof": 1e10,
  "threads_pinned": 1}]}
JSON
cp "$work/r/bench.json" "$work/r/bench2.json"

check 'makes a report' run "$work/r" --out "$work/page"
check 'an earlier page is replaced' run "$work/r" --out "$work/page"
check 'prints a verdict' grep -q 'checks pass' "$work/out"
check 'cuts no target' has "$work/out" \
    'each of 50 turns: first token < 1 s, 95 % of tokens <= 50 ms '
check 'prints C3' grep -Eq '^C3 .*PASS .*at most 5 %' "$work/out"
check 'says why not' grep -q '^C5 .*not measured: no conversation' "$work/out"
# The page without what the cells of a table say to a narrow screen.
flat() { page=$1.flat && sed 's/ data-t="[^"]*"//g; s/class="r n/class="r/g' "$1" > "$page"; }
flat "$work/page/index.html"
check 'writes the page' has "$page" '</html>'
check 'escapes what rows say' has "$page" 'a &amp; b'
check 'and command lines' has "$page" 'rbe eval &lt;x&gt;'
check 'and what would end a line' has "$page" 'rbe eval &lt;x&gt;\x0Dy'
check 'needs no network' lacks "$page" '(src|href)="?https?:|@import|url\('
check 'shows rows with a B of their own' has "$page" '3 to 8'
check 'at their rate' grep -q '3 to 8.*seed.*64.*2\.00' "$page"
check 'draws the bits of weights' grep -q $'^mlp.fc\t0\t3$' "$work/page/plots/allocation.tsv"
check 'and of no bias' lacks "$work/page/plots/allocation.tsv" $'\t16$'
check 'says that the bits were measured' has "$page" 'measured allocation'
check 'reads no search out of a command line' has "$page" 'unrecorded search, unrecorded'
check 'has both colour schemes' has "$page" 'prefers-color-scheme:dark'
check 'has no script' lacks "$page" '<script'
row=$(grep -o 'href="#row-[0-9]*">rows.jsonl:[0-9]*' "$page" | head -n 1)
check 'links a criterion to its row' test -n "$row"
check 'which the page holds' has "$page" "id=\"$(grep -o 'row-[0-9]*' <<< "$row")\""
sed -n "$(grep -o -m 1 '[0-9]*' <<< "$row" | head -n 1)p" "$work/page/rows.jsonl" > "$work/row"
check 'and the file beside it' has "$work/row" '"kind":"convert"'
check 'as Markdown, too' grep -qE 'rows\.jsonl:[0-9]+\]\(rows\.jsonl#L[0-9]+\)' \
    "$work/page/report.md"
check 'says how a point was encoded' has "$page" 'How the points were encoded'
# before WHAT WHAT: the first stands above the second in the page.
above() {
    local at_a at_b
    at_a=$(grep -nF -m 1 -- "$1" "$page" | cut -d: -f1)
    at_b=$(grep -nF -m 1 -- "$2" "$page" | cut -d: -f1)
    [ -n "$at_a" ] && [ -n "$at_b" ] && [ "$at_a" -lt "$at_b" ]
}
first() { grep -nF -m 1 -- "$1" "$page" | cut -d: -f1; }
check 'asks whether to ship it' has "$page" '<h1>May I ship rbe-mini as RBE?</h1>'
check 'answers by four tiles first' test "$(sed -n "1,$(first 'class="verdict"')p" "$page" |
    grep -c '<div class="tile">')" = 4
check 'with their targets' has "$page" 'Target: at most 4.68 MB, a tenth of f32. 11 times smaller than f32, 5.3 times than f16.'
check 'and verdicts' grep -q '<h3>Quality</h3><span class="pass"><b>PASS</b></span><p class="value">4.5 % worse' \
    <(tr -d '\n' < "$page")
sentence='class="verdict">Use seed-3[^ ]* if you need a file of 4.39 MB instead of 23.41 MB (f16), '
sentence+='and accept predictions that are 4.5 % worse (by perplexity); not if nothing may be lost'
check 'then one sentence' grep -q "$sentence" "$page"
check 'then what else there is' above 'class="verdict"' 'What you could ship instead'
check 'the judged one stands out' grep -q '<td class="r marked">seed-3' "$page"
check 'against f16 too' grep -q '<td[^>]*>times smaller than f16</td><td class="r">0.5</td>' "$page"
if command -v gnuplot > /dev/null; then
    check 'then the plot' above 'What you could ship instead' '<title>rate</title>'
    check 'then the contents' above '<title>rate</title>' '<nav>'
    check 'the plot for phones beside it' has "$page" '<figure class="phone">'
    check 'is as wide as the page' has "$page" '<figure class="wide">'
    check 'each point of the plot says what it is' has "$page" '>seed, before recovery: seed-2'
fi
check 'links to every part' test "$(grep -c '<li><a href="#part-' "$page")" = \
    "$(grep -c '<h2 id="part-' "$page")"
check 'says what perplexity is' has "$page" 'Perplexity says how well'
check 'counts the checks' grep -q '^<p>[0-9]* of 19 checks pass' "$page"
check 'names the book' has "$page" 'practical compression of large language models'
check 'counts the promises as the checks' has "$page" 'promises eleven things'
check 'copies the benchmarks' cmp -s <(tr -d ' \n' < "$work/r/bench.json") \
    <(sed 's/5000000000.0/5e9/; s/10000000000.0/1e10/g' "$work/page/bench.json" | tr -d ' \n')
check 'and links to them' has "$page" '<a href="bench.json">bench.json: 1 results'
check 'each' has "$page" '<a href="bench_2.json">bench_2.json: 1 results of rbe-bench, from bench2.json'
for what in 'no run has timed a model' 'this run did not time a token' \
    'no run has generated under a memory limit' 'no conversation was measured' \
    'no run has compared generated texts' 'no run has compared the predictions' \
    'no comprehension task was run' 'no training after encoding was run' 'no run of rbe codecs' \
    'All matrices of one token: NOT MEASURED' 'no conversion by a schedule'; do
    check "tells of '$what'" grep -q "NOT MEASURED.*$what\|^<p>$what" "$page"
done
check 'writes Markdown' has "$work/page/report.md" '**PASS**'
if command -v gnuplot > /dev/null; then
    check 'draws the curve' has "$page" '<title>rate</title>'
    check 'and the kernels' has "$page" '<title>kernels</title>'
    check 'of every benchmark' has "$page" '<title>kernels_2</title>'
    check 'in the page'\''s ink' lacks "$page" 'rgb\( *1, *2, *3\)'
    check 'as PNG too' test -s "$work/page/plots/rate.png"
    check 'ran nothing that a name said' test ! -e x
fi
# A row too long for the page; other texts; what has an interval shows it.
mkdir "$work/more"
cp "$work/r"/*.json* "$work/more"
one='{"name":"m","sha256":"b3",'$mini':4389696,"rbe":true,"bits_per_weight":3}'
{
    echo "$head"'"kind":"step","step":"long","ok":true,"reason":"'"$(printf '%0131072d' 0)"'"}'
    echo "$head"'"kind":"step","step":"conversation","ok":false,"reason":"out of luck"}'
    echo "$head"'"kind":"step","step":"tasks","of":"one","ok":false,"reason":"no such data"}'
    echo "$head"'"kind":"step","step":"tasks","of":"two","ok":true}'
    echo "$head"'"kind":"paired","base":'"$base"',"model":'"$one,${ppl/$sha/f00dfeedbeef}:54.5}"
    echo "$head"'"kind":"divergence","base":'"$base"',"model":'"$one"',"kl":{"mean":0.5,"p90":0.777},
"top1":{"agreement":0.75,"agreement_se":0.0123},"top5":{"agreement":0.625,"agreement_se":0.0456},
"acceptance":{"rate":0.875,"rate_se":0.0321},"true_token":{"mean":0.1,"mean_se":0.01234}}' |
        tr '\n' ' '
    echo
    echo "$head"'"kind":"generation","base":'"$base"',"model":'"$one"',"prompts":9,"candidates":8,"candidates_apart":96,"tokens":4,
"fluency":{"retained":0.9,"retained_ci95":[0.8,0.95]},"coherence":{"retained":0.5,"retained_ci95":[0.4,0.6]},
"relevance":{"retained":0.94,"retained_ci95":[0.9,1.0]}}' | tr '\n' ' '
    echo
    echo "$head"'"kind":"comprehension","base":'"$base"',"model":'"$one"',"task":"lambada","items":9,
"items_refused":2,"items_cut":3,"metrics":{"perplexity":{"value":20,"se":1}},"paired":{"log_p":{"change":-0.1,"change_se":0.01}}}' |
        tr '\n' ' '
    echo
    echo "$head"'"kind":"comprehension","base":'"$base"',"model":'"$one"',"task":"blimp","items":9,
"metrics":{"acc":{"value":0.7,"se":0.1}},"groups":{"syntax":{"items":5,"acc":0.6,"acc_se":0.22,"change":-0.2,"change_se":0.18}},
"paradigms":{"wh_island":{"items":4,"acc":0.75,"acc_se":0.217,"change":0.25,"change_se":0.109}}}' | tr '\n' ' '
    echo
    echo "$head"'"kind":"distortion","shape":[64,256],"rows":[{"codec":"seed","loss_db":1.875}]}'
    echo "$head"'"kind":"convert","base":'"$base"',"model":'"${one/b3/b9}"',"profile":"chapter-8.3.1",
"series":"schedule","seconds":1,"tensors":['"$tensor,${tensor//feed-forward/attention}"']}' | tr '\n' ' '
    echo
} > "$work/more/more.jsonl"
check 'reads more' run "$work/more" --out "$work/mpage"
flat "$work/mpage/index.html"
number=$(grep -n '"step":"long"' "$work/mpage/rows.jsonl" | cut -d: -f1)
check 'what is kept of generated text, a measure in each row' grep -q \
    '>relevance, %</td>.*>94.0 % (90.0 to 100.0)<' <(tr -d '\n' < "$page")
check 'says which failed, and by how much' has "$page" \
    '<p class="item">C6, gain by the prompt, for coherence: 50.0 % (40.0 to 60.0) (wanted: &gt;= 95 % retained; margin: -45.0 points)'
check 'which are within error' has "$page" '<p class="item">C6c, relevance of generated text: 94.0 % (90.0 to 100.0)'
check 'in the table' has "$page" '<td class="none"><b>WITHIN ERROR</b>'
check 'in Markdown' has "$work/mpage/report.md" '| **WITHIN ERROR** |'
check 'in the count' has "$page" '2 fail, 1 within error'
check 'and on the terminal' grep -q '^C6c .* WITHIN ERROR ' "$work/out"
check 'in JSON' run "$work/more" --out "$work/mpage" --json
check 'too' has "$work/out" '"within_error": 1'
check 'items refused or cut are told' has "$page" '>9 (part); 2 refused; 3 with a cut context<'
check 'links to a row too long for it' has "$page" "id=\"row-$number\"><a href=\"rows.jsonl#L$number\">"
check 'by its line' has "$page" "line $number of rows.jsonl"
check 'names the text in the table' has "$page" 'wiki.test.raw (f00dfeed)'
check 'keeps another text off the curve' lacks "$work/mpage/plots/rate.tsv" '54\.5'
check 'gives the reason of a step' has "$page" "NOT MEASURED: the step 'conversation' did not run."
check 'in its words' has "$page" 'It said: out of luck'
check 'a step of that name for another' has "$work/mpage/report.md" '| tasks-one | no such data |'
check 'says how many predictions are others' has "$page" 'nother most likely token at 25 % of positions'
check 'shows 90 % of the divergence' has "$page" '>0.777<'
check 'and errors' grep -q '>75.00 %</td><td class="r">1.23</td>.*>0.01234<' <(tr '\n' ' ' < "$page")
cells() { tr -d '\n' < "$page" | sed 's/<\/t[dh]>/|/g; s/<[^>]*>//g'; }
check 'the shares of equal choices, each below its name' grep -q \
    'same first choice|s\.e\.|of five choices the same|s\.e\.|same token drawn|s\.e\.|.*|75\.00 %|1\.23|62\.50 %|4\.56|87\.50 %|3\.21|' \
    <(cells)
check 'a task by groups' grep -q 'blimp by group, m.*syntax|5|0\.600|0\.220|-0\.200|0\.180|' <(cells)
check 'and by paradigms' grep -q 'blimp by paradigm, m.*wh_island|4|0\.750|0\.217|+0\.250|0\.109|' \
    <(cells)
check 'no number where there is none' lacks "$page" '>-?nan|[ >]nan[ <]'
check 'intervals of generation' has "$page" '90.0 % (80.0 to 95.0)'
check 'the change of perplexity on LAMBADA' has "$page" '>+10.5 %</td><td class="r">1.1 %<'
check 'the loss on white noise' grep -q '64 x 256.*>1.875<' <(tr '\n' ' ' < "$page")
check 'the schedules by layer' has "$page" 'chapter-8.3.1, layer by layer'
check 'with ratio, error and bound' grep -q \
    '>feed-forward</td>.*>10.0 : 1</td><td class="r">0.1000</td><td class="r">0.0900<' "$page"
mkdir -p "$work/only/recorded"
grep -v '"step"' "$work/more/more.jsonl" > "$work/only/recorded/rows.jsonl"
head -n 1 "$work/r/rows.jsonl" >> "$work/only/recorded/rows.jsonl"
check 'reads recorded rows alone' run "$work/only" --out "$work/opage"
flat "$work/opage/index.html"
check 'says that this run measured nothing' has "$page" 'This run measured no encoded model'
check 'nor this' has "$page" \
    'NOT MEASURED in this run: no run has compared the predictions. What follows was recorded'
check 'draws their curve' test -s "$work/opage/plots/rate.tsv"
mkdir "$work/single"
echo "$head"'"kind":"perplexity","model":'"$base,$ppl:52.46}" > "$work/single/rows.jsonl"
check 'reads a folder of an original alone' run "$work/single" --out "$work/spage"
flat "$work/spage/index.html"
check 'whose plot has no model to name' grep -q 'Quality lost by size: NOT MEASURED: no row compares' "$page"
check 'keeps the page apart from the rows' fails 2 "$work/r" --out "$work/r"
check 'and says why' one_line 'cannot be that of the page'
flat "$work/page/index.html"
check 'prints JSON' run "$work/r" --out "$work/page" --json
check 'of all criteria' has "$work/out" '"id": "C10"'
check 'judges the model named' run "$work/r" --out "$work/page" --model "seed-4'\"\$(x)"
PATH=$work check 'goes without gnuplot' "$rbe" report "$work/r" --out "$work/bare" \
    > "$work/out" 2> "$work/err"
check 'and says so' has "$work/bare/index.html" 'not drawn, because gnuplot is missing'

# Rows of another time: shown and labelled, never judged; one measured again counts instead.
mkdir "$work/r/recorded"
model='{"name":"hybrid-4","sha256":"c1",'$mini':5000000,"rbe":true,"bits_per_weight":2.89}'
svd='{"name":"svd-8","sha256":"c2",'$mini':23426000,"rbe":true,"bits_per_weight":16}'
again='{"name":"seed-2'$odd'","sha256":"b2",'$mini':2926464,"rbe":true,"bits_per_weight":2}'
tuned='{"name":"hybrid-4-t","sha256":"c3",'$mini':5000000,"rbe":true,"bits_per_weight":2.7}'
least='{"name":"none","sha256":"c5",'$mini':5100000,"rbe":true,"bits_per_weight":3.4}'
parts='{"name":"half","sha256":"c4",'$mini':9000000,"rbe":true,"bits_per_weight":6}'
for m in "$model" "$svd" "$again"; do
    echo "$head"'"kind":"paired","base":'"$base"',"model":'"$m,$ppl:99876}"
done > "$work/r/recorded/curve.jsonl"
{
    echo "$head"'"kind":"paired","base":'"$base"',"model":'"$tuned,$ppl:60}"
    echo "$head"'"kind":"paired","base":'"$base"',"model":'"$parts,$ppl:99875}"
    echo "$head"'"kind":"paired","base":'"$base"',"model":'"$least,$ppl:20}"
    echo "$head"'"kind":"convert","base":'"$base"',"model":'"$parts"',"profile":"f16","seconds":1,
"series":"parts","tensors":['"$tensor"']}' | tr '\n' ' '
    echo
    echo "$head"'"kind":"convert","base":'"$base"',"model":'"$model"',"profile":"p","seconds":1,
"tensors":['"${tensor/seed/hybrid}"']}' | tr '\n' ' '
    echo
    echo "$head"'"kind":"convert","base":'"$base"',"model":'"$svd"',"profile":"f16","seconds":1,
"low_rank_bytes":5852928,"tensors":['"${tensor/seed/f16}"']}' | tr '\n' ' '
    echo
    echo "$head"'"kind":"recovery","base":'"$base"',"model":'"$tuned"',"tokens":9,"base_perplexity":5,"stages":
[{"name":"it'\''s","end_tokens":4},{"name":"b","end_tokens":9}],"points":[{"tokens":0,"perplexity":9,
"divergence":0.4321},{"tokens":9,"perplexity":8,"divergence":0.1234}]}' | tr '\n' ' '
    echo
    echo "$head"'"kind":"recovery","base":{"name":"other","sha256":"dd"},"model":{"name":"of-other","sha256":"de",
"bytes":9,"rbe":true},"tokens":9,"base_perplexity":5,"stages":[],"points":[{"tokens":9,"perplexity":8}]}' | tr '\n' ' '
    echo
    echo "$head"'"kind":"inference","mode":"latency","decode_median_ms":7,"decode":[],"model":'"$svd}"
    echo "$head"'"kind":"codecs","source":{"name":"s"},"matrices":[],"rows":[{"codec":"seed",
"asked":8,"ratio":8.1,"bits_per_weight":3.9,"relative_rmse":0.1,"bound":0.07}]}' | tr '\n' ' '
    echo
    echo "$head"'"kind":"codecs","source":{"name":"t","sha256":"cc"},"matrices":[],"rows":[{"codec":"int8",
"asked":8,"ratio":8.1,"bits_per_weight":4.9,"relative_rmse":0.1,"bound":0.07}]}' | tr '\n' ' '
    echo
} >> "$work/r/recorded/curve.jsonl"
check 'takes recorded rows' run "$work/r" --out "$work/rec"
check 'training by tokens, in millions, then percent above the original' grep -q \
    "$(printf '^hybrid-4-t[^\t]*\t9[^\t]*e-06\t60[.0]')" "$work/rec/plots/recovery.tsv"
check 'the training of another original is in the table alone' sh -c "
    ! grep -q of-other '$work/rec/plots/recovery.tsv' && grep -q 'of-other (recorded)' '$work/rec/index.html'"
check 'and the divergence before and after it' test \
    "$(grep -oE '>0\.(4321|1234)<' "$work/rec/index.html" | wc -l)" = 2
check 'judges none of them' grep -Eq '^C3 .*PASS .* 57' "$work/out"
flat "$work/rec/index.html"
check 'and apart from what was measured' above 'Recorded earlier, not by this run (a &amp; b, 2 CPUs):' \
    'hybrid-4 (recorded 2025-01-31)'
check 'draws them open, what was measured filled' test \
    "$(sed -n 's/^\(seed[^\t]*\).*\t\(.*\)$/\1 \2/p' "$work/rec/plots/rate.tsv" | tr '\n' ' ')" = \
    'seed,_before_recovery 0 seed,_before_recovery 0 seed,_before_recovery 0 seed,_after_recovery 1 seed,_one_B 1 '
check 'what loses nothing stands at the lower end' grep -qP '\t0\.050*\d?\t[^\t]*none' \
    "$work/rec/plots/rate.tsv"
check 'and is said to' has "$page" 'At 0.05 % stands what loses that or less: 1.'
check 'labels them in the tables' has "$page" 'hybrid-4 (recorded 2025-01-31)'
check 'and under the plot' has "$page" \
    'Recorded earlier (a &amp; b, 2 CPUs, 2025-01-31): seed, after recovery; seed, one B; parts of the model; low rank (SVD); hybrid. All others: measured'
check 'counts the factors of a low rank' has "$work/rec/plots/rate_all.tsv" \
    "$(printf 'low_rank_(SVD)\t4\t99876')"
check 'a model that a training wrote stands apart' has "$work/rec/plots/rate_all.tsv" \
    "$(printf 'seed,_after_recovery\t2.7')"
check 'and what a profile says of itself' has "$work/rec/plots/rate_all.tsv" \
    "$(printf 'parts_of_the_model\t6')"
check 'knows the model that ships' has "$page" 'it ships with the project'
check 'shows recorded times' has "$page" 'svd-8 (recorded 2025-01-31)</td><td class="n">latency'
check 'but judges none' grep -q '^C2 .*NOT MEASURED' "$work/out"
check 'each table of codecs keeps its plot' \
    grep -q '^seed' "$work/rec/plots/distortion.tsv"
check 'also the second' grep -q '^int8' "$work/rec/plots/distortion_2.tsv"
check 'and codecs' has "$page" 'Every codec at the same ratios (recorded 2025-01-31)'
check 'prefers what was measured' test "$(grep -c 99876 "$work/rec/plots/rate_all.tsv")" = 2
check 'keeps them from the first plot' lacks "$work/rec/plots/rate.tsv" 'svd-8'
if command -v gnuplot > /dev/null; then
    check 'draws all of them' has "$page" '<title>rate_all</title>'
    check 'and the training, with its stages' grep -q '>it-s<' "$work/rec/index.html"
fi
rm -r "$work/r/recorded"
flat "$work/page/index.html"

check 'wants a folder' fails 2
check 'in one line' one_line 'one folder'
check 'a missing folder fails' fails 1 "$work/none"
check 'and is named' one_line "$work/none"
mkdir "$work/empty"
check 'an empty folder fails' fails 1 "$work/empty"
check 'with the reason' one_line 'no result rows'
check 'an unknown model is a usage error' fails 2 "$work/r" --out "$work/page" --model x
: > "$work/file"
check 'a page that cannot be written fails' fails 1 "$work/r" --out "$work/file"
check 'and is named too' one_line "$work/file"
printf '{"schema":"rbe-result-1","kind":"pai' >> "$work/r/rows.jsonl"
check 'a line cut off is left out' run "$work/r" --out "$work/page"
check 'and told' one_line 'rows.jsonl:7: the last line has no end'
echo '{"schema":"elsewhere-3","kind":"paired"}' > "$work/r/other.jsonl"
check 'another schema fails' fails 1 "$work/r" --out "$work/page"
check 'naming it' one_line "other.jsonl:1: schema 'elsewhere-3'"
rm "$work/r/other.jsonl"
head -n 1 "$work/r/rows.jsonl" > "$work/row"
for what in 's/"percent_change":4.5,//|paired row without "percent_change"' \
    's/"percent_change":4.5/"percent_change":null/|paired row without "percent_change"' \
    's/"percent_change":4.5/"percent_change":NaN/|other.jsonl:1: not JSON' \
    's/"percent_change":4.5/"percent_change":"x"/|"percent_change" is not a number' \
    's/"protocol":"P1"/"protocol":1/|"protocol" is not a text' \
    's/\[4.1,4.9\]/[4.1,null]/|"percent_change_ci95" is not a pair of numbers' \
    's/"kind":"paired",//|other.jsonl:1: the row has no "kind"'; do
    sed "${what%|*}" "$work/row" > "$work/r/other.jsonl"
    check "${what%|*} fails" fails 1 "$work/r" --out "$work/page"
    check 'with the reason' one_line "${what#*|}"
done
sed 's/\[4.1,4.9\]/[null,null]/; s/"percent_change":4.5/"percent_change":4.57/; s/"P1"/"P2"/' \
    "$work/row" > "$work/r/other.jsonl"
check 'a change of one window has no interval' run "$work/r" --out "$work/page"
check 'and shows none' grep -q '| +4\.57 % | - |' "$work/page/report.md"
rm "$work/r/other.jsonl"
head -c 300 "$work/r/bench.json" > "$work/r/cut.json"
check 'a benchmark cut off fails' fails 1 "$work/r" --out "$work/page"
check 'and is named' one_line 'cut.json:[0-9]*: not JSON'

# What one could ship instead, timed in turns; a file of another program; a model that people use;
# GPT-2's shape as it was recorded.
mkdir -p "$work/f/recorded"
cp "$work/r/rows.jsonl" "$work/f/"
sed -i '$d' "$work/f/rows.jsonl"        # the line that was cut off
m() { echo '{"name":"'"$1"'","sha256":"'"$2"'",'"$mini"':'"$3"',"rbe":'"$5"',"bits_per_weight":'"$4}"; }
{
    for m in "$base" "$(m f16 e1 23431584 16.01 true)" "$(m rival.gguf e2 6000000 4.1 false)" \
        "$(m "seed-3$odd" b3 4389696 3 true)"; do
        for t in 1 2; do
            case $m in
            *'"e1"'*) ms=6 ;;
            *'"e2"'*) ms=5 ;;
            *'"b3"'*) ms=2 ;;
            *) ms=8 ;;
            esac
            echo "${head/'"threads":2'/'"threads":'$t}"'"kind":"inference","mode":"latency","group":"g'$t'",
"prompt_tokens":128,"decode":[],"model":'"$m"',"decode_median_ms":'$((ms * (3 - t)))',"peak_bytes":'$((ms * 1000000))',
"speedup":'$((8 / ms))'}' | tr '\n' ' '
            echo
        done
    done
    echo "$head"'"kind":"convert","base":'"$base"',"model":'"$(m f16 e1 23431584 16.01 true)"',"profile":"f16",
"seconds":1,"tensors":[{"name":"x","codec":"f16","bytes":9}]}' | tr '\n' ' '
    echo
    echo "$head"'"kind":"paired","base":'"$base"',"model":'"$(m rival.gguf e2 6000000 4.1 false),${ppl/4.5,/1.5,}:53.25}"
    real='"parameters":134515008,"label":null,"bytes"'
    smol='{"name":"smol.gguf","sha256":"d1",'$real':98362432,"rbe":false,"bits_per_weight":5.85}'
    echo "$head"'"kind":"paired","base":'"$smol"',"model":{"name":"smol-2.89","sha256":"d2",'"$real"':48600000,
"rbe":true,"bits_per_weight":2.89},'"${ppl/4.5,'"percent_change_ci95":[4.1,4.9]'/26,'"percent_change_ci95":[25,27]'}"':37.4}' |
        tr '\n' ' '
    echo
} > "$work/f/more.jsonl"
shape='"parameters":124439808,"label":"synthetic","bytes"'
for m in '{"name":"124m","sha256":"a1",'"$shape"':249135680,"rbe":false}' \
    '{"name":"shape-45mb","sha256":"a2",'"$shape"':44994474,"rbe":true,"bits_per_weight":2.89}'; do
    case $m in
    *'"a2"'*) ms=3,'"speedup":6,"peak_bytes":96000000' ;;
    *) ms=18,'"peak_bytes":770000000' ;;
    esac
    echo "$head"'"kind":"inference","mode":"latency","group":"r","prompt_tokens":128,"decode":[],"model":'"$m"',"decode_median_ms":'"$ms}"
done > "$work/f/recorded/shape.jsonl"
made='{"name":"124m","sha256":"a1",'"$shape"':249135680,"rbe":false}'
echo "$head"'"kind":"paired","base":'"$made"',"model":{"name":"shape-45mb","sha256":"a2",'"$shape"':44994474,
"rbe":true,"bits_per_weight":2.89},'"${ppl/4.5,/-3,}:37.4}" | tr '\n' ' ' >> "$work/f/recorded/shape.jsonl"
echo >> "$work/f/recorded/shape.jsonl"
was='"parameters":134515008,"label":null,"bytes"'
ours='{"name":"was-2.89","sha256":"f2",'$was':48600000,"rbe":true,"bits_per_weight":2.89}'
was='{"name":"was","sha256":"f1",'$was':269060552,"rbe":false,"bits_per_weight":16}'
{
    echo "$head"'"kind":"paired","base":'"$was"',"model":'"$ours,${ppl/4.5,/26,}:37.4}"
    echo "$head"'"kind":"inference","mode":"latency","prompt_tokens":128,"decode":[],"model":'"$ours"',"decode_median_ms":4,"speedup":5}'
} >> "$work/f/recorded/shape.jsonl"
check 'reads of several models' run "$work/f" --out "$work/fpage"
flat "$work/fpage/index.html"
check 'the real one'\''s C3 stands first' grep -q '^C3 .*FAIL.*+26.00 %.*smol.gguf' \
    <(sed -n 2p "$work/out")
check 'below it each criterion with both' test "$(grep -o '^C1 .*' "$work/out" | grep -o '[a-z-]*mini\|smol.gguf' |
    tr '\n' ' ')" = 'rbe-mini smol.gguf '
check 'in the page too' test "$(grep -n 'smol.gguf' "$page" | head -n 1 | cut -d: -f1)" -lt \
    "$(first '<p>rbe-mini as')"
check 'four models have tiles' test "$(grep -c '<div class="tile">' "$page")" = 16
check 'a real one that was recorded, with what it loses' grep -q \
    'was as was-2.89: 134.5 million weights. Recorded .*not by this run.*MISSED</b></span><p class="value">26.0 % worse' \
    <(tr '\n' ' ' < "$page")
check 'GPT-2'\''s shape is labelled' has "$page" \
    "GPT-2 small's shape as shape-45mb: 124.4 million synthetic weights, not trained. Recorded 2025-01-31 on a &amp; b, 2 CPUs, not by this run"
check 'which predicts nothing, so loses nothing' lacks "$page" '3.0 % better'
check 'its numbers meet or miss, but pass nothing' grep -q 'class="pass"><b>MET<.*class="fail"><b>MISSED<' \
    <(sed -n '/small.s shape as/,/class="verdict"/p' "$page" | tr '\n' ' ')
check 'a column for each format' has "$page" \
    '<th scope="col" class="r">f32</th><th scope="col" class="r">f16</th><th scope="col" class="r">as given</th><th scope="col" class="r">RBE</th>'
row() { sed -n "s/^<tr><td[^>]*>$1<\/td>//p" "$page" | head -n 1 | sed 's/<[^>]*>/ /g; s/  */ /g'; }
check 'times with one thread' test "$(row 'ms a token, 1 thread')" = ' 16 12 10 4 '
check 'with two' test "$(row 'ms a token, 2 threads')" = ' 8 6 5 2 '
check 'against f32' test "$(row 'times as fast as f32')" = ' 1.00 1.33 1.60 4.00 '
check 'against f16' test "$(row 'times as fast as f16')" = ' 0.75 1.00 1.20 3.00 '
check 'sizes against f16' test "$(row 'times smaller than f16')" = ' 0.5 1.0 3.9 5.3 '
check 'the sentence weighs them' has "$page" \
    'a token in 2 ms (4.0 times as fast as f32, 3.0 times as f16)'
check 'and names what loses less' has "$page" 'or if less may be lost: rival.gguf is 1.5 % worse in 6.00 MB and 5 ms a token.'
check 'a file of another program is in the plot' grep -q "^other_files.*rival.gguf" "$work/fpage/plots/rate.tsv"

sed -i '/smol.gguf/s/"complete":true/"complete":false/' "$work/f/more.jsonl"
check 'reads a part of it' run "$work/f" --out "$work/fpage"
check 'which stands first too' grep -q '^C3 .*NOT MEASURED.*+26.00 %.*smol.gguf' \
    <(sed -n 2p "$work/out")

# The same shape, timed by this run: its tiles, criteria and formats are those of the run.
mkdir "$work/made"
cp "$work/f/rows.jsonl" "$work/made"
cp -r "$work/f/recorded" "$work/made"
cat > "$work/made/bench.json" <<'JSON'
{"context": {"date": "2025-01-31", "rbe": {"roofs": {"read_curve": [
 {"threads": 2, "bytes": 4096, "bytes_per_second": 9e10},
 {"threads": 2, "bytes": 268435456, "bytes_per_second": 2e10},
 {"threads": 1, "bytes": 536870912, "bytes_per_second": 1e10}]}}}, "benchmarks": [
 {"run_name": "search_seed_avx2/L:16/B:44/t:1", "what": "search", "format": "seed", "isa": "avx2",
  "used": 1, "window": 16, "block": 44, "items_per_second": 160000, "real_time": 1}]}
JSON
while IFS= read -r row; do
    case $row in
    *'"a2"'*) more='"bytes_per_token":40000000,"launches":{"count":3,"between":0.0125,"within":0.034},' ;;
    *) more= ;;
    esac
    depths='"decode":[{"depth":0,"median_ms":3},{"depth":1008,"median_ms":4}],'
    row=${row/'"decode":[],'/$depths$more}
    echo "$row"
done < <(grep '"a[12]"' "$work/f/recorded/shape.jsonl") > "$work/made/shape.jsonl"
made='{"name":"124m","sha256":"a1",'"$shape"':249135680,"rbe":false}'
mobile='{"name":"shape-45mb","sha256":"a2",'"$shape"':44994474,"rbe":true,"bits_per_weight":2.89}'
for tokens in 16:60 1023:72 256:64; do
    echo "$head"'"kind":"edge","model":'"$mobile"',"limit_bytes":268435456,"threads":4,
"batch":1,"passed":true,"tokens":'"${tokens%:*}"',"peak_bytes":'"${tokens#*:}"'000000}'
done | paste -d ' ' - - >> "$work/made/shape.jsonl"
echo "$head"'"kind":"convert","base":'"$made"',"model":'"$mobile"',"profile":"p","seconds":8,"search":"none","stages":[
{"name":"calibration","seconds":2,"peak_bytes":3e8},{"name":"encoding","seconds":7,"peak_bytes":7e8,"parts":[
{"name":"search","seconds":4},{"name":"rest","seconds":3}]},{"name":"writing","seconds":1,"peak_bytes":1e8}],
"tensors":['"$tensor"']}' | tr '\n' ' ' >> "$work/made/shape.jsonl"
echo >> "$work/made/shape.jsonl"
check 'reads a shape that was timed' run "$work/made" --out "$work/madep"
flat "$work/madep/index.html"
check 'as measured, and labelled' has "$page" \
    "GPT-2 small's shape as shape-45mb: 124.4 million synthetic weights, not trained, measured in this run"
check 'the recorded one steps back' lacks "$page" 'shape as shape-45mb.*Recorded'
check 'it is judged' grep -q '^C2 .*PASS.*3 ms.*124m (synthetic)' <(grep -A1 '^C2 ' "$work/out" | tr '\n' ' ')
check 'against its original' grep -q '^C2b .*PASS.*6.00 x.*124m (synthetic)' <(grep -A1 '^C2b ' "$work/out" | tr '\n' ' ')
check 'its memory too' grep -q 'C8 .*runs.*124m (synthetic)\|C8 .*PASS.*124m (synthetic)' <(grep -A1 '^C8 ' "$work/out" | tr '\n' ' ')
check 'its formats have a table' has "$page" "<h3>The same of GPT-2 small's shape</h3>"
check 'without what it cannot tell' test "$(grep -c '>divergence, nats</td>' "$page")" = 1
check 'a token against the cold read' grep -q \
    '>40.00</td><td class="r">2.000</td><td class="r">3.000</td><td class="r">1.50</td><td class="r">3</td><td class="r">1.2 %</td><td class="r">3.4 %' \
    "$page"
check 'time over depth' grep -q "$(printf '^shape-45mb\t1008\t4')" "$work/madep"/plots/depth*.tsv
check 'memory over depth' grep -q "$(printf '^shape-45mb\t1023\t72')" "$work/madep"/plots/peak*.tsv
check 'where the time of a conversion goes' grep -q \
    "$(printf '^shape-45mb\t2[^\t]*\t0\t0\t0\t4[^\t]*\t0\t3[^\t]*\t1')" "$work/madep/plots/stages.tsv"
check 'as a table' grep -q 'search for seeds</td><td class="r">4.00</td><td class="r">40.0 %</td><td class="r">700' "$page"
made_resumed() {
    rm -rf "$work/madep" && sed -i 's/"kind":"convert",/&"resumed":true,/' "$work/made/shape.jsonl" &&
        run "$work/made" --out "$work/madep"
}
check 'one that was resumed' made_resumed
flat "$work/madep/index.html"
check 'is named so' grep -q "$(printf '^shape-45mb, the rest\t2')" "$work/madep/plots/stages.tsv"
check 'in the table too' has "$page" 'search for seeds (what an earlier run had left)</td>'
check 'and has no time of its own' grep -q '>p</td>.*>-</td>' <(tr -d '\n' < "$page")
check 'the search by version' grep -q '>avx2</td><td[^>]*>yes</td>.*>16</td>.*>44</td>.*>0.160</td><td class="r">6.25<' \
    <(tr -d '\n' < "$page")

# Nothing of others is written over.
mkdir "$work/site" "$work/model"
echo mine > "$work/site/index.html"
echo '{}' > "$work/model/config.json"
check 'a page of others' fails 2 "$work/r" --out "$work/site"
check 'is said' has "$work/err" 'site: has an index.html of something else'
check 'is kept' test "$(cat "$work/site/index.html")" = mine
check 'nothing beside it' test "$(ls "$work/site")" = index.html
check 'the folder of a model' fails 2 "$work/r" --out "$work/model"
check 'gets nothing' test "$(ls "$work/model")" = config.json
mkdir "$work/notes"
echo mine > "$work/notes/notes.txt"
check 'a folder of others' fails 2 "$work/r" --out "$work/notes"
check 'is said, too' has "$work/err" 'notes: is not empty, and holds no page'
check 'in one line' test "$(wc -l < "$work/err")" = 1
check 'and gets nothing' test "$(ls "$work/notes")" = notes.txt
finish

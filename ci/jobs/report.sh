#!/usr/bin/env bash
# report.sh - make report, the table of README and the curve of codecs, on tiny models
#
# SPDX-License-Identifier: MIT
#
# The model has two layers, random weights and the tokenizer of rbe-mini, so nothing it says of
# RBE means anything: what is tried is that every step of the scripts works, that the page has
# all its sections, and that README has the criteria by their present names and targets.  A tiny
# Llama as GGUF files, where make fetch would have put a model, must be found, measured beside
# rbe-mini by a profile of its own, and its first criterion stand first.
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$(mkdir -p "${BUILDROOT:-build}" && cd "${BUILDROOT:-build}" && pwd)
export BUILDROOT=${BUILDROOT:-build}
make -s -j"$(nproc)" programs || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
arch=$(${CC:-gcc} -dumpmachine | cut -d- -f1)
export RBE_BIN=$root/$arch-release/bin MODEL=$work/tiny QUICK=1 RESULTS=$work/results
bad=0
complain() {
    echo "FAIL $*"
    bad=1
}

"$RBE_BIN/rbe" synth "$MODEL" --shape 2,64,2,512,8192 > "$work/log" ||
    { cat "$work/log" && exit 1; }
cp datasets/embedded/rbe-mini/{merges.txt,vocab.json} "$MODEL"
# The job arm builds the ARM program; without that its step is left out.
[ -x "$root/aarch64-release/bin/rbe-run" ] || export ARM=no
scripts/report.sh || { tail -n 5 "$RESULTS"/logs/*.log && complain 'a step of make report'; }

steps=$(grep -c '"ok":true' "$RESULTS/steps.jsonl")
[ "$steps" -ge 15 ] || complain "$steps steps are recorded as ok"
# What make fetch has not brought is left out.
others=$(grep -v '"reason":"the data are not here' "$RESULTS/steps.jsonl" |
    sed -n '/"ok":false/s/.*"step":"\([^"]*\)".*/\1/p')
case ${ARM:-}:$others in
: | no:$'arm\nprojection') ;;
*) complain "steps that are not ok: ${others:-none, not even arm}" ;;
esac
report=$RESULTS/report/report.md
while IFS= read -r section; do
    grep -qxF "$section" "$report" || complain "the page has no '$section'"
    grep -qF ">${section#* }<" "$RESULTS/report/index.html" ||
        complain "the HTML page has no '$section'"
done << 'END'
### What you could ship instead
## What the words mean
## The promises, one by one
## Size against quality
## Speed and memory
### Under a memory limit
## Conversation
## Generated text
## Comprehension
## Token by token against the original
## Where the bits go
### Conversions
## Kernels
## Machine and provenance
## Raw rows
END
grep -qwiE 'nan|inf' "$report" && complain 'the page has a number that is none'
formats=$(sed -n '/^### What you could/,/^| model/s/^|  | \(.*\) |$/\1/p' "$report")
[ "$formats" = 'f32 | f16 | int8 | int4 | RBE' ] || complain "the formats compared are '$formats'"
for quantity in 'peak memory' '1 thread' perplexity divergence; do
    [ "$(grep "^| [^|]*$quantity" "$report" | head -n 1 | grep -o '| [-+]*[0-9]' | wc -l)" -ge 4 ] ||
        complain "not every format has its $quantity"
done

# A copy of README gets this report's table; its first, second and fourth column (criterion,
# promise, target) must be those that README has, each once however many models are judged.
mkdir -p "$work/tree/scripts" "$work/tree/docs"
cp scripts/readme-table.sh "$work/tree/scripts/"
cp README.md "$work/tree/"
"$work/tree/scripts/readme-table.sh" "$RESULTS" || complain 'scripts/readme-table.sh'
[ -s "$work/tree/docs/rate.png" ] || complain 'no plot for README'
columns() { awk -F ' *[|] *' '/^\| C[0-9]/ { print $2 " | " $3 " | " $5 }' "$1" | sort -u; }
columns README.md > "$work/had"
columns "$work/tree/README.md" > "$work/wanted"
[ "$(wc -l < "$work/wanted")" -ge 19 ] || complain 'the table is too short'
diff "$work/had" "$work/wanted" ||
    complain 'README (<) has other criteria than the report (>): make report, then' \
        'scripts/readme-table.sh'

# What make fetch brought.
folder=$work/data/models/tiny-llama
mkdir -p "$folder"
"$RBE_BIN/rbe" synth "$work/llama" --arch llama --shape 2,64,2,300,8192,1,128 > "$work/log" ||
    complain 'no tiny Llama'
cp datasets/embedded/rbe-mini/{merges.txt,vocab.json} "$work/llama"
sed -i 's/_token_id": 2/_token_id": 8191/' "$work/llama/config.json"
for file in tiny:f32 rival:f16; do
    "$RBE_BIN/rbe" export "$work/llama" "$folder/${file%:*}.gguf" --dtype "${file#*:}" -q ||
        complain 'no GGUF file of it'
done
mkdir -p "$work/data/blimp/data" "$work/data/winogrande"
echo '{"sentence_good": "She sees it.", "sentence_bad": "She see it.", "UID": "verbs"}' \
    > "$work/data/blimp/data/verbs.jsonl"
echo '{"sentence":"A man saw a dog and _ ran.","option1":"he","option2":"it","answer":"1"}' \
    > "$work/data/winogrande/dev.jsonl"
env -u MODEL FETCHED="$work/data" RESULTS="$work/two" ARM=no BENCH=no scripts/report.sh > "$work/log" ||
    { cat "$work/log" && complain 'make report with a model that was fetched'; }
two=$work/two/report/report.md
awk '/^## The promises/ { on = 1 } on && /^\| C/ { print; exit }' "$two" |
    grep -q '^| C3 .*tiny.gguf' || complain 'C3 of the model that was fetched does not stand first'
grep -q '^| C1 .*rbe-mini' "$two" || complain 'rbe-mini is not judged beside it'
grep -q '^tiny.gguf as smol-2.89' "$two" || complain 'it was not converted by the profile for it'
grep -q 'verbs' "$two" || complain 'the page has no paradigm of BLiMP'
grep -q '| winogrande | 1 .*| log.*odds |' "$two" || complain 'no log odds of Winogrande'
grep -q '^| comprehension-.*hellaswag | the data are not here: rbe fetch hellaswag' "$two" ||
    complain 'nothing says that HellaSwag was left out'
grep -q '"name":"rival.gguf"' "$work/two/inference.jsonl" || complain 'its rival was not timed'

# Another model in the same folder of results: nothing of the first may be taken for it.
again=$(grep -c 'there already' "$work/log")
[ "$again" = 0 ] || complain "$again models of a fresh folder were there already"
env MODEL="$folder/tiny.gguf" RESULTS="$work/two" ARM=no BENCH=no scripts/report.sh > "$work/log" ||
    { cat "$work/log" && complain 'make report of a GGUF file'; }
grep -q 'there already' "$work/log" && complain 'a model of another original was taken'
grep -q 'rbe-mini' "$two" && complain 'rows of another original are on the page'

# The curve, on what is there, and a seed point trained as the recorded ones are.
RESULTS=$work/rate TOKENS=2048 scripts/rate-curve.sh > "$work/log" 2>&1 ||
    { tail -n 20 "$work/log" && complain 'scripts/rate-curve.sh'; }
for f in rows/rate-curve.jsonl page/plots/{rate,distortion}.svg; do
    [ -s "$work/rate/$f" ] || complain "scripts/rate-curve.sh made no $f"
done
jq -e '.profile == "scales-text" and .tokens == 2048' "$work"/rate/models/*-tuned.jsonl > /dev/null ||
    complain 'scripts/rate-curve.sh trained no seed point by scales-text'
echo "$steps steps, $(wc -l < "$work/wanted") criteria, $(wc -c < "$report") bytes of report.md"
exit $bad

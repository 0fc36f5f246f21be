#!/usr/bin/env bash
# report.sh - make report, the table of README and the curve of codecs, on a tiny model
#
# SPDX-License-Identifier: MIT
#
# The model has two layers, random weights and the tokenizer of rbe-mini, so nothing it says of
# RBE means anything: what is tried is that every step of the scripts works, that the page has
# all its sections, and that README has the criteria by their present names and targets.
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
[ -x "$root/aarch64-release/bin/rbe" ] || export ARM=no
scripts/report.sh || { tail -n 5 "$RESULTS"/logs/*.log && complain 'a step of make report'; }

steps=$(grep -c '"ok":true' "$RESULTS/steps.jsonl")
[ "$steps" -ge 13 ] || complain "$steps steps are recorded as ok"
others=$(sed -n '/"ok":false/s/.*"step":"\([^"]*\)".*/\1/p' "$RESULTS/steps.jsonl")
case ${ARM:-}:$others in
: | no:arm) ;;
*) complain "steps that are not ok: ${others:-none, not even arm}" ;;
esac
report=$RESULTS/report/report.md
while IFS= read -r section; do
    grep -qxF "$section" "$report" || complain "the page has no '$section'"
    grep -qF ">${section#* }<" "$RESULTS/report/index.html" ||
        complain "the HTML page has no '$section'"
done << 'END'
## Size against quality
## Where the bits go
### Conversions
## Speed and memory
### Under a memory limit
### Kernels
## Conversation
## Token by token against the original
## Generated text
## Comprehension
## Machine and provenance
## Raw rows
END
grep -qwiE 'nan|inf' "$report" && complain 'the page has a number that is none'

# A copy of README gets this report's table; its first, second and fourth column (criterion,
# promise, target) must be those that README has.
mkdir -p "$work/tree/scripts" "$work/tree/docs"
cp scripts/readme-table.sh "$work/tree/scripts/"
cp README.md "$work/tree/"
"$work/tree/scripts/readme-table.sh" "$RESULTS" || complain 'scripts/readme-table.sh'
[ -s "$work/tree/docs/rate.png" ] || complain 'no plot for README'
columns() { awk -F ' *[|] *' '/^\| C[0-9]/ { print $2 " | " $3 " | " $5 }' "$1"; }
columns README.md > "$work/had"
columns "$work/tree/README.md" > "$work/wanted"
[ "$(wc -l < "$work/wanted")" -ge 19 ] || complain 'the table is too short'
diff "$work/had" "$work/wanted" ||
    complain 'README (<) has other criteria than the report (>): make report, then' \
        'scripts/readme-table.sh'

# The curve, on what is there.
RESULTS=$work/rate scripts/rate-curve.sh > "$work/log" 2>&1 ||
    { tail -n 20 "$work/log" && complain 'scripts/rate-curve.sh'; }
for f in rows/rate-curve.jsonl page/plots/{rate,distortion}.svg; do
    [ -s "$work/rate/$f" ] || complain "scripts/rate-curve.sh made no $f"
done
echo "$steps steps, $(wc -l < "$work/wanted") criteria, $(wc -c < "$report") bytes of report.md"
exit $bad

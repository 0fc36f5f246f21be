#!/usr/bin/env bash
# reference.sh - the embedded model's whole P1 and P3 against an independent float64 pass
#
# SPDX-License-Identifier: MIT
#
# reference.json beside the model has the perplexities.  A float32 pass rounds every logit: the
# first windows of P1 differ by less than 1e-5 nats a token (eval/test/check_perplexity.c), of
# both signs, so that the mean over all tokens differs by no more.  1e-4 of the perplexity
# leaves ten times that, and is well below what one wrongly scored token a window would do
# (four nats over 511: 0.8 %).
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
arch=$(${CC:-gcc} -dumpmachine)
rbe=$BUILDROOT/${arch%%-*}-release/bin/rbe
model=datasets/embedded/rbe-mini
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make -s -j"$(nproc)" programs || exit 1
"$rbe" eval perplexity --model "$model" --text datasets/embedded/wiki.test.raw \
    --protocol P1,P3 --quiet --out "$work/rows" || exit 1

# A number of a protocol: of the reference, where lists of windows follow, and of the rows.
wanted() {
    grep -o "\"$1\": {[^[}]*" "$model/reference.json" | grep -o "\"$2\": [0-9][0-9.]*" |
        sed 's/.*: //'
}
got() {
    grep "\"protocol\":\"$1\"" "$work/rows" | grep -o "\"$2\":[0-9][0-9.]*" | sed 's/.*://'
}
bad=0
for p in P1 P3; do
    if [ "$(got $p scored)" != "$(wanted $p scored)" ]; then
        echo "FAIL $p: $(got $p scored) tokens scored, $(wanted $p scored) wanted"
        bad=1
    fi
    echo "$p: $(got $p perplexity), the float64 pass $(wanted $p ppl)"
    awk -v a="$(got $p perplexity)" -v b="$(wanted $p ppl)" \
        'BEGIN { exit !(a > 0 && b > 0 && (a / b - 1) ^ 2 <= 1e-8) }' || {
        echo "FAIL $p: further than 1e-4 from it"
        bad=1
    }
done
[ $bad = 0 ] && echo 'both agree with the reference'
exit $bad

#!/usr/bin/env bash
# check_numeric.sh - weights that are finite, logits that are not: every command says so.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
rbe=${RBE_BIN:?names the folder with the programs}/rbe
export RBE_DATA=$PWD/datasets/embedded

# The vocabulary of the tokenizer that ships.  The first row of the first tensor becomes the
# largest float: any product with it overflows.
m=$work/huge
"$rbe" synth --shape 1,32,2,64,8192 --dtype F32 "$m" > "$work/out" 2> "$work/err" || exit 1
file=$m/model.safetensors
head=$(od -An -t u8 -N 8 "$file")
for ((i = 0; i < 32; i++)); do
    printf '\xff\xff\x7f\x7f'
done | dd of="$file" bs=1 seek=$((8 + head)) conv=notrunc status=none

# ends WHAT COMMAND...: exit 1, one line that says why.
ends() {
    local what=$1
    shift
    check "$what: exit 1" gives 1 "$@"
    check "$what: one line" one_line 'huge.*logits are not finite'
}
for how in '--temperature 0' '--temperature 1' '--temperature 1e-40' '--temperature 100' '--top-k 1' \
    '--top-p 1e-6 --top-k 5'; do
    read -ra sampling <<< "$how"
    ends "generate $how" "$rbe" generate "$m" -p the -n 5 "${sampling[@]}"
done
ends 'generate as JSON' "$rbe" generate "$m" -p the -n 5 --json
check 'no JSON of a failure' [ ! -s "$work/out" ]
ends 'chat' sh -c 'echo hello | "$1" chat --model "$2" --max-tokens 4' sh "$rbe" "$m"
head -c 3000 "$RBE_DATA/wiki.test.raw" > "$work/text"
ends 'perplexity' "$rbe" eval perplexity -q --model "$m" --text "$work/text"
ends 'divergence' "$rbe" eval divergence -q --model "$m" --model "$m" --text "$work/text"
ends 'generation' "$rbe" eval generation -q --model "$m" --model "$m" --text "$work/text" \
    --prompts 2 --prompt 8 --tokens 4
ends 'conversation' "$rbe" eval conversation -q --model "$m" --turns 1 --max-tokens 4
ends 'sustained' "$rbe" eval sustained -q --model "$m" --prompt 4 --minutes 0.01
ends 'inference' "$rbe" eval inference -q --model "$m" --depths 0 --prompt 4 --tokens 2
! limits_hold "$rbe" || ends 'edge' "$rbe" eval edge -q --model "$m" --tokens 4 --threads 2
ends 'calibration' "$rbe" convert -q "$m" "$work/x.rbe" --profile seed-b44 --search fast \
    --calibration "$work/text"
check 'nothing was written' [ ! -e "$work/x.rbe" ]

# What no sampler could do.
for t in -1 101 inf nan; do
    check "chat at temperature $t" gives 2 "$rbe" chat --temperature $t
    check "conversation at temperature $t" gives 2 "$rbe" eval conversation --temperature $t
    check "generation at temperature $t" gives 2 "$rbe" eval generation --temperature $t
done
finish

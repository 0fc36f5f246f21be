#!/usr/bin/env bash
# arch.sh - adds the architecture of docs/ADDING-AN-ARCHITECTURE.md to a copy: does its table suffice?
#
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/../.." || exit 2
page=$PWD/docs/ADDING-AN-ARCHITECTURE.md
mini=$PWD/datasets/embedded/rbe-mini
command -v jq > /dev/null || { echo 'SKIP needs jq'; exit 77; }
export BUILDROOT=${BUILDROOT:-build}
b=$(${CC:-gcc} -dumpmachine | cut -d- -f1)-release
make -s -j"$(nproc)" programs || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Sources and objects, times kept, so that only what the table touches is built again.
read -r -a rooms < <(sed -n 's/^ROOMS *:= //p' Makefile)
cp -a Makefile kernels bench include "${rooms[@]}" "$work/" 2> /dev/null
cp -a --parents scripts/commit.sh "$work/"
mkdir -p "$work/build/$b"
(cd "$BUILDROOT/$b" &&
    find . \( -name '*.o' -o -name '*.a' -o -name flags \) -print0 |
    xargs -0 cp -a --parents -t "$work/build/$b")

# The table, as the page has it, behind the last one.
cd "$work" || exit 1
awk '/^```c$/ { on = 1; next } /^```/ { on = 0 } on' "$page" > table
grep -q '^RBE_ARCH(TOY, ' table || { echo "FAIL $page has no example"; exit 1; }
listed=$(grep -c '^RBE_END_ARCH$' model/arch.def)
awk -v last="$listed" 'NR == FNR { table = table $0 "\n"; next } { print }
     /^RBE_END_ARCH$/ && ++n == last { printf "\n%s", table }' table model/arch.def > new &&
    mv new model/arch.def
[ "$(grep -c '^RBE_END_ARCH$' model/arch.def)" = $((listed + 1)) ] || { echo 'FAIL no place for the table'; exit 1; }

# Roles and classes are the same: what includes the list for these alone is not built again.
touch model/arch.c model/config.c model/test/check_arch.c
unset BUILDROOT
make -s -j"$(nproc)" -o model/arch.def CFLAGS="${CFLAGS:-}" "build/$b/bin/rbe" \
    "build/$b/model/test/check_arch" > build.log 2>&1 ||
    { cat build.log; echo 'FAIL it does not build'; exit 1; }
grep -vE '^  (CC|CXX|AR|LINK) ' build.log
rbe=$work/build/$b/bin/rbe
export RBE_DATA=$mini/..

bad=0
# run WHAT COMMAND...: its output in $work/out.
run() {
    local what=$1
    shift
    if "$@" > "$work/out" 2> "$work/err"; then
        echo "ok   $what"
    else
        tail -n 3 "$work/out" "$work/err"
        echo "FAIL $what"
        bad=1
    fi
}
run 'the tables are whole' "$work/build/$b/model/test/check_arch"
run 'a checkpoint is made' "$rbe" synth toy --size toy --dtype F32
run 'is opened' "$rbe" info toy

# The same weights as a GPT-2: other names, and zeros for the biases, which a toy has not.
mkdir twin
n=$(od -An -tu8 -N8 toy/model.safetensors | tr -d ' ')
tail -c +9 toy/model.safetensors | head -c "$n" > header
bytes=$(($(stat -c %s toy/model.safetensors) - 8 - n))
twin=$(jq -c --argjson bytes "$bytes" '
    def old: {"tokens": "wte", "positions": "wpe", "norm": "ln_f", "first.norm": "ln_1",
              "first.in": "attn.c_attn", "first.out": "attn.c_proj", "second.norm": "ln_2",
              "second.in": "mlp.c_fc", "second.out": "mlp.c_proj"};
    def stem: if startswith("block.") then split(".") as $p |
                  "h.\($p[1]).\(old[$p[2:] | join(".")])" else old[.] end;
    [del(.__metadata__) | to_entries[] | .key |= stem] |
    reduce (.[] | select(.key | test("wte|wpe") | not)) as $t ({at: $bytes, all: .};
        ($t.value.shape | last) as $n |
        .all += [{key: "\($t.key).bias", value: {dtype: "F32", shape: [$n],
                  data_offsets: [.at, .at + 4 * $n]}}] | .at += 4 * $n) |
    .all | map(if .key | endswith(".bias") then . else .key += ".weight" end) | from_entries' header) || exit 1
zeros=$(($(jq '[.[].data_offsets[1]] | max' <<< "$twin") - bytes))
twin+=$(printf '%*s' $(((8 - ${#twin} % 8) % 8)) '')
{
    printf '%b' "$(printf '\\x%02x\\x%02x' $((${#twin} & 255)) $((${#twin} >> 8)))\0\0\0\0\0\0"
    printf %s "$twin"
    tail -c +$((9 + n)) toy/model.safetensors
    printf '%*s' "$zeros" '' | tr ' ' '\0'
} > twin/model.safetensors
echo '{"n_layer":2,"n_embd":64,"n_head":2,"n_ctx":128,"n_inner":128,"vocab_size":8192}' > twin/config.json
run 'and so is its twin' "$rbe" info twin

# same WHAT FILTER COMMAND...: run with the toy and with its twin, TOY in the words replaced, gives
# the same by the filter.
same() {
    local what=$1 filter=$2
    shift 2
    run "$what" "$rbe" "${@//TOY/toy}"
    jq -c "$filter" out > mine 2>&1
    run "$what, the twin" "$rbe" "${@//TOY/twin}"
    jq -c "$filter" out > other 2>&1
    [ -s mine ] && cmp -s mine other && ! grep -qi error mine ||
        { head -c 300 mine other; echo "FAIL $what: not as the twin"; bad=1; }
}
text=$mini/../wiki.valid.raw
same 'it generates' .ids generate TOY --json --temperature 0 -n 8 -p 'The house' --tokenizer "$mini"
same 'it is evaluated' .perplexity eval perplexity --json --model TOY --tokenizer "$mini" \
    --resamples 100 --windows 2 --text "$text" --quiet
for profile in seed-b32 int4; do
    run "it is converted, $profile" "$rbe" convert toy "toy-$profile.rbe" --profile $profile \
        --search fast --quiet
    run "its twin, $profile" "$rbe" convert twin "twin-$profile.rbe" --profile $profile \
        --search fast --quiet
    same "a converted one is evaluated, $profile" .perplexity eval perplexity --json \
        --model TOY-$profile.rbe --tokenizer "$mini" --resamples 100 --windows 2 --text "$text" --quiet
done
run 'it is trained' "$rbe" tune toy toy-seed-b32.rbe tuned.rbe --profile linear --tokens 3000 \
    --valid-windows 2 --evaluations 1 --quiet
run 'and generates' "$rbe" generate tuned.rbe --json -n 4 -p 'The house' --tokenizer "$mini"
run 'it is exported' "$rbe" export toy twice --dtype f32 --no-tokenizer --quiet
same_bytes() { # behind the headers, which are padded
    tail -c "$bytes" toy/model.safetensors | cmp - <(tail -c "$bytes" twice/model.safetensors)
}
run 'as it was' same_bytes
if "$rbe" export toy toy.gguf --no-tokenizer > out 2>&1 || ! grep -q 'no GGUF files of toy' out; then
    cat out
    echo 'FAIL a GGUF file without names'
    bad=1
fi

# What has no row has no place, and what has one must be there.
sed 's/block.1.second.out/block.1.second.off/' toy/model.safetensors > odd
mv odd toy/model.safetensors
if "$rbe" info toy > out 2>&1 || ! grep -q "'block.1.second.out' is missing" out; then
    cat out
    echo 'FAIL a tensor of another name is taken'
    bad=1
fi
[ $bad = 0 ] && echo 'toy: one table, then made, converted, run, evaluated and trained as its twin'
exit $bad

#!/usr/bin/env bash
# check_convert.sh - rbe convert: sizes, resuming, and failures that leave nothing behind.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
dir=$work
rbe=${RBE_BIN:?}/rbe
root=$(cd "$(dirname "$0")/../.." && pwd)
mini=$root/datasets/embedded/rbe-mini

run() { "$rbe" convert -q "$@" >"$dir/out" 2>"$dir/err"; }

fails() { # STATUS TEXT ARGUMENT...: that exit status, one line on stderr that holds TEXT
    local status=$1 text=$2
    shift 2
    refuses "$status" "$text" "$rbe" convert -q "$@"
}

size() { stat -c %s "$1"; }
same() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }
empty() { [ -z "$(ls -A "$1")" ]; }

# A conversion, its totals, its plan and its result line.
check 'int4 converts' run "$mini" "$dir/a.rbe" --profile int4 --json "$dir/r.jsonl"
bytes=$(size "$dir/a.rbe")
check 'the total is the size of the file' grep -q "^file: $bytes bytes" "$dir/out"
check 'a row for each matrix' [ "$(grep -c '^h\.\|^wte' "$dir/out")" = 49 ]
check 'int4 has 4.5 bits a weight' grep -q 'bytes, 4.5000 bits a weight' "$dir/out"
check 'info counts the same parameters' test \
    "$("$rbe" info --json "$dir/a.rbe" | jq .totals.compressed_parameters)" = \
    "$(head -n 1 "$dir/r.jsonl" | jq .totals.compressed_parameters)"
check 'the result line has the same size' grep -q "\"totals\":{\"bytes\":$bytes," "$dir/r.jsonl"
check 'no partial folder stays' [ ! -e "$dir/a.rbe.partial" ]
check 'the plan runs' run "$mini" --plan --profile int4
check 'the plan knows the size' grep -q "^planned file: $bytes bytes" "$dir/out"
run "$mini" "$dir/b.rbe" --profile int4 --threads 1
check 'the same bytes again' cmp "$dir/a.rbe" "$dir/b.rbe"
check 'the shipped model by name' run rbe-mini "$dir/b.rbe" --codec int8
check 'int8 is larger' [ "$(size "$dir/b.rbe")" -gt "$bytes" ]

# Generated weights: codes that are drawn take seconds, and as many bytes as searched ones.
"$rbe" synth --shape 2,128,2,64,8192 "$dir/made" >"$dir/out" 2>&1
check 'drawn codes' run "$dir/made" "$dir/drawn.rbe" -p seed-b44 --search none --json "$dir/d.jsonl"
run "$dir/made" "$dir/found.rbe" -p seed-b44 --search fast --no-calibration
tensors() { "$rbe" info --json "$1" | jq -c '[.tensors[] | [.name, .bytes]]'; }
check 'the same bytes for each matrix' test "$(tensors "$dir/drawn.rbe")" = "$(tensors "$dir/found.rbe")"
check 'but not the same codes' test "$(cmp -l "$dir/drawn.rbe" "$dir/found.rbe" | wc -l)" -gt 100000
check 'labelled' test "$("$rbe" info --json "$dir/drawn.rbe" | jq -r .label | cut -c 1-9)" = synthetic
check 'in the row, too' grep -q '"label":"synthetic.*"search":"none"' "$dir/d.jsonl"
"$rbe" eval perplexity -q --json -m "$dir/made" -m "$dir/drawn.rbe" --windows 2 >"$dir/out" 2>"$dir/err"
check 'it computes' test "$(jq -s 'last.perplexity > 1000 and last.perplexity < 100000' "$dir/out")" = true
check 'no trained weights' fails 2 'only generated weights' "$mini" "$dir/t.rbe" --search none
check 'no text for it' fails 2 'excludes --calibration' "$dir/made" "$dir/t.rbe" --search none --allocate

# Interrupted, then finished: the same file as without.
printf 'all codec=int4\nall layers=1-3 scale-search=on\n' >"$dir/slow.profile"
run "$mini" "$dir/whole.rbe" -p "$dir/slow.profile" --json "$dir/whole.jsonl"
"$rbe" convert -q "$mini" "$dir/cut.rbe" -p "$dir/slow.profile" >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 2000); do
    [ "$(find "$dir/cut.rbe.partial" -name '*.weight.rbe' 2>/dev/null | wc -l)" -ge 3 ] && break
    sleep 0.01
done
kill -INT $pid
wait $pid
check 'an interrupt is a failure' [ $? = 1 ]
check 'it says how to go on' grep -q 'interrupted.*continues' "$dir/err"
check 'no file yet' [ ! -e "$dir/cut.rbe" ]
check 'going on' run "$mini" "$dir/cut.rbe" -p "$dir/slow.profile" --json "$dir/cut.jsonl"
check 'its times are of the rest' grep -q '"resumed":true' "$dir/cut.jsonl"
check 'those of the other are not' [ "$(grep -c '"resumed"' "$dir/whole.jsonl")" = 0 ]
check 'finished matrices are kept' [ "$(grep -c '(kept)' "$dir/out")" -ge 3 ]
check 'the same file as uninterrupted' cmp "$dir/cut.rbe" "$dir/whole.rbe"
check 'nothing else stays' [ ! -e "$dir/cut.rbe.partial" ]

# Killed without a chance to say goodbye: the same.
rm "$dir/cut.rbe"
"$rbe" convert -q "$mini" "$dir/cut.rbe" -p "$dir/slow.profile" >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 2000); do
    [ "$(find "$dir/cut.rbe.partial" -name '*.weight.rbe' 2>/dev/null | wc -l)" -ge 3 ] && break
    sleep 0.01
done
kill -KILL $pid
wait $pid 2>"$dir/err"
check 'killed, no file yet' [ ! -e "$dir/cut.rbe" ]
# What it left is of no use to another profile.
cp -r "$dir/cut.rbe.partial" "$dir/other.rbe.partial"
printf 'all codec=int8\n' >"$dir/other.profile"
run "$mini" "$dir/fresh.rbe" -p "$dir/other.profile"
check 'going on by another profile' run "$mini" "$dir/other.rbe" -p "$dir/other.profile"
check 'gives the file of that profile' cmp "$dir/fresh.rbe" "$dir/other.rbe"
check 'going on after that' run "$mini" "$dir/cut.rbe" -p "$dir/slow.profile"
check 'finished matrices are kept then too' [ "$(grep -c '(kept)' "$dir/out")" -ge 3 ]
check 'the same file as one never killed' cmp "$dir/cut.rbe" "$dir/whole.rbe"

# Layers that the model (of two) does not have: a line says so, where nothing else is wrong.
printf 'name: deep\nall codec=int4\nall layers=99 scale-search=on\nmlp.fc layers=0-99 cost=2\n%s\n' \
    'mlp.fc layers=2-9999 codec=int8' >"$dir/deep.profile"
check 'rules for no layer' run "$dir/made" "$dir/deep.rbe" -p "$dir/deep.profile"
check 'are said to be so' one_line \
    '^rbe convert: profile deep: without effect, as the model has layers 0 to 1 alone: line 3, line 5$'
check 'and do nothing' run "$dir/made" "$dir/plain.rbe" --codec int4
check 'to no matrix' test "$(tensors "$dir/deep.rbe")" = "$(tensors "$dir/plain.rbe")"
check 'rules for some' run "$mini" "$dir/deep.rbe" -p chapter-8.3.1 --plan
check 'are not' test ! -s "$dir/err"
sed 's/int4/seed/' "$dir/deep.profile" >"$dir/open.profile"
check 'an error stands alone' fails 2 'leaves B to a budget' "$dir/made" "$dir/deep.rbe" -p "$dir/open.profile"

# Calibrated and with a measured allocation, on a model small enough to test.
tiny=$dir/tiny
"$rbe" synth --shape 2,64,2,64,8192 "$tiny" >"$dir/out" 2>&1
head -c 30000 "$root/datasets/embedded/calibration.txt" >"$dir/c.txt"
measured=("$tiny" -p mini-2.89 --bits 4 --calibration "$dir/c.txt" --search fast)
plain_error() { awk '$1 ~ /^h\.[01]\.mlp/ { sum += $10 } END { print sum }' "$dir/out"; }
check 'a measured allocation' run "${measured[@]}" "$dir/m.rbe" --json "$dir/m.jsonl"
with=$(plain_error)
check 'it says how long the targets took' grep -Eq '^[0-9]+ s of encoding; [0-9]+ s of targets before it; peak' \
    "$dir/out"
staged() { test "$(jq -c "$1" "$dir/m.jsonl")" = "$2"; }
check 'its stages are in the row' staged '[.stages[].name]' \
    '["calibration","sensitivities","encoding","writing"]'
check 'with seconds and memory' staged '[.stages[] | .seconds > 0 and .peak_bytes > 1000000] | all' true
check 'the parts of the encoding come to all of it' staged \
    '.stages[2] | (.parts | map(.seconds) | add) as $s | ($s / .seconds) | . > 0.99 and . < 1.01' true
check 'search and feedback among them' staged \
    '[.stages[2].parts[] | select(.name == "search" or .name == "feedback") | .seconds > 0]' '[true,true]'
check 'the peak of all is the largest' staged '.peak_bytes >= ([.stages[].peak_bytes] | max)' true
check 'within the budget' [ "$(($(size "$dir/m.rbe") * 8))" -le $((628480 * 4)) ]
check 'near to it' [ "$(($(size "$dir/m.rbe") * 8))" -gt $((628480 * 39 / 10)) ]
check 'rows of the embedding apart' grep -q '"parts":\[{"rows":128,' "$dir/m.jsonl"
check 'divergences in the result' grep -q '"probe_divergence":' "$dir/m.jsonl"
check 'and how much of what is lost is restored' staged .calibration.compensated_share 1
check 'and peak memory' grep -q '"peak_bytes":[1-9]' "$dir/m.jsonl"
check 'the same again' run "${measured[@]}" "$dir/m2.rbe"
check 'bit for bit' cmp "$dir/m.rbe" "$dir/m2.rbe"
check 'without feedback' run "${measured[@]}" "$dir/m3.rbe" --no-feedback
check 'layers err more' awk -v a="$with" -v b="$(plain_error)" \
    'BEGIN { exit !(a > 0 && b > 1.3 * a) }'
asked() { sed -n 's/^memory: up to \([0-9]*\) MB.*/\1/p' "$dir/out"; }
check 'as many tokens as are read' run "${measured[@]}" --plan --compensate 131072
by_text=$(asked)
check 'more are not counted' run "${measured[@]}" --plan --compensate 16000000
check 'to the same memory' [ "$(asked)" = "${by_text:-none}" ]
check 'it says what memory it takes' grep -q '^memory: up to [1-9][0-9]* MB' "$dir/out"
check 'and refuses more than is allowed' fails 1 'besides the mapped checkpoint, 5 are allowed' \
    "${measured[@]}" "$dir/x.rbe" --memory 5
# SmolLM2's shape: layers run twice rather than take more than 1.5 GB; not where more is offered.
planned() { # MB-MIN MB-MAX OPTION...: what it plans to take
    "$rbe" convert "$dir/large" "$dir/x.rbe" --metric two-sided "${@:3}" > "$dir/out" 2>&1
    local mb
    mb=$(sed -n 's/^memory: up to \([0-9]*\) MB.*/\1/p' "$dir/out")
    [ "${mb:-0}" -gt "$1" ] && [ "$mb" -le "$2" ]
}
if [ "$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')" -gt 1000 ]; then
    "$rbe" synth "$dir/large" --arch llama --size SmolLM2-135M > "$dir/out"
    check 'a plan within 1.5 GB' planned 1000 1500 --threads 2
    check 'or within what is offered' planned 1500 2000 --threads 2 --memory 2000
    rm -r "$dir/large"
fi
for without in --no-calibration --no-feedback '--search none'; do
    # shellcheck disable=SC2086 # two words
    check "compensation with $without" fails 2 '--compensate' "$tiny" "$dir/x.rbe" -p mini-2.89 \
        --compensate 4000 $without
done
check 'a limit that is none' fails 2 '--memory' "$tiny" "$dir/x.rbe" --memory -1
check 'a calibration text' run "$tiny" "$dir/lf.rbe" -p seed-b44 --calibration "$dir/c.txt" \
    --search fast
check 'the same through a pipe, with a byte-order mark and CR LF' run "$tiny" "$dir/crlf.rbe" \
    -p seed-b44 --search fast --calibration <(printf '\357\273\277'; sed 's/$/\r/' "$dir/c.txt")
check 'even' run "$tiny" -p mini-2.89 --bits 4 --calibration "$dir/c.txt" --even --plan
check 'means one B' [ "$(awk '/ seed / { print $4 }' "$dir/out" | sort -u | wc -l)" = 1 ]
embedding_bytes() { awk '/^wte.weight/ { print $5 }' "$dir/out"; }
check 'as measured' run "${measured[@]}" --plan
as_measured=$(embedding_bytes)
{ cat "$root/convert/profiles/mini-2.89.profile"; echo 'wte cost=30'; } >"$dir/cost.profile"
check 'the embedding counts more' run "${measured[@]}" -p "$dir/cost.profile" --plan
check 'and gets more bytes' [ "$(embedding_bytes)" -gt "$as_measured" ]
head -c 300 "$dir/c.txt" >"$dir/short.txt"
head -c 30000 /dev/zero >"$dir/zeros"
check 'zeros are no text' fails 1 'zeros: not a text' "$tiny" "$dir/x.rbe" --calibration \
    "$dir/zeros"
printf 'a\033[1mb\177' | cat "$dir/c.txt" - >"$dir/control.txt"
check 'nor are control bytes' fails 1 'control.txt: not a text: byte 0x1b' "$tiny" \
    "$dir/x.rbe" --calibration "$dir/control.txt"
check 'a short calibration text' fails 2 'short.txt: calibration text too short' "$tiny" \
    "$dir/x.rbe" --calibration "$dir/short.txt"
head -c 30000 /dev/urandom | LC_ALL=C tr '\000-\037\177' x >"$dir/noise"
check 'no text at all' fails 1 'noise: not valid UTF-8' "$tiny" "$dir/x.rbe" --calibration \
    "$dir/noise"
# Smaller than any allocation with ranges of the embedding apart, which have scales of their
# own: one B for all.
smallest=$("$rbe" convert -q "$tiny" --plan -p mini-2.89 --bytes 9000 2>&1 |
    sed 's/.* is \([0-9]*\) bytes.*/\1/')
check 'the smallest budget that is named' run "$tiny" "$dir/s.rbe" -p mini-2.89 --bytes \
    "$smallest" --calibration "$dir/c.txt" --search fast --f32 --json "$dir/s.jsonl"
check 'is met' [ "$(size "$dir/s.rbe")" = "$smallest" ]
check 'and says how' grep -q 'no measured allocation fits' "$dir/out"
check 'in the result too' grep -q '"allocation":"even"' "$dir/s.jsonl"
check 'the other was measured' grep -q '"allocation":"measured"' "$dir/m.jsonl"
check 'calibrated in f32' grep -q '"products":"f32"' "$dir/s.jsonl"
products=f32
[ -n "${EMULATOR:-}${RBE_DISABLE_ISA:-}" ] || ! grep -qw avx512_bf16 /proc/cpuinfo || products=bf16
check 'the other as this CPU can' staged .calibration.products "\"$products\""
check 'one byte less is refused' fails 1 "the smallest possible with profile mini-2.89 is $smallest" \
    "$tiny" "$dir/x.rbe" -p mini-2.89 --bytes $((smallest - 1))
check 'a budget no allocation can meet' fails 1 'the smallest possible with profile mini-2.89' \
    "$tiny" "$dir/x.rbe" -p mini-2.89 --bytes 9000
check 'a device as output' fails 1 'not a regular file' "$mini" /dev/full -p int8

# An interrupt while calibrating is nothing that the text did.
"$rbe" convert -q "$mini" "$dir/i.rbe" -p mini-2.89 >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 2000); do
    grep -q '^memory' "$dir/out" && break
    sleep 0.01
done
kill -INT $pid
wait $pid
# On a busy machine not one window may have ended; then there is nothing to keep.
if grep -qx 'rbe convert: interrupted' "$dir/err"; then
    check 'an interrupted calibration, before a window ended' [ ! -e "$dir/i.rbe.partial" ]
else
    check 'an interrupted calibration' same "$dir/err" \
        "rbe convert: interrupted; what is finished is kept in $dir/i.rbe.partial, the same command continues"
    check 'is kept' [ -f "$dir/i.rbe.partial/calibration.rbe" ]
fi

# Low rank: of each matrix the projection whose two f16 factors have an eighth of f32's bytes.
check 'low rank' run "$tiny" "$dir/l.rbe" -p int8 --low-rank 8 --json "$dir/l.jsonl"
rank() { echo $((4 * $1 * $2 / 8 / (2 * ($1 + $2)) * 2 * ($1 + $2))); } # bytes of the factors
int8() { awk -v t="$1" '$1 == t { print $5 }' "$dir/out"; }
want=$(size "$dir/l.rbe")
for t in wte.weight:8192:64 h.{0,1}.attn.c_attn.weight:192:64 h.{0,1}.attn.c_proj.weight:64:64 \
    h.{0,1}.mlp.c_fc.weight:256:64 h.{0,1}.mlp.c_proj.weight:64:256; do
    IFS=: read -r name rows cols <<<"$t"
    want=$((want - $(int8 "$name") + $(rank "$rows" "$cols")))
done
check 'the size is that of the factors' grep -q "^as low-rank factors: $want bytes" "$dir/out"
check 'and recorded' grep -q "\"low_rank_bytes\":$want" "$dir/l.jsonl"
check 'int8 holds the product' grep -q 'h.0.mlp.c_fc.weight.* int8 .* 0.00[0-9]* ' "$dir/out"
kl=$("$rbe" eval divergence -q -m "$tiny" -m "$dir/l.rbe" --text "$dir/c.txt" --json |
    sed 's/.*"kl":{"mean":\([^,]*\).*/\1/')
check 'which is not the matrix' awk -v kl="$kl" 'BEGIN { exit !(kl > 1e-3) }'

# Damaged or foreign leftovers are not taken over.
mkdir "$dir/a2.rbe.partial"
echo rubbish >"$dir/a2.rbe.partial/wte.weight.rbe"
check 'rubbish is replaced' run "$mini" "$dir/a2.rbe" --profile int4
check 'with the right bytes' cmp "$dir/a.rbe" "$dir/a2.rbe"

# A full disk, at the first matrix and at the whole file; an existing output stays.
full() { # BLOCKS ARGUMENT...
    local limit=$1
    shift
    (
        trap '' XFSZ
        ulimit -f "$limit"
        fails 1 'cannot write' "$@"
    )
}
mkdir "$dir/full"
check 'a full disk at once' full 100 "$mini" "$dir/full/x.rbe" --profile int8
check 'leaves nothing' empty "$dir/full"
echo old >"$dir/full/x.rbe"
check 'a full disk at the end' full 5000 "$mini" "$dir/full/x.rbe" --profile int8
check 'leaves the old file' same "$dir/full/x.rbe" old
check 'and no temporary' [ -z "$(find "$dir/full" -maxdepth 1 -name '*.tmp*')" ]

# Weights that are no numbers: f16 NaN in the middle of the data.
mkdir "$dir/nan"
cp "$mini/config.json" "$mini/model.safetensors" "$dir/nan"
printf '\x00\x7e' | dd of="$dir/nan/model.safetensors" bs=1 seek=4000000 conv=notrunc status=none
check 'NaN is named by tensor' fails 1 "tensor '" "$dir/nan" "$dir/x.rbe" --profile int8
check 'as NaN' grep -q NaN "$dir/err"
check 'and leaves no file' [ ! -e "$dir/x.rbe" ]
check 'nor what cannot go on' [ ! -e "$dir/x.rbe.partial" ]
mkdir "$dir/x.rbe.partial"
echo kept >"$dir/x.rbe.partial/kept.rbe"
check 'NaN again' fails 1 "tensor '" "$dir/nan" "$dir/x.rbe" --profile int8
check 'leaves what was there before' same "$dir/x.rbe.partial/kept.rbe" kept
rm -r "$dir/x.rbe.partial"
# The backward pass of the calibration meets them first: the model's fault, not the text's.
check 'under the Fisher metric too' fails 1 "model.safetensors: tensor '" "$dir/nan" "$dir/x.rbe" \
    --codec seed --block 44 --metric fisher --calibration "$dir/c.txt"
check 'the line begins with the model' grep -q "^rbe convert: $dir/nan/" "$dir/err"
check 'nothing is left of that' [ ! -e "$dir/x.rbe.partial" ]
truncate -s 3000000 "$dir/nan/model.safetensors"
check 'a truncated checkpoint' fails 1 truncated "$dir/nan" "$dir/x.rbe"
sed 's/"n_embd": 256/"n_embd": 128/' "$mini/config.json" >"$dir/nan/config.json"
cp "$mini/model.safetensors" "$dir/nan"
check 'a configuration of another model' fails 1 'the configuration wants' "$dir/nan" "$dir/x.rbe"

# The tokenizer of a GGUF file is read before the work, whether a text is to be read or not.
gguf=$dir/tiny.gguf
check 'a GGUF file' gives 0 "$rbe" export "$tiny" "$gguf" --tokenizer "$mini" --quiet
changed() { # NAME SED: the file with one text replaced by another of its length
    LC_ALL=C sed "$2" "$gguf" >"$dir/$1.gguf"
    ! cmp -s "$gguf" "$dir/$1.gguf" && [ "$(size "$gguf")" = "$(size "$dir/$1.gguf")" ]
}
unread() { # PATTERN FILE OPTION...
    fails 1 "$1" "$dir/$2.gguf" "$dir/x.rbe" "${@:3}" && [ ! -e "$dir/x.rbe" ] &&
        [ ! -e "$dir/x.rbe.partial" ] && [ ! -e "$dir/x.rbe.tokenizer.gguf" ]
}
check 'of another kind' changed kind 's/\(tokenizer.ggml.model............\)gpt2/\1bert/'
check 'cut otherwise' changed pre 's/gpt-2/gpt-9/'
check 'without merges' changed merges 's/tokenizer.ggml.merges/tokenizer.ggml.xerges/'
check 'of no kind' changed none 's/tokenizer.ggml.model/tokenizer.ggml.xodel/'
for how in '--codec int8' '--codec int8 --no-calibration' \
    '--codec seed --block 44 --no-calibration --plan' '--codec seed --block 44'; do
    # shellcheck disable=SC2086
    {
        check "another kind, $how" unread "kind.gguf: .*'bert' is not supported" kind $how
        check "cut otherwise, $how" unread "pre.gguf: .*'gpt-9' is not supported" pre $how
        check "without merges, $how" unread "merges.gguf: .*merges' is missing" merges $how
        check "of no kind, $how" unread "none.gguf: .*model' is missing" none $how
    }
done
check 'one without any' gives 0 "$rbe" export "$tiny" "$dir/bare.gguf" --no-tokenizer --quiet
check 'becomes a model without any' run "$dir/bare.gguf" "$dir/bare.rbe" --codec int8
check 'and without a companion' [ ! -e "$dir/bare.rbe.tokenizer.gguf" ]
check 'which runs' gives 0 "$rbe" generate "$dir/bare.rbe" -n 2

# K of hybrid from the energy to leave: a relative RMSE of sqrt(0.25).
printf 'all codec=int4\nattn.proj codec=hybrid block=32 energy=0.25\n' >"$dir/energy.profile"
check 'hybrid by energy' run "$mini" "$dir/e.rbe" -p "$dir/energy.profile"
check 'leaves that energy' [ "$(grep -c 'attn.c_proj.* 0\.\(49\|50\)[0-9]* .*' "$dir/out")" = 12 ]

# Requests that cannot be met.
check 'a budget too small' fails 1 'the smallest possible' "$mini" "$dir/x.rbe" --bytes 300000
check 'two budgets' fails 2 exclude "$mini" "$dir/x.rbe" --bytes 300000 --bits 3
check 'no profile' fails 2 'valid: chapter-8.3.1' "$mini" "$dir/x.rbe" --profile nothing
printf 'all codec=int4\nwte codec=int4 colour=red\n' >"$dir/bad.profile"
check 'a bad profile' fails 2 "bad.profile:2: unknown key 'colour'" "$mini" "$dir/x.rbe" \
    --profile "$dir/bad.profile"
check 'an unknown codec' fails 2 magic "$mini" "$dir/x.rbe" --codec magic
check 'an impossible block' fails 2 'block 5' "$mini" "$dir/x.rbe" --codec seed --block 5
check 'no model' fails 1 'No such file' "$dir/nothing" "$dir/x.rbe"
check 'an RBE model' fails 2 'already' "$dir/a.rbe" "$dir/x.rbe"
check 'no folder for the output' fails 1 'cannot write' "$mini" "$dir/no/x.rbe" -p int8
mkdir "$dir/folder"
check 'a folder as output' fails 1 'not a regular file' "$mini" "$dir/folder" -p int8
check 'a metric that decides nothing' fails 2 '--metric: profile int4' "$mini" \
    "$dir/x.rbe" --codec int4 --metric fisher
check 'products that decide nothing' fails 2 '--f32: profile int8' "$mini" "$dir/x.rbe" \
    -p int8 --f32
check 'a text that decides nothing' fails 2 '--calibration: profile int8' "$mini" \
    "$dir/x.rbe" -p int8 --calibration "$dir/c.txt"
check 'nothing to allocate' fails 2 '--allocate: profile seed-b44' "$mini" "$dir/x.rbe" \
    --codec seed --block 44 --allocate
check 'no place for the result' fails 1 "$dir/folder" "$mini" "$dir/x.rbe" --codec seed \
    --block 44 --json "$dir/folder"
check 'no arguments' fails 2 'want MODEL'
check 'nothing was written' [ ! -e "$dir/x.rbe" ]

# Finite weights that no scale in half precision can reach: every byte 0x10, about 3e-29.
"$rbe" synth --shape 1,64,2,64,256 --dtype F32 "$dir/small" >"$dir/out" 2>&1
head=$((8 + $(od -An -tu8 -N8 "$dir/small/model.safetensors")))
all=$(size "$dir/small/model.safetensors")
head -c $((all - head)) /dev/zero | tr '\0' '\020' |
    dd of="$dir/small/model.safetensors" bs=65536 oflag=seek_bytes seek=$head conv=notrunc status=none
check 'rows too small for a scale' run "$dir/small" "$dir/small.rbe" --codec seed --block 44 \
    --no-calibration
check 'are called so' grep -q \
    '^h.0.mlp.c_fc.weight: 256 rows are too small for an f16 scale and become zeros$' "$dir/out"
check 'and no others' run "$tiny" "$dir/small.rbe" --codec seed --block 44 --no-calibration
check 'of no other model' [ "$(grep -c 'become zeros' "$dir/out")" = 0 ]

# On a terminal the bar is taken away before a row is printed.
if command -v script >/dev/null; then
    script -qec "'$rbe' convert '$mini' '$dir/bar.rbe' --profile int8 -t 1" "$dir/seen" \
        >/dev/null </dev/null
    erase=$(printf '\033\\[K')
    check 'a bar on a terminal' grep -aq 'convert \[#' "$dir/seen"
    check 'no row behind it' [ "$(grep -ac "[a-z0-9]${erase}[hw]" "$dir/seen")" = 0 ]
else
    echo 'SKIP the terminal: no script'
fi

finish

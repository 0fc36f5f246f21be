#!/usr/bin/env bash
# check_shards.sh - rbe convert --shard and rbe merge: the bytes of one conversion, or nothing.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
rbe=${RBE_BIN:?names the folder with the programs}/rbe
export RBE_DATA=$PWD/datasets/embedded

quiet() { "$@" > "$work/out" 2> "$work/err" < /dev/null; }
fails() { check "exit $1, '$2': ${*:3}" refuses "$@"; }
head -c 3000 "$RBE_DATA/calibration.txt" > "$work/text"
tail -c 3000 "$RBE_DATA/calibration.txt" > "$work/text2"
common=(--search fast --calibration "$work/text" --compensate 0 --threads 1 -q)

# A GPT-2 and a Llama, tied; both profiles move means, calibrate and measure the allocation.
"$rbe" synth "$work/gpt2" --shape 2,32,2,64,8192 > "$work/out"
"$rbe" synth "$work/llama" --arch llama --shape 2,32,2,64,8192,1,64 > "$work/out"
cp "$RBE_DATA"/rbe-mini/{vocab.json,merges.txt} "$work/llama"
sed -i 's/"eos_token_id": *[0-9]*/"eos_token_id": 8191/' "$work/llama/config.json"
profile() { [ "$1" = gpt2 ] && echo mini-2.89 || echo smol-2.89; }
shard() { # MODEL I/N OPTION...: into $work/MODEL-I.rbe
    "$rbe" convert "$work/$1" "$work/$1-${2%/*}.rbe" -p "$(profile "$1")" "${common[@]}" \
        --shard "$2" --shared "$work/shared" "${@:3}"
}
# What a row says besides times, memory, and what the file is called.
row() {
    jq -S 'del(.time_utc, .command, .seconds, .peak_bytes, .shards, .stages, .tensors[].seconds,
               .model.name, .model.path)' "$1"
}
same_row() { [ "$(row "$1" | tee "$work/err")" = "$(row "$2")" ]; }

for m in gpt2 llama; do
    check "$m, whole" quiet "$rbe" convert "$work/$m" "$work/$m.rbe" -p "$(profile $m)" \
        "${common[@]}" --json "$work/$m.jsonl"
    # All at once: one measures, the others wait.
    pids=()
    for i in 1 2 3; do
        shard $m $i/3 > "$work/said-$i" 2>&1 < /dev/null &
        pids+=($!)
    done
    for i in 1 2 3; do check "$m, shard $i" wait "${pids[i - 1]}"; done
    check "$m, one of them measured" \
        [ "$(grep -lE '^calibrated on [0-9]+ tokens of [^ ]*$' "$work"/said-? | wc -l)" = 1 ]
    check "$m, parts are joined" quiet "$rbe" merge --out "$work/joined.rbe" \
        --json "$work/$m-joined.jsonl" "$work/$m"-[312].rbe
    check "$m, the same bytes" cmp "$work/joined.rbe" "$work/$m.rbe"
    check "$m, the same row" same_row "$work/$m.jsonl" "$work/$m-joined.jsonl"
    check "$m, with its matrices' output errors" \
        quiet jq -e '[.tensors[] | select(.output_error > 0)] | length >= 8' "$work/$m-joined.jsonl"
    check "$m, no partial folders stay" [ -z "$(find "$work" -name '*.partial')" ]
done
check 'one file for each model and step' [ "$(find "$work/shared" -name '*.rbe' | wc -l)" = 4 ]
check 'nothing that is half written' [ -z "$(find "$work/shared" -name '*tmp*')" ]

# What is needed made before, for all shards; other conversions take it too.
check 'a plan with a shared folder' quiet "$rbe" convert "$work/gpt2" --plan -p mini-2.89 \
    "${common[@]}" --shared "$work/before"
check 'keeps both' [ "$(find "$work/before" -name '*.rbe' | wc -l)" = 2 ]
for f in "$work/before"/*.rbe; do
    check "${f##*/} is the same" cmp "$f" "$work/shared/${f##*/}"
done
check 'a whole conversion with the folder' quiet "$rbe" convert "$work/gpt2" "$work/again.rbe" \
    -p mini-2.89 "${common[@]}" --shared "$work/before"
check 'measures nothing' grep -q 'tokens of .* before, or by another process' "$work/out"
check 'not a matrix' grep -q '^15 of 15 sensitivities were measured before' "$work/out"
check 'and is the same' cmp "$work/again.rbe" "$work/gpt2.rbe"
# Damage in the shared file is noticed, and the file made anew.
f=$(echo "$work"/before/calibration-*.rbe)
cp "$f" "$work/good"
printf '\001' | dd of="$f" bs=1 seek=$(($(stat -c %s "$f") / 2)) conv=notrunc status=none
check 'damaged' quiet "$rbe" convert "$work/gpt2" "$work/gpt2-1.rbe" -p mini-2.89 "${common[@]}" \
    --shared "$work/before" --shard 1/3
check 'the calibration is gathered again' grep -qE '^calibrated on [0-9]+ tokens of [^ ]*$' \
    "$work/out"
check 'to the same file' cmp "$f" "$work/good"
check 'and the part joins' quiet "$rbe" merge --out "$work/joined.rbe" "$work"/gpt2-?.rbe
check 'to the same bytes' cmp "$work/joined.rbe" "$work/gpt2.rbe"

# Who waits for another process can be interrupted.
mkdir "$work/held"
held=$work/held/$(basename "$f" .rbe).lock
flock "$held" sleep 30 &
holder=$!
"$rbe" convert "$work/gpt2" "$work/gpt2-1.rbe" -p mini-2.89 "${common[@]}" --shard 1/3 \
    --shared "$work/held" > "$work/out" 2> "$work/err" < /dev/null &
pid=$!
sleep 1
kill -INT $pid
wait $pid
check 'a wait that is interrupted' [ $? = 1 ]
check 'ends at once' kill $holder
check 'nothing is measured' [ -z "$(find "$work/held" -name '*.rbe')" ]
wait $holder 2> "$work/ignored"

# Killed in the middle: the same command goes on.
printf 'all codec=int4 scale-search=on\nwte codec=f16\n' > "$work/slow.profile"
"$rbe" synth "$work/slow" --shape 8,96,2,64,8192 > "$work/out"
slow=(convert "$work/slow" "$work/slow-1.rbe" -p "$work/slow.profile" -q --threads 1
      --shard 1/2)
"$rbe" "${slow[@]}" > "$work/said" 2>&1 &
pid=$!
for _ in $(seq 1000); do
    [ "$(find "$work/slow-1.rbe.partial" -name '*.weight.rbe' 2> "$work/err" | wc -l)" -lt 2 ] ||
        break
    sleep 0.01
done
kill -KILL $pid
wait $pid 2> "$work/err"
check 'killed: no part' [ ! -e "$work/slow-1.rbe" ]
check 'it goes on' quiet "$rbe" "${slow[@]}"
check 'from what was finished' grep -q '(kept)' "$work/out"
check 'the other half' quiet "$rbe" "${slow[@]:0:2}" "$work/slow-2.rbe" "${slow[@]:3:5}" \
    --shard 2/2
check 'the halves' quiet "$rbe" merge --out "$work/slow.rbe" "$work"/slow-[12].rbe
quiet "$rbe" "${slow[@]:0:2}" "$work/slow-whole.rbe" "${slow[@]:3:5}"
check 'are the whole' cmp "$work/slow.rbe" "$work/slow-whole.rbe"

# A GGUF original: the tokenizer goes beside the joined file.
quiet "$rbe" export "$work/llama" "$work/llama.gguf"
for s in '' 1/2 2/2; do
    check "GGUF, ${s:-whole}" quiet "$rbe" convert "$work/llama.gguf" "$work/gguf${s%/*}.rbe" \
        --codec int4 -q ${s:+--shard "$s"}
done
check 'GGUF, joined' quiet "$rbe" merge --out "$work/gguf.joined" "$work"/gguf[12].rbe
check 'the same bytes' cmp "$work/gguf.joined" "$work/gguf.rbe"
check 'the same tokenizer' cmp "$work/gguf.joined.tokenizer.gguf" "$work/gguf.rbe.tokenizer.gguf"
rm "$work/gguf1.rbe.tokenizer.gguf"
fails 1 'gguf1.rbe.tokenizer.gguf: is not there' "$rbe" merge --out "$work/bad" \
    "$work"/gguf[12].rbe

# What does not belong together is refused, and nothing written.
merge=("$rbe" merge --out "$work/bad")
a=$work/gpt2-1.rbe b=$work/gpt2-2.rbe c=$work/gpt2-3.rbe
fails 1 'shard 2/3 is missing: .*gpt2-1.rbe is one of 3 parts, 2 were named' "${merge[@]}" "$a" "$c"
cp "$b" "$work/twice.rbe"
fails 1 'twice.rbe: shard 2/3 is there twice, also in .*gpt2-2.rbe' "${merge[@]}" "$a" "$b" "$c" \
    "$work/twice.rbe"
fails 2 'named twice' "${merge[@]}" "$a" "$b" "$c" "$c"
head -c 9000 "$b" > "$work/cut.rbe"
fails 1 'cut.rbe: ' "${merge[@]}" "$a" "$work/cut.rbe" "$c"
fails 1 'llama-2.rbe: is of another model than .*gpt2-1.rbe' "${merge[@]}" "$a" \
    "$work/llama-2.rbe" "$c"
other() { # OPTION...: shard 2 of 3 of another conversion
    "$rbe" convert "$work/gpt2" "$work/other.rbe" -q --threads 1 --shard 2/3 --compensate 0 "$@"
}
check 'another profile' quiet other --codec int4
fails 1 'other.rbe: is of another profile than .*gpt2-1.rbe' "${merge[@]}" "$a" \
    "$work/other.rbe" "$c"
check 'another text' quiet other -p mini-2.89 --search fast --calibration "$work/text2" \
    --shared "$work/shared"
fails 1 'other.rbe: is of another calibration' "${merge[@]}" "$a" "$work/other.rbe" "$c"
check 'another budget' quiet other -p mini-2.89 "${common[@]}" --bits 3.2 --shared "$work/shared"
fails 1 'other.rbe: is of another plan' "${merge[@]}" "$a" "$work/other.rbe" "$c"
check 'another number' quiet "$rbe" convert "$work/gpt2" "$work/other.rbe" -p mini-2.89 \
    "${common[@]}" --shard 2/2 --shared "$work/shared"
fails 1 'other.rbe: is of another number of shards' "${merge[@]}" "$a" "$work/other.rbe" "$c"
fails 1 'gpt2.rbe: not a part of a conversion' "${merge[@]}" "$a" "$b" "$work/gpt2.rbe"
fails 1 'gpt2.jsonl: ' "${merge[@]}" "$a" "$b" "$work/gpt2.jsonl"
fails 2 'gpt2.jsonl: a record of kind .convert. has no shards' "${merge[@]}" "$work/gpt2.jsonl"
fails 2 'json: .* is no part of a conversion' "${merge[@]}" --json "$work/x" "$work/gpt2.jsonl"
check 'nothing was written' [ ! -e "$work/bad" ]
cp "$a" "$work/kept.rbe"
fails 2 'kept.rbe' "$rbe" merge --out "$work/kept.rbe" "$work/kept.rbe" "$b" "$c"
check 'parts are kept' cmp "$a" "$work/kept.rbe"
fails 1 'gpt2-1.rbe: part of a conversion in shards: rbe merge joins' "$rbe" info "$a"
fails 2 'shard 14/14: only 10 matrices to share' shard gpt2 14/14
fails 2 'wants I/N' shard gpt2 0/2
fails 2 'wants I/N' shard gpt2 2
fails 2 'json: the row .* rbe merge' shard gpt2 1/2 --json "$work/x"
fails 2 'plan: ' shard gpt2 1/2 --plan
fails 1 'shared: .*irectory' shard gpt2 1/2 --shared "$a/shared"
finish

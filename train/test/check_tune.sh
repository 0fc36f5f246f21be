#!/usr/bin/env bash
# check_tune.sh - rbe tune: trains, stops, goes on bit for bit, refuses what does not fit.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
dir=$work
rbe=${RBE_BIN:?}/rbe
root=$(cd "$(dirname "$0")/../.." && pwd)

small=(--no-calibration --valid-windows 4 --evaluations 2 --micro 2 -q)
run() { "$rbe" tune "${small[@]}" "$@" >"$dir/out" 2>"$dir/err"; }
fails() { # STATUS TEXT ARGUMENT...: that exit status, one line on stderr that holds TEXT
    local status=$1 text=$2
    shift 2
    refuses "$status" "$text" "$rbe" tune "${small[@]}" "$@"
}
size() { stat -c %s "$1"; }
lacks_line() { ! grep -q -- "$1" "$dir/out"; }
lacks_steps() { lacks_line ' tokens  ' && [ ! -e "$dir/g.rbe" ]; }

o=$dir/original m=$dir/m.rbe text=$dir/text.txt
head -c 60000 "$root/datasets/embedded/calibration.txt" | iconv -c -f utf-8 -t utf-8 >"$text"
"$rbe" synth --shape 2,32,2,64,8192 --dtype F32 "$o" >/dev/null 2>"$dir/err"
check 'a small model' "$rbe" convert -q "$o" "$m" --profile seed-b44 --search fast \
    --no-calibration >/dev/null 2>"$dir/err"
cat >"$dir/mixed.profile" <<'END'
name: mixed
loss: chapter
batch: 256
optimizer: muon
stage latent epochs=1 matrices=latent latents=1e-3 scales=1e-3 plain=1e-3 encode-every=2 search=fast
stage encode epochs=1 matrices=progressive latents=1e-3 scales=1e-3 plain=1e-3 search=fast
stage scales epochs=1 scales=1e-2 plain=1e-2 average=0.5
END
common=("$o" "$m")
printf '\357\273\277name: x\r\nloss: chapter\r\noops\r\n' >"$dir/windows.profile"
check 'a profile with a byte-order mark and CR LF' fails 2 'windows.profile:3: neither' \
    "${common[@]}" "$dir/x.rbe" --profile "$dir/windows.profile" --text "$text" --valid "$text"
args=(--profile "$dir/mixed.profile" --tokens 4608 --text "$text" --valid "$text")

# One run, its file, its row; the same again.
check 'it trains' run "${common[@]}" "$dir/a.rbe" "${args[@]}" --out-json "$dir/r.jsonl"
check 'memory is told' grep -q '^memory: [0-9]* MB' "$dir/out"
check 'as many bytes' [ "$(size "$dir/a.rbe")" = "$(size "$m")" ]
check 'other bytes' [ "$(cmp "$dir/a.rbe" "$m" >/dev/null; echo $?)" = 1 ]
check 'a recovery row' grep -q '"kind":"recovery".*"points":\[{"tokens":0,' "$dir/r.jsonl"
check 'its stages' grep -q '"name":"encode","mechanism":"progressive"' "$dir/r.jsonl"
check 'the model loads' "$rbe" info "$dir/a.rbe" >"$dir/out" 2>"$dir/err"
run "${common[@]}" "$dir/b.rbe" "${args[@]}"
check 'the same bytes again' cmp "$dir/a.rbe" "$dir/b.rbe"
run "${common[@]}" "$dir/b.rbe" "${args[@]}" --seed 2
check 'another seed, other bytes' [ "$(cmp "$dir/a.rbe" "$dir/b.rbe" >/dev/null; echo $?)" = 1 ]

# A text that is not needed is looked for, too, before the first step.
check 'a second text that is not there' fails 1 'absent.txt: No such file' "${common[@]}" \
    "$dir/g.rbe" "${args[@]}" --text "$dir/absent.txt"
check 'trains nothing' lacks_steps
: >"$dir/nothing.txt"
check 'an empty one' fails 1 'nothing.txt: no text in it' "${common[@]}" "$dir/g.rbe" "${args[@]}" \
    --text "$dir/nothing.txt"
check 'a second that is there' run "${common[@]}" "$dir/g.rbe" "${args[@]}" --text "$text"
rm -f "$dir/g.rbe"

# A step is of whole sequences (64 tokens): its tokens are those that the row counts, and what has
# no step, or no token to predict, is refused before the training.
steps_of() { # BATCH: a profile of two stages with it
    printf 'loss: ce\nbatch: %s\nstage a epochs=1 scales=1e-3\nstage b epochs=1 plain=1e-3\n' "$1" \
        >"$dir/steps.profile"
}
steps=("${common[@]}" "$dir/g.rbe" --profile "$dir/steps.profile" --text "$text" --valid "$text")
row_says() { # TOKENS END...: that the last row trained, by its tokens and those of its stages
    test "$(tail -n 1 "$dir/r.jsonl" | jq -c '[.tokens, .points[-1].tokens, .stages[].end_tokens]')" = \
        "[$1,$1,$2,$3]"
}
steps_of 100
check 'a batch of one sequence and a half' run "${steps[@]}" --tokens 1280 --out-json "$dir/r.jsonl"
check 'is said' grep -q '^batch: 100 tokens are no whole number of sequences of 64: a step has 64$' \
    "$dir/out"
check 'the row says what was trained' row_says 1280 640 1280
mv "$dir/g.rbe" "$dir/rounded.rbe"
check 'stopped in the middle' fails 1 '--resume goes on' "${steps[@]}" --tokens 1280 --checkpoint "$dir/ck" \
    --stop-after 13
check 'it goes on' run "${steps[@]}" --tokens 1280 --checkpoint "$dir/ck" --resume
check 'to the same bytes' cmp "$dir/g.rbe" "$dir/rounded.rbe"
steps_of 64
check 'a batch of one sequence' run "${steps[@]}" --tokens 1280 --out-json "$dir/r.jsonl"
check 'is the same' cmp "$dir/g.rbe" "$dir/rounded.rbe"
check 'and not said' lacks_line '^batch:'
steps_of 48
check 'a batch of less than one' run "${steps[@]}" --tokens 960 --out-json "$dir/r.jsonl"
check 'is of one that is shorter' row_says 960 480 960
rm "$dir/g.rbe"
steps_of 4160
check 'a step of more than all tokens' fails 2 \
    'a step has 4160 tokens (batch), the whole training 4096 (--tokens)' "${steps[@]}" --tokens 4096
steps_of 1e7
check 'of many more' fails 2 'a step has 10000000 tokens (batch)' "${steps[@]}" --tokens 4096
check 'or than all minutes' fails 2 'longer than --minutes 0.001' "${steps[@]}" --minutes 1e-3
steps_of 4096
check 'one of as many' run "${steps[@]}" --tokens 4096
rm "$dir/g.rbe"
steps_of 1
check 'a batch of one token' fails 2 "none to predict: the profile's batch is 1" "${steps[@]}" \
    --tokens 64
check 'a context of one' fails 2 "--context: '1' is out of range" "${steps[@]}" --context 1
steps_of 2
check 'of two' run "${steps[@]}" --tokens 8 --context 2
rm "$dir/g.rbe"
steps_of 256
sed -i '/^batch/p' "$dir/steps.profile"
check 'a batch twice' fails 2 "steps.profile:3: 'batch:' is given twice" "${steps[@]}"

# Training helps: cross entropy of a model of random weights falls.
cat >"$dir/ce.profile" <<'END'
name: ce
loss: ce
batch: 256
stage all epochs=1 scales=5e-2 plain=1
END
run "${common[@]}" "$dir/c.rbe" --profile "$dir/ce.profile" --tokens 5120 --text "$text" \
    --valid "$text"
read -r before after < <(sed -n 's/^validation perplexity \([0-9.]*\) -> \([0-9.]*\).*/\1 \2/p' \
    "$dir/out")
check 'cross entropy falls' awk "BEGIN { exit !(${after:-1e9} < 0.9 * ${before:-0}) }"

# Stopped in every stage, then going on: the same file as in one go.
cut=("${common[@]}" "$dir/d.rbe" "${args[@]}" --checkpoint "$dir/ck")
for at in 3 7 14 17; do
    rm -f "$dir/d.rbe"
    check "stopped after $at steps" fails 1 '--resume goes on' "${cut[@]}" --stop-after "$at"
    check 'no file yet' [ ! -e "$dir/d.rbe" ]
    check 'going on' run "${cut[@]}" --resume
    check "the same bytes ($at)" cmp "$dir/a.rbe" "$dir/d.rbe"
    check 'the checkpoint is gone' [ ! -e "$dir/ck" ]
done

# Killed with no chance to say anything; the checkpoint it left goes on.
rm -f "$dir/d.rbe"
"$rbe" tune "${small[@]}" "${cut[@]}" --every 1e-9 >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 2000); do
    [ -e "$dir/ck" ] && break
    sleep 0.005
done
sleep 0.2
kill -9 $pid
wait $pid 2>/dev/null
check 'a kill leaves no file' [ ! -e "$dir/d.rbe" ]
check 'but a checkpoint' [ -s "$dir/ck" ]
cp "$dir/ck" "$dir/ck2"
check 'going on after a kill' run "${cut[@]}" --resume
check 'the same bytes after a kill' cmp "$dir/a.rbe" "$dir/d.rbe"

# Interrupted wherever it was, in a step or in an evaluation: it stops there, and goes on.
for after in 0.02 0.15 0.4; do
    rm -f "$dir/d.rbe" "$dir/ck"
    "$rbe" tune "${small[@]}" "${cut[@]}" --every 1e-9 >"$dir/out" 2>"$dir/err" &
    pid=$!
    for _ in $(seq 2000); do
        [ -e "$dir/ck" ] && break
        sleep 0.005
    done
    sleep $after
    kill -TERM $pid 2>/dev/null
    wait $pid
    [ -e "$dir/d.rbe" ] || check "going on after a signal ($after)" run "${cut[@]}" --resume
    check "the same bytes after a signal ($after)" cmp "$dir/a.rbe" "$dir/d.rbe"
done

# Text that comes again: the teacher reads it once, of the part that fits; cut into another number
# of sequences than a step has, at a temperature, in stages.  Stopped anywhere it is the same.
head -c 6000 "$text" >"$dir/again.txt"
again=("${common[@]}" "$dir/k.rbe" --profile "$dir/mixed.profile" --tokens 4608 --micro 3
    --text "$dir/again.txt" --valid "$text" --checkpoint "$dir/kk" --out-json "$dir/rk.jsonl")
field() { grep -o "\"$1\":[0-9.]*" "$dir/rk.jsonl" | tail -1 | cut -d: -f2; }
check 'text read again' run "${again[@]}" --teacher-memory 0
cp "$dir/k.rbe" "$dir/k0.rbe"
all=$(field teacher_passes)
check 'by the teacher, too' [ "$all,$(field teacher_memory)" = "$((18 * 4)),0" ]
windows=$(($(sed -n 's/.* \([0-9]*\) of text in .*/\1/p' "$dir/out") / 65 - 1))
check 'several times' [ $((3 * windows)) -lt "$all" ]
for memory in 50 0.1; do
    check "kept predictions, $memory MB" run "${again[@]}" --teacher-memory $memory
    cp "$dir/k.rbe" "$dir/whole.rbe"
    passes=$(field teacher_passes) bytes=$(field teacher_memory)
    # A window may come again within a micro-batch of three.
    if [ $memory = 50 ]; then
        check 'a pass of the teacher' [ $((passes - windows)) -le 2 ]
        check 'and not less' [ "$passes" -ge "$windows" ]
        check 'other bytes than by all of a prediction' \
            [ "$(cmp "$dir/whole.rbe" "$dir/k0.rbe" >/dev/null; echo $?)" = 1 ]
    else
        check 'some of it again' [ "$passes" -gt $((windows + 8)) ]
        check 'not all of it' [ "$passes" -lt "$all" ]
        check 'within the bound' [ "$bytes" -le 100000 ]
    fi
    check 'memory that is told' grep -q '^memory: .* its predictions [0-9]' "$dir/out"
    for at in 3 6 9 14; do
        rm -f "$dir/k.rbe"
        check "kept: stopped after $at steps" fails 1 '--resume goes on' "${again[@]}" \
            --teacher-memory $memory --stop-after "$at"
        check 'kept: going on' run "${again[@]}" --teacher-memory $memory --resume
        check "kept: the same bytes ($memory, $at)" cmp "$dir/whole.rbe" "$dir/k.rbe"
        check 'kept: as many passes' [ "$(field teacher_passes)" = "$passes" ]
    done
done
fails 1 '--resume goes on' "${again[@]}" --teacher-memory 50 --stop-after 9
check 'a checkpoint of what kept more' fails 1 'another run' "${again[@]}" --resume \
    --teacher-memory 0.1
rm -f "$dir/kk"
check 'predictions count as memory' fails 1 'a smaller --teacher-memory' "${again[@]}" --memory 1 \
    --teacher-memory 50
check 'none of cross entropy' run "${again[@]}" --loss ce
check 'no teacher' [ "$(field teacher_passes),$(field teacher_memory)" = 0,0 ]

# Checkpoints that do not fit.
other=("${common[@]}" "$dir/e.rbe" "${args[@]}" --checkpoint "$dir/ck2" --resume)
check 'a checkpoint of another run' fails 1 'another run' "${other[@]}" --seed 3
without=("${small[@]}")
small=("${small[@]:1}")
check 'one with calibration' fails 1 'another run' "${other[@]}"
small=("${without[@]}")
head -c 5000 "$dir/ck2" >"$dir/ck"
check 'half a checkpoint' fails 1 'ends too early' "${cut[@]}" --resume
cp "$dir/ck2" "$dir/ck"
printf 'X' | dd of="$dir/ck" bs=1 seek=90000 conv=notrunc status=none
check 'a damaged checkpoint' fails 1 "$dir/ck" "${cut[@]}" --resume
cp "$text" "$dir/ck"
check 'no checkpoint at all' fails 1 'not a checkpoint' "${cut[@]}" --resume
rm -f "$dir/ck"
check 'a missing checkpoint' fails 1 'No such file' "${cut[@]}" --resume

# What the checkpoint would replace: another's file is refused before the work, and stays; so
# does a checkpoint of another run that this one, too short to write its own, did not touch.
: >"$dir/empty"
for f in "$m" "$text" "$dir/empty"; do
    cp "$f" "$dir/ck"
    check "no checkpoint over $(basename "$f")" fails 2 "$dir/ck: exists and is not a checkpoint" \
        "${cut[@]}"
    check "$(basename "$f") is as it was" cmp "$f" "$dir/ck"
done
cp "$dir/ck2" "$dir/ck"
check 'a run without a checkpoint of its own' run "${common[@]}" "$dir/d.rbe" --profile \
    "$dir/ce.profile" --tokens 512 --text "$text" --valid "$text" --checkpoint "$dir/ck" \
    --every 1000
check 'leaves the one there' cmp "$dir/ck" "$dir/ck2"
rm -f "$dir/ck" "$dir/d.rbe"

# A rate that blows up stops the run, and the last checkpoint is as it was.
sed 's/scales=.*/scales=1000 plain=1000/' "$dir/ce.profile" >"$dir/bad.profile"
cp "$dir/ck2" "$dir/ck"
check 'divergence stops' fails 1 'diverges' "${common[@]}" "$dir/f.rbe" --profile \
    "$dir/bad.profile" --tokens 2560 --text "$text" --valid "$text" --checkpoint "$dir/ck" \
    --every 1000
check 'keeps the checkpoint' cmp "$dir/ck" "$dir/ck2"
check 'writes no file' [ ! -e "$dir/f.rbe" ]

# The control.
check 'the original tuned alike' run --control "$o" "$dir/control" --profile "$dir/ce.profile" \
    --tokens 2560 --text "$text" --valid "$text" --out-json "$dir/r.jsonl"
check 'is a checkpoint' "$rbe" info "$dir/control" >"$dir/out" 2>"$dir/err"
check 'and a row' grep -q '"control":true' "$dir/r.jsonl"
check 'no control by itself as teacher' fails 2 'its own teacher' --control "$o" --profile \
    "$dir/ce.profile" --loss kl --text "$text"

# What does not fit together.
"$rbe" synth --shape 2,32,2,64,8192 --dtype F32 --seed 9 "$dir/twin" >/dev/null 2>&1
"$rbe" synth --shape 1,32,2,64,8192 --dtype F32 "$dir/short" >/dev/null 2>&1
"$rbe" synth --shape 2,32,2,64,500 --dtype F32 "$dir/words" >/dev/null 2>&1
"$rbe" convert -q "$dir/words" "$dir/words.rbe" --codec int4 >/dev/null 2>&1
check 'another original' fails 1 'was not made from' "$dir/twin" "$m" "$dir/g.rbe" "${args[@]}"
check 'another shape' fails 1 'two kinds: n_layer 1 and 2' "$dir/short" "$m" "$dir/g.rbe" "${args[@]}"
"$rbe" synth --shape 2,32,2,32,8192 --dtype F32 "$dir/narrow" >/dev/null 2>&1
"$rbe" convert -q "$dir/narrow" "$dir/narrow.rbe" --codec int4 >/dev/null 2>&1
check 'another context' fails 1 'two kinds: n_.* 64 and 32' "$o" "$dir/narrow.rbe" "$dir/g.rbe" \
    --text "$text" --valid "$text"
check 'another vocabulary' fails 1 'vocabulary of 8192' "$o" "$dir/words.rbe" "$dir/g.rbe" \
    "${args[@]}"
check 'no RBE model' fails 1 'model.safetensors' "$o" "$o/model.safetensors" "$dir/g.rbe" \
    "${args[@]}"
echo 'Too short.' >"$dir/short.txt"
check 'a text too short' fails 2 'too short' "${common[@]}" "$dir/g.rbe" --text "$dir/short.txt"
check 'a validation too short' fails 2 'too short' "${common[@]}" "$dir/g.rbe" --text "$text" \
    --valid "$dir/short.txt"
check 'too little memory' fails 1 'MB are needed' "${common[@]}" "$dir/g.rbe" "${args[@]}" \
    --memory 1
check 'no profile' fails 2 'unknown training profile' "${common[@]}" "$dir/g.rbe" -p nothing
mkdir "$dir/alone"
cp "$rbe" "$dir/alone/rbe"
alone() { (cd "$dir/alone" && gives 1 ./rbe tune -q "${common[@]}" "$dir/g.rbe" "${args[@]:2}"); }
check 'no profiles at all' alone
check 'is said' one_line "'default': the shipped training profiles are not found"
printf 'stage a epochs=1 colour=red\n' >"$dir/x.profile"
check 'a bad profile' fails 2 'x.profile:1:' "${common[@]}" "$dir/g.rbe" -p "$dir/x.profile"
check 'no loss' fails 2 "'huber'" "${common[@]}" "$dir/g.rbe" --loss huber
check 'no layout' fails 2 "'columns'" "${common[@]}" "$dir/g.rbe" --layout columns
check 'too many goals' fails 2 exclude "${common[@]}" "$dir/g.rbe" --tokens 1e6 --minutes 5
check 'no arguments' fails 2 'want ORIGINAL'
check 'nothing was written' [ ! -e "$dir/g.rbe" ]
printf 'stage a epochs=1 matrices=latent average=0.5\n' >"$dir/x.profile"
printf 'stage a epochs=1 share=0.5\n' >"$dir/y.profile"
check 'no share of what stands' fails 2 'share is for' "${common[@]}" "$dir/g.rbe" -p "$dir/y.profile"
check 'no mean of latents' fails 2 'average is for' "${common[@]}" "$dir/g.rbe" -p "$dir/x.profile"

# The pull of the text: the perplexity comes closer to the original's, by a real model.
end_of() { # TEXT=X: the perplexity after a training with it
    printf 'loss: kl\nbatch: 512\nwarmup: 0\nstage s epochs=1 scales=1e-3 plain=1e-3 %s\n' "$1" \
        >"$dir/pull.profile"
    run rbe-mini "$root/datasets/embedded/mini-2.89-tuned.rbe" "$dir/pull.rbe" --profile \
        "$dir/pull.profile" --tokens 4096 --evaluations 0
    sed -n 's/^validation perplexity .* -> \([0-9.]*\),.*/\1/p' "$dir/out"
}
free=$(end_of '') pulled=$(end_of text=20)
check "the pull of the text (${pulled:-none} < ${free:-none})" \
    awk "BEGIN { exit !(${pulled:-1e9} < 0.995 * ${free:-0}) }"

# --- Llama: grouped queries, an output layer of its own, means that the model has alone ----------
l=$dir/llama lm=$dir/l.rbe
"$rbe" synth --arch llama --shape 2,32,4,64,8192,2,48 --dtype F32 "$l" >/dev/null 2>"$dir/err"
sed -i 's/"eos_token_id": 2/"eos_token_id": 8191/' "$l/config.json"
cat >"$dir/l.profile" <<'END'
name: l
other codec=f16
all codec=seed block=48 hadamard=max
wte codec=seed block=56 hadamard=max center=on
END
check 'a small Llama' "$rbe" convert -q "$l" "$lm" --profile "$dir/l.profile" --search fast \
    --no-calibration >/dev/null 2>"$dir/err"
printf 'name: kl\nloss: kl\nschedule: cosine\nbatch: 256\nstage s epochs=1 scales=3e-2 plain=3e-2\n' \
    >"$dir/kl.profile"
kl=(--profile "$dir/kl.profile" --tokens 3840 --text "$text" --valid "$text")
check 'a Llama trains' run "$l" "$lm" "$dir/la.rbe" "${kl[@]}" --out-json "$dir/rl.jsonl"
divergence_falls() { # ROW TO: at the end to less than so many times that of the start
    grep -o '"divergence":[0-9.e-]*' "$1" | cut -d: -f2 |
        awk -v to="$2" 'NR == 1 { first = $1 } { last = $1 }
                        END { exit !(NR > 1 && last > 0 && last < to * first) }'
}
check 'its divergence falls' divergence_falls "$dir/rl.jsonl" 0.98
check 'as many bytes (Llama)' [ "$(size "$dir/la.rbe")" = "$(size "$lm")" ]
check 'no tokenizer beside it' [ ! -e "$dir/la.rbe.tokenizer.gguf" ]

# Encoded group by group, in one go and in pieces.
cat >"$dir/lmixed.profile" <<'END'
name: lmixed
loss: kl
batch: 256
stage encode epochs=1 matrices=progressive order=embedding-first latents=1e-3 scales=1e-3 plain=1e-3 search=fast
stage some epochs=1 matrices=latent latents=1e-2 encode-every=2 share=0.2 search=fast
stage scales epochs=1 scales=1e-2 plain=1e-2 text=20 average=0.5
END
largs=("$l" "$lm" "$dir/lb.rbe" --profile "$dir/lmixed.profile" --tokens 2304 --text "$text"
    --valid "$text")
check 'a Llama encoded again' run "${largs[@]}"
cp "$dir/lb.rbe" "$dir/whole.rbe"
for at in 2 4 8; do
    rm -f "$dir/lb.rbe"
    check "a Llama stopped after $at steps" fails 1 '--resume goes on' "${largs[@]}" \
        --checkpoint "$dir/ck" --stop-after "$at"
    check 'a Llama going on' run "${largs[@]}" --checkpoint "$dir/ck" --resume
    check "the same bytes (Llama, $at)" cmp "$dir/whole.rbe" "$dir/lb.rbe"
done
sed 's/ text=20//' "$dir/lmixed.profile" >"$dir/plain.profile"
check 'without the pull of the text' run "${largs[@]}" --profile "$dir/plain.profile"
check 'other bytes than with it' \
    [ "$(cmp "$dir/whole.rbe" "$dir/lb.rbe" >/dev/null; echo $?)" = 1 ]
sed 's/ share=0.2/ share=0.4/' "$dir/lmixed.profile" >"$dir/plain.profile"
check 'more of the columns' run "${largs[@]}" --profile "$dir/plain.profile"
check 'other bytes by them' \
    [ "$(cmp "$dir/whole.rbe" "$dir/lb.rbe" >/dev/null; echo $?)" = 1 ]
check 'no pull by another loss' fails 2 'text=X is for the loss kl' "${largs[@]}" --loss chapter
# With what a calibration tells of the ranges of a weight.
head -c 6000 "$text" >"$dir/cal.txt"
without=("${small[@]}")
small=("${small[@]:1}")
check 'a Llama encoded by a calibration' run "${largs[@]}" --calibration "$dir/cal.txt"
small=("${without[@]}")
check 'has other codes' [ "$(cmp "$dir/whole.rbe" "$dir/lb.rbe" >/dev/null; echo $?)" = 1 ]
check 'shorter sequences' run "$l" "$lm" "$dir/lc.rbe" "${kl[@]}" --context 16
check 'sequences too long' fails 2 'a context of 64' "$l" "$lm" "$dir/lc.rbe" "${kl[@]}" \
    --context 65
check 'a Llama as control' run --control "$l" "$dir/lcontrol" --profile "$dir/ce.profile" \
    --tokens 512 --text "$text" --valid "$text"
check 'is a Llama' "$rbe" info "$dir/lcontrol" >"$dir/out" 2>"$dir/err"

# From GGUF: the same weights, which are no reason to take another file for the original.
"$rbe" export -q "$l" "$dir/l.gguf" --dtype f32 >/dev/null 2>"$dir/err"
check 'converted from GGUF' "$rbe" convert -q "$dir/l.gguf" "$dir/g.rbe" --profile \
    "$dir/l.profile" --search fast --no-calibration >/dev/null 2>"$dir/err"
check 'trained from GGUF' run "$dir/l.gguf" "$dir/g.rbe" "$dir/ga.rbe" "${kl[@]}" --out-json \
    "$dir/rg.jsonl"
check 'the original in its row' grep -q '"base":{"name":"l.gguf"' "$dir/rg.jsonl"
check 'with its tokenizer' cmp "$dir/g.rbe.tokenizer.gguf" "$dir/ga.rbe.tokenizer.gguf"
# The text of the shipped tokenizer is the file's own.
weights() { tail -c 100000 "$1" | sha256sum; }
check 'to the same codes' [ "$(weights "$dir/ga.rbe")" = "$(weights "$dir/la.rbe")" ]
check 'another file' fails 1 'was not made from' "$l" "$dir/g.rbe" "$dir/g2.rbe" "${kl[@]}"
check 'another architecture' fails 1 'model_type' "$o" "$lm" "$dir/g2.rbe" "${kl[@]}"
cp -r "$l" "$dir/turned"
sed -i 's/"rope_theta": 10000.0/"rope_theta": 500.0/' "$dir/turned/config.json"
check 'other angles' fails 1 'rope_theta 500 and 10000' "$dir/turned" "$lm" "$dir/g2.rbe" \
    "${kl[@]}"
check 'nothing was written (Llama)' [ ! -e "$dir/g2.rbe" ]
check 'the control from GGUF' run --control "$dir/l.gguf" "$dir/gcontrol" --profile \
    "$dir/ce.profile" --tokens 512 --text "$text" --valid "$text"
check 'is the same' cmp "$dir/gcontrol/model.safetensors" "$dir/lcontrol/model.safetensors"
check 'its tokenizer' cmp "$dir/gcontrol.tokenizer.gguf" "$dir/ga.rbe.tokenizer.gguf"
# A damaged one is noticed, so it is read; a folder's own vocabulary comes before it.
echo damaged > "$dir/gcontrol.tokenizer.gguf"
check 'read by a name with a slash' refuses 1 'gcontrol.tokenizer.gguf: ' \
    "$rbe" generate "$dir/gcontrol/" -n 2 -p 'the'
cp "$root"/datasets/embedded/rbe-mini/{vocab.json,merges.txt} "$dir/gcontrol"
check 'not beside a vocabulary' gives 0 "$rbe" generate "$dir/gcontrol" -n 2 -p 'the'
q4=$root/../shared/data/gguf/tiny-q4_1.gguf
if [ -e "$q4" ]; then
    sed 's/3e-2/1e-3/g' "$dir/kl.profile" >"$dir/q.profile"
    "$rbe" convert -q "$q4" "$dir/q.rbe" --profile "$dir/l.profile" --search fast \
        --no-calibration >/dev/null 2>"$dir/err"
    check 'from Q4_1, the output layer tied' run "$q4" "$dir/q.rbe" "$dir/qa.rbe" \
        --profile "$dir/q.profile" --tokens 2048 --text "$text" --valid "$text" --out-json \
        "$dir/rq.jsonl"
    check 'its divergence falls, too' divergence_falls "$dir/rq.jsonl" 0.995
else
    echo 'skipped: shared/data/gguf is not there'
fi

# Every profile that ships runs to its end and says in its row what it was.
for p in "$root"/train/profiles/*.profile; do
    name=$(basename "$p" .profile)
    rm -f "$dir/g.rbe" "$dir/r.jsonl"
    check "$name runs" run "${common[@]}" "$dir/g.rbe" --profile "$name" --tokens 2048 \
        --text "$text" --valid "$text" --out-json "$dir/r.jsonl"
    check "$name keeps the size" [ "$(size "$dir/g.rbe")" = "$(size "$m")" ]
    schedule=$(sed -n 's/^schedule: *//p' "$p")
    check "$name in its row" grep -q "\"profile\":\"$name\".*\"schedule\":\"$schedule\"" \
        "$dir/r.jsonl"
    mechanisms=$(sed -n 's/^stage .*matrices=\([a-z]*\).*/\1/p' "$p")
    check "$name's mechanism" grep -q "\"mechanism\":\"${mechanisms:-coded}\"" "$dir/r.jsonl"
done

# The model that ships after training is one that this program reads.
check 'the shipped model loads' "$rbe" info "$root/datasets/embedded/mini-2.89-tuned.rbe" \
    >"$dir/out" 2>"$dir/err"

finish

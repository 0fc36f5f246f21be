#!/usr/bin/env bash
# tsan.sh - what runs on several threads, under ThreadSanitizer
#
# SPDX-License-Identifier: MIT
#
# Built without oneDNN, whose OpenMP (libgomp) is not instrumented: its barriers are not seen, and
# every product would be a race.  The same products then run through our own kernels and loops.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
arch=$(${CC:-gcc} -dumpmachine)
b=$BUILDROOT/${arch%%-*}-tsan
make -j"$(nproc)" CONFIG=tsan DNNL= programs tests || exit 1
bin=$(cd "$b/bin" && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# A conversation's models live in forked processes with threads of their own.
export TSAN_OPTIONS="halt_on_error=1 exitcode=66 die_after_fork=0 ${TSAN_OPTIONS-}" RBE_BIN=$bin
rbe=$bin/rbe
passed=0 failed=0

clean() { # WHAT COMMAND...: ends well, and nothing was reported
    local what=$1 start=$SECONDS
    shift
    if "$@" > "$work/out" 2>&1 && ! grep -q 'ThreadSanitizer' "$work/out"; then
        passed=$((passed + 1))
        echo "ok   $what ($((SECONDS - start)) s)"
    else
        failed=$((failed + 1))
        echo "FAIL $what"
        grep -A30 -m1 'ThreadSanitizer' "$work/out" || tail -n 5 "$work/out"
    fi
}

# The commands, on a model that takes seconds.
vocab=$(sed -n 's/.*"vocab_size": *\([0-9]*\).*/\1/p' datasets/embedded/rbe-mini/config.json)
m=$work/m
text=$work/text
head -c 3000 datasets/embedded/wiki.test.raw > "$text"
clean 'synth' "$rbe" synth --shape "2,32,2,64,$vocab" "$m"
cp datasets/embedded/rbe-mini/{vocab.json,merges.txt} "$m"
printf 'name: mix\nbudget-bits: 6\nall codec=seed\nmlp.fc codec=int4\nattn.proj codec=hybrid k=4\n%s' \
    'mlp.proj codec=packed128 block=16
' > "$work/mix.profile"
clean 'convert, 3 threads' "$rbe" convert "$m" "$work/m.rbe" --profile "$work/mix.profile" -q -t 3 \
    --calibration "$text" --search fast
clean 'generate, 3 threads' "$rbe" generate "$work/m.rbe" --tokenizer "$m" -p 'The man' -n 8 -t 3
eval=(--tokenizer "$m" -q -t 3)
two=(-m "$m" -m "$work/m.rbe" "${eval[@]}")
clean 'perplexity, 3 lanes' "$rbe" eval perplexity "${two[@]}" --text "$text" --resamples 100 \
    --protocol P1,P3
clean 'divergence, 3 lanes' "$rbe" eval divergence "${two[@]}" --text "$text"
printf '{"text":"He took the cup and drank the %s"}\n' tea milk water wine > "$work/l.jsonl"
clean 'comprehension, 3 lanes' "$rbe" eval comprehension "${two[@]}" "lambada=$work/l.jsonl"
clean 'generation, 3 lanes' "$rbe" eval generation "${two[@]}" --text "$text" --prompts 4 --tokens 6 \
    --prompt 6
printf 'hi\nno\n' > "$work/script"
clean 'conversation' "$rbe" eval conversation "${two[@]}" --script "$work/script" --max-tokens 4 \
    --min-tokens 2
talk() { printf 'hi\n/quit\n' | "$rbe" chat -m "$work/m.rbe" --tokenizer "$m" -t 2 --max-tokens 4; }
clean 'chat, 2 threads' talk
printf 'name: both\nbatch: 128\nstage latent epochs=1 matrices=latent latents=1e-3 scales=1e-3 %s\n%s\n' \
    'plain=1e-3 search=fast' 'stage scales epochs=1 scales=1e-2 plain=1e-2' > "$work/both.profile"
clean 'tune, 3 threads' "$rbe" tune "$m" "$work/m.rbe" "$work/t.rbe" --profile "$work/both.profile" \
    --tokens 512 --text "$text" --valid "$text" --valid-windows 2 --evaluations 1 --micro 2 -q -t 3 \
    --no-calibration --checkpoint "$work/state"
clean 'synth of 64' "$rbe" synth --shape 1,64,2,16,300 "$work/wide"
clean 'codecs, 2 threads' "$rbe" codecs "$work/wide" --sample 1 --ratios 8 -q -t 2

# Tests that open a pool; what calibrates, talks and trains is above: check_calibrate,
# check_conversation and check_grad would take many minutes each.
for t in base/test/check_threads base/test/check_progress rbe/test/check_feedback \
    rbe/test/check_encode_block rbe/test/check_refit eval/test/check_chat convert/test/check_half \
    train/test/check_student; do
    clean "$t" "$b/$t"
done

echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 15 ]

#!/usr/bin/env bash
# check_files.sh - no output goes over an input; odd names and closed descriptors cost no row.
#
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/../.." || exit 1
. test/lib.sh
bin=$(cd "${RBE_BIN:?folder of the programs}" && pwd) || exit 1
rbe=$bin/rbe
bench=$bin/rbe-bench
export LC_ALL=C
ships=$PWD/datasets/embedded

# refused COMMAND...: one line says which input it is, and no file of $work/m has changed.
refused() {
    gives 2 "$@" && one_line 'cannot write: it is the same file as' &&
        (cd "$work" && sha256sum -c --quiet sums) > "$work/out" 2>&1
}
# row KEY FILE: its text in the last row.
row() { tail -n 1 "$2" | grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }

# A model of two layers, its RBE model, a text, and other names for them.
"$rbe" synth "$work/m" --shape 2,32,2,64,8192 > "$work/out" &&
    cp "$ships/rbe-mini/"{vocab.json,merges.txt} "$work/m/" &&
    head -c 20000 "$ships/wiki.valid.raw" > "$work/m/text" &&
    "$rbe" convert "$work/m" "$work/m/a.rbe" -q --codec int8 --no-calibration > "$work/out" ||
    { echo 'FAIL no model to try with' && exit 1; }
cp convert/profiles/int4.profile "$work/m/p.profile"
m=$work/m pair=(--model "$work/m" --model "$work/m/a.rbe")
whole=("$rbe" eval perplexity --model "$m" --text "$m/text" --context 16 -q)
perplexity=("${whole[@]}" --windows 1)
ln "$m/model.safetensors" "$work/hard"
ln -s m/model.safetensors "$work/soft"
ln -s m "$work/folder"
for part in 1 2; do
    "${whole[@]}" --shard $part/2 --out "$m/part$part" > "$work/out"
done
ln "$m/part1" "$work/part"
"$rbe" eval divergence "${pair[@]}" --text "$m/text" --windows 1 -q --record "$m/record" \
    > "$work/out" 2>&1 || { echo 'FAIL no recording'; cat "$work/out"; }
(cd "$work" && sha256sum m/* > sums)

# --- outputs and inputs -------------------------------------------------------------------
convert=("$rbe" convert "$m")
check 'convert without a name' refuses 2 "'': cannot write: a file needs a name" "${convert[@]}" '' -p int8
check 'rows without a name' refuses 2 "'': cannot write: a file needs a name" "${perplexity[@]}" --out ''
check 'convert over its checkpoint' refused "${convert[@]}" "$m/model.safetensors" -p int8
check 'by a hard link' refused "${convert[@]}" "$work/hard" -p int8
check 'by a symbolic link' refused "${convert[@]}" "$work/soft" -p int8
check 'by a linked folder' refused "${convert[@]}" "$work/folder/model.safetensors" -p int8
check 'by another way there' refused "${convert[@]}" "$m/../m/model.safetensors" -p int8
check 'over the configuration' refused "${convert[@]}" "$m/config.json" -p int8
check 'of a file: over what stands beside' refused "$rbe" convert "$m/model.safetensors" \
    "$m/vocab.json" -p int8
check 'over the profile' refused "${convert[@]}" "$m/p.profile" -p "$m/p.profile"
check 'over the calibration text' refused "${convert[@]}" "$m/text" --calibration "$m/text"
check 'rows over the model' refused "${convert[@]}" "$work/new.rbe" -p int8 --json "$work/hard"
check 'rows and model in one' refused "${convert[@]}" "$work/new" -p int8 --json "$work/../${work##*/}/new"
check 'nothing new was made' test ! -e "$work/new" -a ! -e "$work/new.rbe"
check 'no place is known before the work' gives 1 "$rbe" convert "$m" "$work/no/x.rbe"
check 'not after a calibration' test "$(grep -c calibrated "$work/out")" = 0
echo > "$work/y.partial"
check 'nor for what is kept' gives 1 "${convert[@]}" "$work/y" -p int8
check 'says so' one_line 'y.partial: cannot be a folder'
check 'over an older result' gives 0 "${convert[@]}" "$m/a.rbe" -p int8 --no-calibration
# What would be read as a part of a model, there or not.
hides() { gives 2 "$@" && one_line 'would be read as a part of the model in'; }
for name in added_tokens.json tokenizer.json model.safetensors.index.json; do
    check "convert to a new $name" hides "${convert[@]}" "$m/$name" -p int8
    check "export to a new $name" hides "$rbe" export "$m" "$m/$name" --format gguf
done
check 'rows to one' hides "${perplexity[@]}" --out "$m/tokenizer_config.json"
mkdir "$work/shards" && cp "$m/config.json" "$work/shards/" && (cd "$work/shards" &&
    echo > model.safetensors.index.json)
check 'convert beside shards' hides "${convert[@]}" "$work/shards/model.safetensors" -p int8
check 'export beside shards' hides "$rbe" export "$m" "$work/shards/model.safetensors/"
check 'tune beside shards' hides "$rbe" tune "$m" "$m/a.rbe" "$work/shards/model.safetensors"
check 'none was made' test ! -e "$work/shards/model.safetensors" -a ! -e "$m/tokenizer.json"
check 'codecs' refused "$rbe" codecs "$m" --json "$m/model.safetensors"
check 'tune over its model' refused "$rbe" tune "$m" "$m/a.rbe" "$m/a.rbe"
check 'tune over the original' refused "$rbe" tune "$m" "$m/a.rbe" "$work/hard"
check 'tune over its text' refused "$rbe" tune "$m" "$m/a.rbe" "$work/t" --text "$m/text" \
    --checkpoint "$m/text"
check 'tune --control' gives 2 "$rbe" tune --control "$m" "$work/folder"
check 'says so' one_line 'model.safetensors: was not made by rbe tune --control'
check 'eval over a model' refused "${perplexity[@]}" --out "$work/hard"
check 'eval over a text' refused "${perplexity[@]}" --out "$m/text"
check 'eval over a tokenizer' refused "${perplexity[@]}" --tokenizer "$m" --out "$m/vocab.json"
check 'a recording over a model' refused "$rbe" eval divergence "${pair[@]}" --text "$m/text" \
    --record "$m/a.rbe"
divergence=("$rbe" eval divergence "${pair[@]}" --text "$m/text" --windows 1 -q)
check 'rows and a recording in one' refused "${divergence[@]}" --record "$work/one" -o "$work/one"
check 'by another name' refused "${divergence[@]}" --record "$work/one" -o "$work/./one"
check 'neither was made' test ! -e "$work/one"
check 'rows over a recording' refused "$rbe" eval divergence "${pair[@]}" --text "$m/text" \
    --recorded "$m/record" --out "$m/record"
check 'rows over a script' refused "$rbe" eval conversation --model "$m" --script "$m/text" \
    --out "$m/text"
check 'rows over items' refused "$rbe" eval comprehension --model "$m" --out "$m/text" \
    lambada="$m/text"
check 'merge over a part' refused "$rbe" merge --out "$work/part" "$m/part1" "$m/part2"
check 'compare' refused "$rbe" compare "$m/part1" "$m/part2" --append "$work/part"
check 'gate: one file for two' refused "$rbe" gate --base true --new true \
    --markdown "$work/g" --append "$work/g"
mkdir -p "$work/r" && cp "$m/part1" "$work/r/a.jsonl" && mkdir "$work/page" &&
    ln "$work/r/a.jsonl" "$work/page/report.md" && touch "$work/page/index.html"
check 'report over a result' refused "$rbe" report "$work/r" --out "$work/page"
mkdir "$work/u" && ln -s "$ships/rbe-mini/model.safetensors" "$work/u/"
check 'synth over a trained model' gives 2 "$rbe" synth "$work/u" --shape 1,32,1,16,64
check 'says so' one_line 'was not made by rbe synth'
# Nor over the configuration of a model in other files, nor beside them.
other() { # FILE...: a folder that holds these, which synth leaves as it is
    rm -rf "$work/o" && mkdir "$work/o" && (cd "$work/o" && for f; do echo "$f" > "$f"; done)
    gives 2 "$rbe" synth "$work/o" --shape 1,32,1,16,64 && one_line 'was not made by rbe synth' &&
        [ "$(cd "$work/o" && cat ./* | sort)" = "$(printf '%s\n' "$@" | sort)" ]
}
check 'over a configuration alone' other config.json
check 'of a GGUF file' other config.json m.gguf
check 'of an older file' other config.json pytorch_model.bin
check 'of shards' other config.json model.safetensors.index.json model-00001-of-00002.safetensors
check 'beside shards' other model-00001-of-00002.safetensors
check 'synth over its own' gives 0 "$rbe" synth "$work/s" --shape 1,32,1,16,64
check 'again' gives 0 "$rbe" synth "$work/s" --shape 1,32,1,16,64
echo '{"benchmarks": []}' > "$work/bench.json"
check 'rbe-bench over what it reads' gives 2 "$bench" --summarise "$work/bench.json" \
    --tsv "$work/bench.json"
check 'rbe-bench: one file for two' gives 2 "$bench" --tsv "$work/x" --svg "$work/x"
check 'made nothing' test ! -e "$work/x"
check 'a device may be anything' gives 0 "${perplexity[@]}" --out /dev/null

# --- standard descriptors -----------------------------------------------------------------
closed() { "$@" <&- >&- 2> "$work/err"; }
closed "${perplexity[@]}" --out "$work/closed"
check 'a closed output is said' one_line 'standard output'
check 'and is not the file of rows' test "$(cut -c 1-10 "$work/closed" | sort -u)" = '{"schema":'
"${whole[@]}" --out "$work/closed2" 2>&- > "$work/out"
check 'closed errors neither' test "$(cut -c 1-10 "$work/closed2" | sort -u)" = '{"schema":'
# full COMMAND...: a full disk is said, once, and is exit status 1.
full() {
    "$@" > /dev/full 2> "$work/err"
    [ $? = 1 ] && one_line 'standard output'
}
check 'a full disk: info' full "$rbe" info "$m"
check 'info --json' full "$rbe" info "$m" --json
check 'help' full "$rbe" eval --help
check 'version' full "$rbe" --version
check 'man' full "$rbe" man convert
check 'generate' full "$rbe" generate "$m" -n 2
check 'convert' full "${convert[@]}" "$work/full.rbe" -q -p int8 --no-calibration
check 'convert --plan' full "${convert[@]}" --plan -p int8
check 'eval' full "${perplexity[@]}"
check 'codecs' full "$rbe" codecs -q --white 64x64 --search fast
check 'fetch' full "$rbe" fetch --list
check 'compare' full "$rbe" compare "$m/part1" "$m/part1"
check 'report' full "$rbe" report "$work/r"
check 'rbe-bench' full "$bench" --help
# A reader that has gone: the rows are kept.
"${perplexity[@]}" --out "$work/gone" 2> "$work/err" | head -c 0
check 'a closed pipe keeps the rows' test -s "$work/gone"

# --- a file that may not grow, and what a failure leaves -------------------------------------
# limited BLOCKS COMMAND...: files end at so many KiB: one line, and nothing is left.
limited() {
    local blocks=$1 before after
    before=$(find "$work" | sort)
    (ulimit -f "$blocks" && "${@:2}" > /dev/null 2> "$work/err")
    [ $? = 1 ] && one_line 'File too large\|disk full' && after=$(find "$work" | sort) &&
        [ "$before" = "$after" ]
}
check 'a limit: convert' limited 64 "${convert[@]}" "$work/big.rbe" -q -p f32 --no-calibration
check 'synth' limited 64 "$rbe" synth "$work/new/deep" --shape 2,32,2,64,8192
check 'export to a folder' limited 64 "$rbe" export "$m" "$work/out.d" -q
check 'export to a file' limited 64 "$rbe" export "$m" "$work/out.gguf" -q
check 'a recording' limited 64 "${divergence[@]}" --record "$work/big.record"
check 'rows' limited 1 "${perplexity[@]}" --out "$work/newer/rows"
check 'a page' limited 1 "$rbe" report "$work/r" --out "$work/page3"
check 'rbe-bench' limited 1 "$bench" --tsv "$work/x.tsv" --kernels gemv_int8_scalar --quiet \
    --shapes 64x64 --kinds product --threads 1 --min-time 0.001 --probe-time 0.001 \
    --set-limit 8 --benchmark_repetitions=1
timeout --foreground -s INT 0.5 "$rbe" synth "$work/late/er" --shape 24,1024,16,1024,50257 > /dev/null 2>&1
check 'an interrupted synth leaves no folder' test ! -e "$work/late"

# Whatever the umask says, the owner can read and write what he made.
(umask 0777; "$rbe" convert "$m" "$work/masked.rbe" -q -p int8 --no-calibration --json \
    "$work/masked.jsonl" > /dev/null && "$rbe" export "$m" "$work/masked.d" -q > /dev/null)
check 'a mask that hides all' test "$(stat -c %a "$work/masked.rbe" "$work/masked.jsonl" \
    "$work/masked.d" "$work/masked.d/config.json" | xargs)" = '600 600 700 600'

# --- names --------------------------------------------------------------------------------
# Accents in Latin-1, which is no UTF-8.
t=$work/$(printf 'caf\351 \\x41') n=$work/$(printf 'na\357f')
cp -r "$m" "$n" && cp "$m/text" "$t" && cp "$m/p.profile" "$n/$(printf 'p\351').profile"
check 'info of such a folder' gives 0 "$rbe" info "$n" --json
check 'names it' grep -qF '/na\\xEFf/model.safetensors"' "$work/out"
check 'eval of such names' gives 0 "${perplexity[@]}" --model "$n" --text "$t" \
    --out "$work/odd"
check 'the text, so that it can be had back' test "$(grep -c \
    'caf\\\\xE9 \\\\x5Cx41' "$work/odd")" -ge 2
check 'the model' grep -qF '"name":"na\\xEFf"' "$work/odd"
check 'the command, as a shell takes it' grep -qF -- "/caf\\\\xE9 \\\\x5Cx41' --out" "$work/odd"
check 'convert by such a profile' gives 0 "${convert[@]}" "$n/x.rbe" --no-calibration \
    -p "$n/$(printf 'p\351').profile" --json "$work/odd.json"
check 'all of it is JSON' gives 0 "$rbe" report "$work/r" --out "$work/page2"
cp "$work/odd" "$work/r/$(printf 'r\351').jsonl"
check 'a page of such files' gives 0 "$rbe" report "$work/r" --out "$work/page2"
check 'is UTF-8' iconv -f UTF-8 -t UTF-8 -o /dev/null "$work/page2/index.html"
check 'and report.md' iconv -f UTF-8 -t UTF-8 -o /dev/null "$work/page2/report.md"
(cd "$m" && "$rbe" eval perplexity --model . --text text --context 16 --windows 1 -q \
    --out "$work/dot") > "$work/out" 2> "$work/err"
check 'a model named . has its folder'"'"'s name' test "$(row name "$work/dot")" = m
mkdir "$n/bin" && cp "$bench" "$n/bin/"
check 'rbe-bench in such a folder' gives 0 "$n/bin/rbe-bench" --quiet --kernels gemv_int8_scalar \
    --shapes 64x64 --kinds product --threads 1 --min-time 0.001 --probe-time 0.001 \
    --set-limit 8 --benchmark_repetitions=1 --out "$work/odd.bench.json"
check 'says where it stood' grep -q 'na\\\\xEFf/bin/rbe-bench"' "$work/odd.bench.json"
long=$work/$(printf '%0250d' 0)
check 'a name of 250 characters' gives 0 "${perplexity[@]}" --out "$long"
mkdir "$long.d" 2> /dev/null
deep=$work/$(printf '%0240d' 1)/$(printf '%0240d' 2)/$(printf '%0240d' 3)
mkdir -p "$deep" && cp -r "$m" "$deep/model"
check 'a path of 700' gives 0 "$rbe" convert "$deep/model" "$deep/o.rbe" -q -p int8 \
    --no-calibration --json "$work/deep"
check 'its model by name' grep -qF '"base":{"name":"model",' "$work/deep"
check 'the whole command' grep -qF -- '--no-calibration --json ' "$work/deep"
finish

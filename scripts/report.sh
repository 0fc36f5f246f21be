#!/usr/bin/env bash
# report.sh - from a checkpoint to the page: convert, measure, judge
#
# SPDX-License-Identifier: MIT
#
# `make report` calls it in the source tree; installed it is rbe-measure, and works in the
# current folder.  Environment (make passes its variables on):
#   RBE_BIN   folder with the programs (default: the release build, or this script's folder)
#   RESULTS   where rows, models, logs and the page go (default: results)
#   MODEL     what to measure, GPT-2 or Llama: a folder, a safetensors or a GGUF file (default:
#             the embedded rbe-mini, then what make fetch brought, each judged beside it)
#   PROFILE   of the model that is judged (default: by architecture and size)
#   RIVALS    files of the same model by other programs (GGUF), compared with it in the same runs
#   FETCHED   folder of make fetch (default: data); REAL=no leaves out the models in it, which
#             take an hour and more each
#   CONTEXT   tokens of a window (default: the model's context, 512 where that is above 1024)
#   WINDOWS   windows of the subset that the curve is measured on (default: 60)
#   BLIMP_ITEMS   pairs of sentences of each paradigm of BLiMP, where make fetch brought it
#             (default: 10; 0: all 1000)
#   THREADS   (default: all CPUs)
#   ARM=no    leave out the emulated ARM program, whose cross build takes a minute
#   BENCH=no  leave out the kernels
#   SHAPE     of generated weights that are timed too, as rbe synth --size takes it (default: 124M,
#             GPT-2 small's shape; no: none); only without MODEL
#   CONVERT=yes  convert by the profile of the judged model also where one that was trained
#             after encoding ships, which is judged in its place: minutes more
#   QUICK=1   few windows, few models: a rehearsal, labelled as such by its rows
# The criteria that are known after the first steps are printed then; the page comes at the end.
# What was converted by the same program before is not converted again.  A step that fails is
# a row of steps.jsonl; the criteria it was for read NOT MEASURED, and the exit status is 1.
set -u
case ${1:-} in
-h | --help)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" | sed '/^SPDX/,/^$/d'
    exit 0
    ;;
?*)
    echo "${0##*/}: unexpected argument '$1'; --help says what it takes" >&2
    exit 2
    ;;
esac
above=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd) || exit 1
data=$above/share/rbe-bench bin=${RBE_BIN:-$above/bin}
recorded=$data/recorded
if [ -f "$above/Makefile" ]; then
    cd "$above" || exit 1
    data=datasets/embedded recorded=reports/recorded
    bin=${RBE_BIN:-build/$(gcc -dumpmachine | cut -d- -f1)-release/bin}
fi
results=${RESULTS:-results}
threads=${THREADS:-$(nproc)}
windows=${WINDOWS:-60}
quick=${QUICK:-}
fetched=${FETCHED:-data}
# The curve by B is encoded with the fast search and without calibration, all points alike;
# the judged model with all that the encoder has.
effort=()
# What a user would take instead.
plain=(f16 int8 int4)
[ -z "$quick" ] || windows=4 effort=(--search fast --no-calibration)

export PATH=$bin:$PATH
command -v rbe > /dev/null || { echo "${0##*/}: no rbe in $bin; run make" >&2; exit 1; }
logs=$results/logs
mkdir -p "$results/models" "$logs" "$results/recorded" || exit 1
began=$SECONDS failed=0 judged_first=''

# A text fit to stand in a JSON string.
plain_text() { tr -d '\000-\037\042\134\177' | LC_ALL=C tr -d '\200-\377' | cut -c 1-300; }

# CPU seconds of all processes that have ended.
cpu_seconds() {
    times > "$logs/times"
    awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); sum += 60 * t[1] + t[2] }
                   printf "%.2f", sum }' "$logs/times"
}

# step NAME CRITERIA COMMAND...: runs it, its output in a log, and records how it went.  $of, of
# steps of one name, is what this one is for.
step() {
    local name=$1 criteria=$2 start=$SECONDS ok=true reason='' word=ok log=$1${of:+-$of} cpu
    shift 2
    cpu_seconds > "$logs/before"
    printf '%4d s  %-28s ' $((SECONDS - began)) "$log"
    "$@" > "$logs/$log.log" 2>&1 < /dev/null
    local rc=$?
    if [ $rc != 0 ]; then
        ok=false word=skipped
        [ $rc = 77 ] || { word=FAILED && failed=$((failed + 1)); }
        reason=$(grep -v '^[[:blank:]]*$' "$logs/$log.log" | tail -n 1 | plain_text)
    fi
    cpu_seconds > "$logs/after"
    cpu=$(awk 'NR == 1 { x = $1 } END { printf "%.2f", $1 - x }' "$logs/before" "$logs/after")
    printf '%s, %d s%s\n' "$word" $((SECONDS - start)) "${reason:+: $reason}"
    {
        printf '{"schema":"rbe-result-1","kind":"step","time_utc":"%s","command":"%s",' \
            "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(echo "$*" | plain_text)"
        printf '"step":"%s","of":"%s","ok":%s,"seconds":%d,"cpu_seconds":%s,' \
            "$name" "${of-}" $ok $((SECONDS - start)) "$cpu"
        printf '"criteria":[%s],"reason":"%s"}\n' \
            "$(echo "$criteria" | sed 's/[^ ][^ ]*/"&"/g; s/ /,/g')" "$reason"
    } >> "$results/steps.jsonl"
    [ $ok = true ]
}

# convert PROFILE CRITERIA [OPTION...]: $model into $models/PROFILE.rbe, unless that is there and
# newer than the program that would write it, and than the model.
convert() {
    local name=$1 criteria=$2 out=$models/$1.rbe rows=$results/convert-${tag:+$tag-}$1.jsonl
    shift 2
    if [ "$out" -nt "$bin/rbe" ] && [ "$out" -nt "$model" ] && [ -s "$rows" ]; then
        printf '%4d s  %-28s there already\n' $((SECONDS - began)) "convert-${tag:+$tag-}$name"
        return
    fi
    rm -f "$rows"
    of=${tag:+$tag-}$name step convert "$criteria" rbe convert "$model" "$out" \
        --profile "$name" --threads "$threads" --json "$rows" "$@" || rm -f "$rows" "$out"
}

rm -f "$results"/{steps,first,perplexity,curve,divergence,inference,edge,arm,projection}.jsonl \
    "$results"/{conversation,generation,comprehension,recovery}.jsonl \
    "$results"/{bench,contents}*.json* "$results"/convert-shape.jsonl "$results"/recorded/*

# fact KEY: a number or word that `rbe info --json` has under it; of a GGUF file from the metadata
# whose key ends so.
fact() {
    tr -d ' \n' < "$logs/info.json" | grep -o "\"$1\":[^,]*" | head -n 1 | cut -d: -f2 | tr -d '"'
}
metadata() {
    tr -d ' \n' < "$logs/info.json" |
        grep -o "\"key\":\"[a-z0-9.]*$1\",\"type\":\"[a-z0-9]*\",\"values\":\[[^]]*" |
        head -n 1 | sed 's/.*\[//' | tr -d '"'
}

# Sets what follows from the architecture and size of $model: profile, curve, schedules, context.
look_at_model() {
    local arch parameters longest
    rbe info --json "$model" > "$logs/info.json" || return
    arch=$(fact architecture) parameters=$(fact parameters) longest=$(fact n_ctx)
    [ -n "$arch" ] || arch=$(metadata general.architecture)
    [ -n "$longest" ] || longest=$(metadata context_length)
    curve=(seed-b32 seed-b44 seed-b56) also=() schedules=()
    case $arch in
    gpt2)
        profile=mini-2.89 schedules=(chapter-8.3.1 chapter-8.3.2)
        [ "${parameters:-0}" -lt 124439808 ] || profile=gpt2-2.89
        [ "$parameters" != 124439808 ] || profile=mobile-45mb
        ;;
    *) profile=smol-2.89 also=(smol-4.0) ;;
    esac
    # One B for all takes the time of a whole conversion, and is no choice.
    [ "${parameters:-0}" -lt 50000000 ] || curve=(seed-b44)
    [ -z "$quick" ] || curve=(seed-b44) schedules=() also=()
    profile=${PROFILE:-$profile}
    n_ctx=${longest:-0} large=$([ "${parameters:-0}" -lt 50000000 ] || echo yes)
    context=${CONTEXT:-$([ "$n_ctx" -le 1024 ] || echo 512)}
}

# The criteria by what was measured until now; the page is made anew at the end.
known_so_far() {
    echo
    echo "After $((SECONDS - began)) s; what is not measured yet follows:"
    rbe report "$results" --out "$results/report" || failed=$((failed + 1))
    echo
}

# comprehension QUICK ITEMS TASK PATH: of the items of each file the first so many, 0: all.
comprehension() {
    local items=${1:-$2} limit=() run=(rbe eval comprehension "${pair[@]}" "${common[@]}")
    [ "$items" = 0 ] || limit=(--limit "$items")
    [ -e "$4" ] || run=(not_here "$3")
    of=${tag:+$tag-}$3 step comprehension '' "${run[@]}" "${limit[@]}" \
        --out "$results/comprehension.jsonl" "$3=$4"
}
not_here() { echo "the data are not here: rbe fetch $1 brings them"; return 77; }
# The folder of its files, where it was fetched, unpacked by others or here.
unpack_blimp() {
    local to=$fetched/blimp/data
    [ -d "$to" ] && { echo "$to"; return; }
    to=$results/data/blimp
    mkdir -p "$results/data" &&
        unzip -qjn "$fetched/blimp/BLiMP.zip" 'data/*.jsonl' -d "$to" > "$logs/unpack.log" 2>&1
    echo "$to"
}

contents() { rbe info --json "$1" > "$2.new" && mv "$2.new" "$2"; }
# inference LAUNCHES OPTION...: one run for each number of threads; the models take turns in it, in
# several launches.
inference() {
    local t last=0 how launches=$1 deepest=full
    shift
    # A context of thousands of tokens takes minutes to fill: as deep as GPT-2's, then.
    [ "$n_ctx" -le 1024 ] || deepest=960
    [ -z "$quick" ] || launches=2
    for t in 1 2 "$threads"; do
        { [ "$t" -le "$threads" ] && [ "$t" -gt "$last" ]; } || continue
        last=$t
        # Memory, and long contexts, with the most threads only, whose rows are the last.
        how=(--no-child --depths "$([ "$launches" -lt 3 ] && echo 128 || echo '0,128')")
        [ "$t" != "$threads" ] || how=(--depths "0,128,256,$deepest")
        [ "$n_ctx" -gt 272 ] || how=(--depths 128)
        rbe eval inference "$@" --threads "$t" --launches $launches "${how[@]}" || return
    done
}
# edge ORIGINAL ENCODED OPTION...: both under the limit; and how the memory of the encoded one
# grows with the context.
edge() {
    local original=$1 encoded=$2 longest_text=$(((n_ctx > 1024 ? 1024 : n_ctx) - 1))
    shift 2
    [ -z "$quick" ] || longest_text=64
    [ "$n_ctx" -gt 256 ] || { echo "a context of $n_ctx tokens: too short for 256"; return 77; }
    rbe eval edge --model "$encoded" --tokens 16 "$@" &&
        rbe eval edge --model "$encoded" --tokens "$longest_text" "$@" || return
    rbe eval edge --model "$original" --model "$encoded" "$@"
}
arm_here() {
    [ "${ARM:-}" != no ] || { echo 'left out by ARM=no'; return 77; }
    [ -f scripts/arm.sh ] || { echo 'the ARM program is built from the source tree'; return 77; }
}
arm() {
    arm_here || return
    [ -z "$large" ] || { echo 'too large for an emulator'; return 77; }
    scripts/arm.sh "$@"
}
# A few tokens by one thread, for which GPT-2 small's shape is not too large.
projection() {
    arm_here || return
    scripts/arm.sh --count "$@"
}

# measure MODEL TAG [RIVAL...]: all that is measured of one; TAG tells its files and steps from
# those of others, and is empty for the first.
measure() {
    local model=$1 tag=$2 of=$2 models=$results/models${2:+/$2} judged tuned p profile n_ctx large
    local curve also schedules context
    shift 2
    mkdir -p "$models" || return
    # What was converted from another model is none of this one's.
    if [ "$(cat "$models/of" 2> /dev/null)" != "$(realpath "$model")" ]; then
        rm -f "$models"/*.rbe "$results/convert-${tag:+$tag-}"*.jsonl
        realpath "$model" > "$models/of"
    fi
    step look '' look_at_model || return
    # Where a model after recovery training ships (docs/log/TUNING.md), that one is judged, and its
    # curve shown; a conversion that nothing is judged by is left out.
    judged=$models/$profile.rbe
    tuned=$data/$profile-tuned.rbe
    if [ -z "$quick" ] && [ "$model" = "$data/rbe-mini" ] && [ -f "$tuned" ]; then
        judged=$tuned
        cp "${tuned%.rbe}.jsonl" "$results/recorded/recovery.jsonl" || failed=$((failed + 1))
    fi
    if [ "$judged" != "$tuned" ] || [ "${CONVERT:-}" = yes ]; then
        convert "$profile" 'C1 C10' "${effort[@]}"
    else
        rm -f "$models/$profile.rbe" "$results/convert-${tag:+$tag-}$profile.jsonl"
    fi
    for p in "${plain[@]}"; do convert "$p" ''; done
    # What its file holds: a shipped model has no conversion of this run.
    step contents C10 contents "$judged" "$results/contents${tag:+-$tag}.json"
    local pair=(--model "$model" --model "$judged") common=(--threads "$threads" --quiet)
    local full=(--protocol P1) part=(--protocol P1 --windows "$windows") every=() choice=()
    if [ -n "$context" ]; then
        full+=(--context "$context")
        part+=(--context "$context")
    fi
    [ -z "$quick" ] || full=("${part[@]}")
    choice=(--model "$model")
    for p in "${plain[@]}"; do
        [ ! -f "$models/$p.rbe" ] || choice+=(--model "$models/$p.rbe")
    done
    choice+=(--model "$judged")
    for p in "$@"; do choice+=(--model "$p"); done
    # Times, memory and a part of the text: the first table.
    step inference 'C1b C2 C2b C4' inference 3 "${choice[@]}" --quiet \
        ${quick:+--tokens 16 --retries 0} --out "$results/inference.jsonl"
    step edge C8 edge "$model" "$judged" --quiet --out "$results/edge.jsonl"
    if [ -z "$tag" ] && [ -z "$quick" ]; then
        step first '' rbe eval perplexity "${pair[@]}" "${common[@]}" --protocol P1 \
            ${context:+--context "$context"} --windows 20 --out "$results/first.jsonl"
        known_so_far
        rm -f "$results/first.jsonl"
    fi
    for p in "${also[@]}"; do [ "$p" = "$profile" ] || convert "$p" ''; done
    for p in "${curve[@]}"; do convert "$p" '' --search fast --no-calibration; done
    for p in "${schedules[@]}"; do
        case $p in
        *2) convert "$p" C9b ;;
        *) convert "$p" C9 ;;
        esac
    done
    # All models on the subset, the judged one behind the original; then these two on all of the text.
    every=(--model "$model")
    [ "$judged" != "$tuned" ] || every+=(--model "$tuned")
    for p in "$profile" "${also[@]}" "${curve[@]}" "${plain[@]}" "${schedules[@]}"; do
        [ ! -f "$models/$p.rbe" ] || every+=(--model "$models/$p.rbe")
    done
    for p in "$@"; do every+=(--model "$p"); done
    step curve 'C9 C9b' rbe eval perplexity "${every[@]}" "${common[@]}" "${part[@]}" \
        --out "$results/curve.jsonl"
    # The first two go on from there; these rows of theirs stand in the one file only.
    : > "$results/seen"
    [ -n "$quick" ] || grep '"kind":"perplexity"' "$results/curve.jsonl" |
        tail -n $((${#every[@]} / 2)) | head -n 2 > "$results/seen"
    cat "$results/seen" >> "$results/perplexity.jsonl"
    step perplexity 'C3 C3b' rbe eval perplexity "${pair[@]}" "${common[@]}" "${full[@]}" \
        --resume --out "$results/perplexity.jsonl"
    grep -vxFf "$results/seen" "$results/perplexity.jsonl" > "$results/perplexity"
    mv "$results/perplexity" "$results/perplexity.jsonl"
    rm "$results/seen"
    # Every format is measured: on half of the windows.
    step divergence '' rbe eval divergence "${choice[@]}" "${common[@]}" \
        ${context:+--context "$context"} --windows $((windows > 6 ? windows / 2 : windows)) \
        --out "$results/divergence.jsonl"
    step conversation C5 rbe eval conversation "${pair[@]}" "${common[@]}" \
        ${quick:+--turns 4} --out "$results/conversation.jsonl"
    step generation 'C6 C6b C6c' rbe eval generation "${pair[@]}" "${common[@]}" \
        ${quick:+--prompts 4} --out "$results/generation.jsonl"
    comprehension "${quick:+10}" 300 lambada "$data/lambada_test.jsonl"
    comprehension "${quick:+10}" 300 winogrande "$fetched/winogrande/dev.jsonl"
    comprehension "${quick:+5}" 100 hellaswag "$fetched/hellaswag/hellaswag_val_full.txt"
    # Of each of the 67 paradigms as many.
    comprehension "${quick:+1}" "${BLIMP_ITEMS:-10}" blimp "$(unpack_blimp)"
    step arm C7 arm "$judged" "$results/arm.jsonl"
    [ -n "$tag" ] || judged_first=$judged
}

# Generated weights of GPT-2 small's shape in all formats: times and memory do not depend on
# values.  The files lie in $shape_folder.
shape=${SHAPE:-124M}
shape_folder=$results/models/shape
shape_formats=(mobile-45mb f16 int8 int4)
[ -z "$quick" ] || shape_formats=(seed-b44 f16)
make_shape() { # FREE NEEDED: MB of memory
    local size=(--size "$shape") p room
    [ "$1" -ge "$2" ] || { echo "$1 MB of memory are free, $2 are needed"; return 77; }
    room=$(df -Pm "$results" | awk 'NR == 2 { print $4 }')
    [ -z "$quick" ] || size=(--shape '2,64,2,512,8192')
    if [ ! -s "$shape_folder/gpt2-shape/model.safetensors" ]; then
        [ -n "$quick" ] || [ "$room" -ge 1500 ] ||
            { echo "$room MB are free in $results, 1500 are needed"; return 77; }
        rbe synth "$shape_folder/gpt2-shape" "${size[@]}" || return
    fi
    for p in "${shape_formats[@]}"; do
        [ "$shape_folder/gpt2-$p.rbe" -nt "$bin/rbe" ] && [ -s "$shape_folder/$p.jsonl" ] && continue
        rm -f "$shape_folder/$p.jsonl"
        rbe convert "$shape_folder/gpt2-shape" "$shape_folder/gpt2-$p.rbe" --profile "$p" \
            --search none --threads "$threads" --json "$shape_folder/$p.jsonl" || return
    done
    cat "$shape_folder"/*.jsonl > "$results/convert-shape.jsonl"
}
measure_shape() {
    local models=(--model "$shape_folder/gpt2-shape") p need=2500 have n_ctx=1024
    rm -f "$results/convert-shape.jsonl"
    [ "$shape" != no ] || return
    have=$(awk '/^MemAvailable/ { printf "%d", $2 / 1024 }' /proc/meminfo)
    [ -z "$quick" ] || need=200 n_ctx=512
    of=shape step convert '' make_shape "$have" "$need" || return
    for p in "${shape_formats[@]:1}"; do models+=(--model "$shape_folder/gpt2-$p.rbe"); done
    models+=(--model "$shape_folder/gpt2-${shape_formats[0]}.rbe")
    of=shape step inference '' inference 2 "${models[@]}" --quiet --tokens 24 --prefills 2 \
        ${quick:+--retries 0} --out "$results/inference.jsonl"
    of=shape step edge '' edge "$shape_folder/gpt2-shape" \
        "$shape_folder/gpt2-${shape_formats[0]}.rbe" --quiet --out "$results/edge.jsonl"
}

# In each folder that make fetch made for a model: the largest file is the original, the others
# its rivals.
measure_fetched() {
    local folder files
    [ "${REAL:-}" != no ] || return
    for folder in "$fetched"/models/*/ "$fetched"/gpt2/; do
        mapfile -t files < <(ls -S "$folder"*.gguf "$folder"model.safetensors 2> /dev/null)
        { [ ${#files[@]} -gt 0 ] && [ "$(basename "$folder")" != rbe-mini ]; } || continue
        echo "found ${files[0]}: measured too, which takes long; REAL=no leaves it out"
        measure "${files[0]}" "$(basename "$folder")" "${files[@]:1}"
    done
}

# What takes too long for this run was recorded, ships, and is labelled so on the page.
if [ -z "${MODEL:-}" ] && [ -d "$recorded" ]; then
    cp "$recorded"/*.jsonl "$results/recorded" || failed=$((failed + 1))
fi
read -ra rivals <<< "${RIVALS:-}"
measure "${MODEL:-$data/rbe-mini}" '' "${rivals[@]}"
[ -n "${MODEL:-}" ] || measure_shape
counted=$shape_folder/gpt2-${shape_formats[0]}.rbe
{ [ -z "${MODEL:-}" ] && [ "$shape" != no ] && [ -s "$counted" ]; } || counted=$judged_first
of='' step projection '' projection "$counted" "$results/projection.jsonl"
[ -n "${MODEL:-}" ] || measure_fetched
# The codecs that multiply row by row; for a whole model, of those with a B the usual one.
listed=$(rbe codecs --list)
formats=$(awk '$3 == "rows" { print $1 }' <<< "$listed" | paste -sd ,)
whole=$(awk '$3 == "rows" { print $2 == "-" ? "_" $1 "_" : "/B:" $2 "/" }' <<< "$listed" | sort -u |
    paste -sd '|')
only="^(gemv_|probe_read|search_.*L:1[46]/B:(32|44|64)/|model_.*($whole))" repetitions=3
sizes=(--shapes 50257x768 --blocks '32,44,64,128')
[ -z "$quick" ] || only='^(gemv_seed_|probe_read)' repetitions=1 sizes=(--shapes 768x768 --blocks 44
    --probe-time 0.001 --set-limit 64)
kernels() {
    [ "${BENCH:-}" != no ] || { echo 'left out by BENCH=no'; return 77; }
    rbe-bench "$@"
}
of='' step bench '' kernels --quiet "${sizes[@]}" --cache cold \
    --formats "$formats" --kinds product,model,probe,search --threads "$threads" \
    --min-time 0.02 --slowest 0.5 --benchmark_filter="$only" --benchmark_repetitions=$repetitions \
    --out "$results/bench.json"

echo
rbe report "$results" --out "$results/report" || failed=$((failed + 1))
echo "$((SECONDS - began)) s; open $results/report/index.html"
if [ $failed -gt 0 ]; then
    echo "report.sh: $failed steps failed; the page names them" >&2
    exit 1
fi

#!/usr/bin/env bash
# gate.sh [OPTION...] BASE_REV - does the working tree make rbe slower, larger or worse?
#
# SPDX-License-Identifier: MIT
#
# Builds the revision BASE_REV (in a separate git worktree, in a temporary folder) and the
# working tree, then measures both in turns until the difference is clear (docs/GATE.md).  Changes
# of the shipped models, profiles, recipes and calibration texts are judged by their quality,
# also when both programs are the same.
#   --threshold P    slow-down in percent that must be caught (3)
#   --floor MS       ignore a slow-down by less than this, whatever its share (0)
#   --budget S       seconds of measuring at most (120)
#   --metrics LIST   decode,prefill,gemv_FORMAT,memory (see rbe gate --help)
#   --threads N      threads of the measured programs (1)
#   --clock cpu|wall which times are measured (default: cpu with one thread, else wall)
#   --codec NAME     codec that each side encodes its model with (seed)
#   --profile NAME   profile that each side also encodes, with default effort and calibration
#                    (default: ci/gate.profile, a quarter of the matrices, calibrated on a
#                    part of the sample; others use all of the sample and take minutes)
#   --no-exact       leave out all bytes and perplexities
#   --instructions   count instructions under valgrind instead of taking times
#   --markdown FILE  write the verdict as Markdown
#   --append FILE    append a line to this history
#   --even-if-same   measure although both programs are the same, byte for byte
#   --keep FOLDER    build the base here; reuse a build of the same revision, worker and
#                    compiler
#   --plant P        slow the working tree's program down by P percent (to test the gate)
# Exit status: 0 pass, 1 failed, 2 usage, 3 regression, 4 too noisy to tell, 5 the base does
# not build or run, so nothing was compared.
set -u
cd "$(dirname "$0")/.." || exit 1
here=$PWD

usage() {
    echo "gate.sh: $1; see the head of ci/gate.sh" >&2
    exit 2
}
fail() {
    echo "gate.sh: $2" >&2
    exit "$1"
}

threshold=3 budget=120 threads=1 clock='' codec=seed exact=1 instructions=0 keep='' plant=''
profile=ci/gate.profile
metrics=decode,prefill,gemv_seed,gemv_int4,memory
base='' pass=() always=0 timed=1
while [ $# -gt 0 ]; do
    case $1 in
    --no-exact) exact=0 ;;
    --instructions) instructions=1 ;;
    --even-if-same) always=1 ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
    --*)
        [ $# -ge 2 ] || usage "$1: unknown option, or its value is missing"
        case $1 in
        --threshold) threshold=$2 ;;
        --floor) pass+=("$1" "$2") ;;
        --budget) budget=$2 ;;
        --metrics) metrics=$2 ;;
        --threads) threads=$2 ;;
        --clock) clock=$2 ;;
        --codec) codec=$2 ;;
        --profile) profile=$2 ;;
        --markdown | --append) pass+=("$1" "$2") ;;
        --keep) keep=$2 ;;
        --plant) plant=$2 ;;
        *) usage "unknown option '$1'" ;;
        esac
        shift
        ;;
    *)
        [ -z "$base" ] || usage "one base revision, not '$1' too"
        base=$1
        ;;
    esac
    shift
done
[ -n "$base" ] || usage 'give the base revision'
# Before anything is built: the worker would refuse it minutes later, in a line of the base's.
for m in ${metrics//,/ }; do
    case $m in
    decode | prefill | memory | gemv_?*) ;;
    *) usage "no metric '$m'; valid: decode, prefill, gemv_FORMAT, memory" ;;
    esac
done
if ! sha=$(git rev-parse --verify --quiet "$base^{commit}"); then
    [ "$(git rev-parse --is-shallow-repository 2>&1)" != true ] ||
        fail 1 "no revision '$base' in this shallow clone: 'git fetch --deepen=100' or 'git fetch\
 --unshallow' brings what is missing"
    fail 1 "no revision '$base'"
fi
name=$(git describe --always --dirty --abbrev=10)

work=$(mktemp -d) || exit 1
keep=${keep:-$work}
mkdir -p "$keep" && keep=$(cd "$keep" && pwd) || exit 1
tree=$work/tree
tidy() {
    git worktree remove --force "$tree" > /dev/null 2>&1
    rm -rf "$work"
}
trap tidy EXIT
trap 'exit 130' INT TERM

# build TREE BUILDROOT LOG: rbe and the worker of a tree.  BUILDROOT is as seen from the tree:
# make takes no blanks, which the folder of temporary files may have.  Debug data that names
# the folder does not keep a compiler cache from serving both.
export CCACHE_NOHASHDIR=1
arch=$(gcc -dumpmachine)
bin=${arch%%-*}-release/bin
build() {
    local rc
    make -s -C "$1" -f Makefile -f ci/gate.mk BUILDROOT="$2" PLANT="${4:-}" -j"$(nproc)" \
        gate-programs > "$3" 2>&1
    rc=$?
    [ $rc != 0 ] || (cd "$1" && [ -x "$2/$bin/gate-worker" ]) || rc=1
    return $rc
}
explain() { grep -m 5 -iE 'error|No rule|undefined' "$1" >&2; }

# The base: its own sources with this tree's worker where that compiles, else its own.  What
# is kept of a base is good for one worker and one compiler.
kept=$keep/b-$sha-$(cat ci/gate_worker.c ci/gate.mk - <<< "${CC:-} ${CFLAGS:-} ${LDFLAGS:-}" |
    sha256sum | cut -c 1-12)
build_base() {
    local own
    rm -rf "$kept"
    git worktree prune
    git worktree add --detach --quiet "$tree" "$sha" || return 1
    own=$(git -C "$tree" ls-files ci/gate_worker.c)
    mkdir -p "$tree/ci"
    cp ci/gate_worker.c ci/gate.mk "$tree/ci/"
    mkdir -p "$kept/$bin"
    if ! build "$tree" build "$work/base.log"; then
        [ -n "$own" ] && git -C "$tree" checkout --quiet -- ci/gate_worker.c ci/gate.mk &&
            build "$tree" build "$work/base.log" && touch "$kept/own-worker" || return
    fi
    # The last makes what is kept whole.
    cp "$tree/build/$bin/rbe" "$kept/$bin/" && cp "$tree/build/$bin/gate-worker" "$kept/$bin/"
}
root=${BUILDROOT:-build}
echo 'building the working tree' >&2
build "$here" "$root" "$work/new.log" || {
    explain "$work/new.log"
    fail 1 'the working tree does not build'
}
mkdir "$work/base" "$work/head"
cp "$root/$bin/rbe" "$root/$bin/gate-worker" "$work/head/"
if [ "$sha" = "$(git rev-parse HEAD)" ] && [ -z "$(git status --porcelain)" ]; then
    cp "$work/head/rbe" "$work/head/gate-worker" "$work/base/"
else
    if [ ! -x "$kept/$bin/gate-worker" ]; then
        echo "building $base ($sha)" >&2
        build_base || {
            [ ! -f "$work/base.log" ] || explain "$work/base.log"
            fail 5 "the base '$base' does not build: nothing was compared, so this is no pass"
        }
    fi
    cp "$kept/$bin/rbe" "$kept/$bin/gate-worker" "$work/base/"
    if [ -f "$kept/own-worker" ]; then
        echo "this tree's ci/gate_worker.c does not compile against $base: it is measured by" \
            'its own, which may measure other things' >&2
        base+=' (by its own worker)'
    fi
fi

# same PROGRAM: is it the same code on both sides?
same() {
    local side
    for side in base head; do
        strip -R .note.gnu.build-id -R .rbe.commit -o "$work/$side/plain" "$work/$side/$1" 2> /dev/null ||
            cp "$work/$side/$1" "$work/$side/plain"
    done
    cmp -s "$work/base/plain" "$work/head/plain"
}

# What else decides results, where each side has it, and which of it differs.
kinds=(datasets/embedded convert/profiles train/profiles)
base_data=$here
mapfile -t changed < <({
    git diff --name-only "$sha" -- "${kinds[@]}"
    git ls-files -o --exclude-standard -- "${kinds[@]}"
} | sort -u)
if [ ${#changed[@]} -gt 0 ]; then
    base_data=$work/data
    mkdir "$base_data"
    for k in "${kinds[@]}"; do
        git archive "$sha" "$k" 2> /dev/null | tar -x -C "$base_data" 2> /dev/null
    done
fi
has_changed() { [ ${#changed[@]} -gt 0 ] && printf '%s\n' "${changed[@]}" | grep -q "^$1"; }

if [ -z "$plant" ] && [ $always = 0 ] && same rbe && same gate-worker; then
    if [ ${#changed[@]} = 0 ]; then
        echo "pass: the programs of $base and of the working tree, their data and profiles are" \
            'the same to the byte'
        exit 0
    fi
    [ $exact = 1 ] || fail 4 "the programs are the same to the byte, not the data, which --no-exact" \
        "leaves out: ${changed[*]}"
    echo "the programs are the same to the byte: judging what differs, ${changed[*]}" >&2
    timed=0 metrics=''
fi

# Each side runs a model of its own making: the encoder is compared too.
# data_of SIDE: the folder its data are in.
data_of() { if [ "$1" = base ]; then echo "$base_data"; else echo "$here"; fi; }
# convert SIDE MODEL OPTION...
convert() {
    local side=$1 model=$2
    shift 2
    "$work/$side/rbe" convert --quiet "$@" "$(data_of "$side")/datasets/embedded/rbe-mini" \
        "$work/$side/$model" > "$work/$side.log" 2>&1
}
no_convert() { fail "$1" "$2 does not convert: $(tail -n 1 "$work/$3.log")"; }
# other MODEL OPTION...: the working tree's, a copy where nothing that makes it differs.
other() {
    if same rbe && [ ${#changed[@]} = 0 ]; then
        cp "$work/base/$1" "$work/head/$1"
    else
        convert head "$@" || no_convert 1 'the working tree' head
    fi
}
# encode_fast MODEL
encode_fast() {
    local block=()
    [[ $codec != seed* ]] || block=(--block=44)
    how=("$1" --codec="$codec" "${block[@]}" --search=fast --no-calibration)
    convert base "${how[@]}" || no_convert 5 "the base '$base'" base
    other "${how[@]}"
}
# sample SIDE: a piece of its calibration text.
sample() {
    head -c 16000 "$(data_of "$1")/datasets/embedded/calibration.txt" > "$work/$1/sample.txt"
    echo "$work/$1/sample.txt"
}

# Of one text on both sides: the base's.
perplexity() {
    local words=()
    ! has_changed datasets/embedded/rbe-mini ||
        words=(--tokenizer "$(data_of "$1")/datasets/embedded/rbe-mini")
    "$work/$1/rbe" eval perplexity --quiet --json --model "$2" --windows 16 "${words[@]}" \
        --text "$base_data/datasets/embedded/wiki.valid.raw" --resamples 100 2> "$work/$1.log" |
        sed -n 's/.*"perplexity": *\([0-9.][0-9.e+-]*\).*/\1/p' | tail -n 1
}
size_of() {
    if [ -d "$1" ]; then set -- "$1/model.safetensors"; fi
    stat -c %s "$1"
}
# exact PREFIX BASE HEAD: perplexity and bytes of the models on both sides.
exact() {
    local p q
    p=$(perplexity base "$2") q=$(perplexity head "$3")
    [ -n "$p" ] || fail 5 "the base has no ${1}perplexity: $(tail -n 1 "$work/base.log")"
    [ -n "$q" ] ||
        fail 1 "the working tree has no ${1}perplexity: $(tail -n 1 "$work/head.log")"
    pass+=(--exact "${1}perplexity=$p:$q" --exact "${1}bytes=$(size_of "$2"):$(size_of "$3")")
}
made() { exact "$1" "$work/base/$2" "$work/head/$2"; }
figure_of() { basename "${1%.*}" | tr -c 'a-z0-9\n' _ | cut -c 1-18; }
# by_profile PREFIX NAME BASE HEAD OPTION...: both sides encode by a profile of their own.
by_profile() {
    local prefix=$1 name=$2 of_base=$3 of_head=$4
    shift 4
    echo "encoding rbe-mini by $name" >&2
    # An older base may not know what this tree's profile asks for.
    if convert base profile.rbe --profile "$of_base" --calibration "$(sample base)" "$@"; then
        other profile.rbe --profile "$of_head" --calibration "$(sample head)" "$@"
        made "$prefix" profile.rbe
    else
        echo "$name is not compared, the base cannot: $(tail -n 1 "$work/base.log")" >&2
    fi
}
# tune SIDE RECIPE: a few steps from the quick model.
tune() {
    "$work/$1/rbe" tune "$(data_of "$1")/datasets/embedded/rbe-mini" "$work/$1/start.rbe" \
        "$work/$1/tuned.rbe" --profile "$2" --tokens 16384 --evaluations 1 --valid-windows 4 \
        --text "$(data_of "$1")/datasets/embedded/wikipedia-tune.jsonl" --no-calibration --quiet \
        --out-json "$work/$1/tuned.jsonl" > "$work/$1.log" 2>&1
}

if [ $timed = 1 ]; then
    echo "encoding rbe-mini ($codec)" >&2
    encode_fast model.rbe
fi
if [ $exact = 1 ]; then
    [ $timed = 0 ] || made '' model.rbe
    if [ "$profile" = ci/gate.profile ]; then
        if [ $timed = 1 ] || has_changed datasets/embedded/calibration.txt; then
            by_profile profile_ "$profile" "$profile" "$profile"
        fi
    elif [ $timed = 1 ]; then
        echo "encoding rbe-mini by $profile" >&2
        if convert base profile.rbe --profile "$profile"; then
            other profile.rbe --profile "$profile"
            made profile_ profile.rbe
        else
            echo "$profile is not compared, the base cannot: $(tail -n 1 "$work/base.log")" >&2
        fi
    fi
    # What ships trained, of each revision: the runtime and the files.
    for f in datasets/embedded/*.rbe; do
        if [ ! -f "$f" ] || [ ! -f "$base_data/$f" ]; then continue; fi
        if [ $timed = 1 ] || has_changed "$f"; then
            exact "$(figure_of "$f")_" "$base_data/$f" "$here/$f"
        fi
    done
    if has_changed datasets/embedded/rbe-mini; then
        exact original_ "$base_data/datasets/embedded/rbe-mini" "$here/datasets/embedded/rbe-mini"
    fi
    for f in "${changed[@]}"; do
        if [ ! -f "$f" ]; then
            echo "$f is gone: nothing to compare" >&2
        elif [ ! -f "$base_data/$f" ]; then
            echo "$f is new: nothing to compare" >&2
        else
            case $f in
            convert/profiles/*.profile)
                by_profile "p_$(figure_of "$f")_" "$f" "$base_data/$f" "$f" --search=fast
                ;;
            train/profiles/*.profile | *tune.jsonl)
                recipe=$f
                [[ $f == *.profile ]] || recipe=train/profiles/default.profile
                echo "training by $recipe" >&2
                encode_fast start.rbe
                from=$base_data/$recipe
                [ -f "$from" ] || from=$recipe
                tune base "$from" ||
                    fail 5 "the base does not train: $(tail -n 1 "$work/base.log")"
                tune head "$recipe" ||
                    fail 1 "the working tree does not train: $(tail -n 1 "$work/head.log")"
                made "t_$(figure_of "$f")_" tuned.rbe
                ;;
            *.raw | *lambada* | *conversation.txt)
                echo "$f is measured on, so it is not judged: its figures are others now" >&2
                ;;
            esac
        fi
    done
    if [ $timed = 0 ] && [[ " ${pass[*]} " != *' --exact '* ]]; then
        echo 'pass: the programs are the same to the byte, and nothing that differs has a quality'
        exit 0
    fi
fi

if [ -n "$plant" ]; then
    build "$here" "$root" "$work/new.log" -DRBE_PLANT_SLOWDOWN ||
        fail 1 'the planted worker does not build'
    mv "$root/$bin/gate-worker" "$work/head/gate-worker"
fi

# Instructions of a unit: the difference of two runs, so that loading does not count.  Valgrind
# knows no AVX-512.
count() {
    local n
    for n in 1 4; do
        printf '%s %s\n' "$2" "$n" |
            RBE_DISABLE_ISA=avx512,vnni,vbmi2 RBE_PLANT_SLOWDOWN=${plant:-0} \
                valgrind --tool=callgrind --callgrind-out-file="$work/callgrind" \
                "$work/$1/gate-worker" "$work/$1/model.rbe" 1 2>&1 > /dev/null |
            sed -n 's/.*Collected : *//p'
    done | paste -sd ' ' | awk 'NF == 2 { print ($2 - $1) / 3 }'
}
if [ $instructions = 1 ]; then
    command -v valgrind > /dev/null || fail 1 'valgrind is not installed'
    for m in ${metrics//,/ }; do
        [ "$m" != memory ] || continue
        echo "counting instructions of $m" >&2
        p=$(count base "$m") q=$(count head "$m")
        [ -n "$p" ] || fail 5 "no instructions of $m counted for the base"
        [ -n "$q" ] || fail 1 "no instructions of $m counted for the working tree"
        pass+=(--count "$m=$p:$q")
    done
    metrics=''
fi

worker() { printf 'exec %q/gate-worker %q/model.rbe %s %s' "$1" "$1" "$threads" "$clock"; }
[ "$threads" = 1 ] || pass+=(--no-pin)
"$root/$bin/rbe" gate --base "$(worker "$work/base")" \
    --new "${plant:+RBE_PLANT_SLOWDOWN=$plant }$(worker "$work/head")" --metrics "$metrics" \
    --threads "$threads" --threshold "$threshold" --budget "$budget" --base-name "$base" \
    --new-name "$name" "${pass[@]}"

#!/usr/bin/env bash
# gate.sh [OPTION...] BASE_REV - does the working tree make rbe slower, larger or worse?
#
# SPDX-License-Identifier: MIT
#
# Builds the revision BASE_REV (in a git worktree of its own, in a temporary folder) and the
# working tree, then measures both in turns until the difference is clear (docs/GATE.md).
#   --threshold P    slow-down in percent that must be caught (3)
#   --budget S       seconds of measuring at most (120)
#   --metrics LIST   decode,prefill,gemv_FORMAT,memory (see rbe gate --help)
#   --threads N      threads of the measured programs (1)
#   --clock cpu|wall what times are taken of (cpu with one thread, else wall)
#   --no-exact       leave out model bytes and perplexity (saves two conversions)
#   --instructions   count instructions under valgrind instead of taking times
#   --markdown FILE  write the verdict as Markdown
#   --append FILE    append a line to this history
#   --even-if-same   measure although both programs are the same to the byte
#   --keep FOLDER    build and convert here, and use what is there of the same revision
#   --plant P        slow the working tree's program down by P percent (to try the gate)
# Exit status: 0 pass, 1 failed, 2 usage, 3 regression, 4 too noisy to tell, 5 the base does
# not build or run, so nothing was compared.
set -u
here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
cd "$here" || exit 1

usage() {
    echo "gate.sh: $1; see the head of ci/gate.sh" >&2
    exit 2
}
fail() {
    echo "gate.sh: $2" >&2
    exit "$1"
}

threshold=3 budget=120 threads=1 clock='' exact=1 instructions=0 keep='' plant='' always=0
metrics=decode,prefill,gemv_seed,gemv_int4,memory
base='' pass=()
while [ $# -gt 0 ]; do
    case $1 in
    --threshold | --budget | --metrics | --threads | --clock | --markdown | --append | \
        --keep | --plant)
        [ $# -ge 2 ] || usage "$1 wants a value"
        ;;
    esac
    case $1 in
    --threshold) threshold=$2 && shift ;;
    --budget) budget=$2 && shift ;;
    --metrics) metrics=$2 && shift ;;
    --threads) threads=$2 && shift ;;
    --clock) clock=$2 && shift ;;
    --markdown | --append) pass+=("$1" "$2") && shift ;;
    --keep) keep=$2 && shift ;;
    --plant) plant=$2 && shift ;;
    --no-exact) exact=0 ;;
    --even-if-same) always=1 ;;
    --instructions) instructions=1 ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
    -*) usage "unknown option '$1'" ;;
    *) [ -z "$base" ] || usage "one base revision, not '$1' too"
       base=$1 ;;
    esac
    shift
done
[ -n "$base" ] || usage 'give the base revision'
sha=$(git rev-parse --verify --quiet "$base^{commit}") || fail 1 "no revision '$base'"
name=$(git describe --always --dirty --abbrev=10 2> /dev/null || echo 'working tree')

# Paths of equal length, so that neither side's environment is larger.
work=${keep:-$(mktemp -d)}
mkdir -p "$work" && work=$(cd "$work" && pwd) || exit 1
tree=$work/tree-$sha
# What BASE_REV left out is never asked for again; the worktree's record goes with it.
tidy() {
    git worktree remove --force "$tree" > /dev/null 2>&1
    [ -n "$keep" ] || rm -rf "$work"
}
trap tidy EXIT
trap 'exit 130' INT TERM

# build TREE NAME [PLANT]: rbe and the worker of a tree, into $work/NAME.
export CCACHE_NOHASHDIR=1
build() {
    local root=$work/$2
    find "$root" -name 'gate_worker.o' -delete 2> /dev/null
    make -s -C "$1" -f Makefile -f ci/gate.mk BUILDROOT="$root" PLANT="${3:-}" -j"$(nproc)" \
        gate-programs > "$root.log" 2>&1
}

# The base: its own sources, with this tree's worker where that compiles, else its own.
bins() { echo "$work/$1/$(gcc -dumpmachine | cut -d- -f1)-release/bin"; }
if [ ! -x "$(bins "b-$sha")/gate-worker" ]; then
    git worktree prune
    git worktree add --detach --quiet "$tree" "$sha" || fail 5 "cannot check out '$base'"
    mkdir -p "$tree/ci"
    own=$(git -C "$tree" ls-files ci/gate_worker.c)
    cp ci/gate_worker.c ci/gate.mk "$tree/ci/"
    echo "building $base ($sha)" >&2
    if ! build "$tree" "b-$sha"; then
        [ -z "$own" ] || git -C "$tree" checkout --quiet -- ci/gate_worker.c ci/gate.mk
        if [ -z "$own" ] || ! build "$tree" "b-$sha"; then
            grep -m 5 -E 'error|Error|No rule' "$work/b-$sha.log" >&2
            fail 5 "the base '$base' does not build: nothing compared, not passed"
        fi
    fi
fi
echo 'building the working tree' >&2
if ! build "$here" "n-$sha" "${plant:+-DRBE_PLANT_SLOWDOWN}"; then
    grep -m 5 -E 'error|Error|No rule' "$work/n-$sha.log" >&2
    fail 1 'the working tree does not build'
fi
old=$(bins "b-$sha") new=$(bins "n-$sha")

# Each side runs a model of its own making: the encoder is compared too.
convert() {
    echo "converting with $2" >&2
    "$1/rbe" convert --quiet --codec=seed --block=44 --search=fast --no-calibration \
        --threads="$(nproc)" datasets/embedded/rbe-mini "$3" > "$3.log" 2>&1
}
a=$work/b-$sha.rbe b=$work/n-$sha.rbe
[ -s "$a" ] || convert "$old" "$base" "$a" ||
    fail 5 "the base '$base' does not convert: $(tail -n 1 "$a.log")"
# same PROGRAM: is it the same code on both sides?
same() {
    local side
    for side in "$old" "$new"; do
        strip -R .note.gnu.build-id -o "$side/$1.plain" "$side/$1" || return 1
    done
    cmp -s "$old/$1.plain" "$new/$1.plain"
}
rm -f "$b"
if same rbe; then
    cp "$a" "$b"
    if same gate-worker && [ $always = 0 ]; then
        echo "pass: the programs of $base and of the working tree are the same to the byte"
        exit 0
    fi
else
    convert "$new" 'the working tree' "$b" ||
        fail 1 "the working tree does not convert: $(tail -n 1 "$b.log")"
fi

perplexity() {
    "$1/rbe" eval perplexity --quiet --json --model "$2" --text datasets/embedded/wiki.valid.raw \
        --windows 16 --resamples 2 2> "$2.log" |
        sed -n 's/.*"perplexity": *\([0-9.][0-9.e+-]*\).*/\1/p' | tail -n 1
}
if [ $exact = 1 ]; then
    p=$(perplexity "$old" "$a") q=$(perplexity "$new" "$b")
    [ -n "$p" ] || fail 5 "the base has no perplexity: $(tail -n 1 "$a.log")"
    [ -n "$q" ] || fail 1 "the working tree has no perplexity: $(tail -n 1 "$b.log")"
    pass+=(--exact "perplexity=$p:$q" --exact "bytes=$(stat -c %s "$a"):$(stat -c %s "$b")")
fi

# Instructions of one unit: the difference of two runs, so that loading does not count.
count() {
    local n out=$work/callgrind.out
    for n in 1 4; do
        printf '%s %s\n' "$3" "$n" |
            RBE_DISABLE_ISA=avx512,vnni,vbmi2 valgrind --tool=callgrind \
                --callgrind-out-file="$out" "$1/gate-worker" "$2" 1 2>&1 > /dev/null |
            sed -n 's/.*Collected : *//p'
    done | paste -sd ' ' | awk '{ print ($2 - $1) / 3 }'
}
if [ $instructions = 1 ]; then
    command -v valgrind > /dev/null || fail 1 'valgrind is not installed'
    for m in ${metrics//,/ }; do
        [ "$m" != memory ] || continue
        p=$(count "$old" "$a" "$m") q=$(count "$new" "$b" "$m")
        pass+=(--count "$m=$p:$q")
    done
    metrics=''
fi

worker() { printf "exec '%s/gate-worker' '%s' %s %s" "$1" "$2" "$threads" "$clock"; }
[ "$threads" = 1 ] || pass+=(--no-pin)
"$new/rbe" gate --base "$(worker "$old" "$a")" \
    --new "${plant:+RBE_PLANT_SLOWDOWN=$plant }$(worker "$new" "$b")" --metrics "$metrics" \
    --threads "$threads" --threshold "$threshold" --budget "$budget" --base-name "$base" \
    --new-name "$name" "${pass[@]}"

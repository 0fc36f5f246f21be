#!/usr/bin/env bash
# nomem.sh - allocations that fail, one after the other: one line, an exit status, no file damaged
#
# SPDX-License-Identifier: MIT
#
# Of each command the Nth allocation fails (ci/nomem.c), and then that one and all after it, for
# every N up to NOMEM_EVERY (default 400), some beyond, and the last ones.  A run may end well,
# where it can do without, and must then give what it gives else; or it ends with status 1 and
# one line on stderr, which does not blame a file, and leaves no file behind that it leaves
# unfinished.  NOMEM_ONLY="info report" takes those commands only.
#
# Left out is what libraries ask for that end the process themselves when they get none:
#   libgomp   prints a line and exits
#   libdnnl   (and libstdc++ for it) throws where nothing can catch it; cmd_generate.c makes sure
#             beforehand that there is room for it
#   libpopt   prints "virtual memory exhausted." and exits with 255 in places
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
case $(${CC:-gcc} -dumpmachine) in
x86_64*) ;;
*) echo 'SKIP the list of libraries is that of x86-64'; exit 77 ;;
esac
arch=$(${CC:-gcc} -dumpmachine)
make -s -j"$(nproc)" programs || exit 1
bin=$(cd "$BUILDROOT/${arch%%-*}-release/bin" && pwd) || exit 1
every=${NOMEM_EVERY:-400}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
${CC:-gcc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O1 -fPIC -shared \
    -o "$work/nomem.so" ci/nomem.c || exit 1
rbe=$bin/rbe
# Opened late by the program; here from the start, so that its allocations are known by its place.
dense=$(ldconfig -p 2> /dev/null | sed -n 's/.*=> \(.*libdnnl\.so\.[0-9]*\)$/\1/p' | head -n 1)

# A tiny model with the tokenizer of rbe-mini, so that few allocations are alike; results.
m=$work/m
vocab=$(sed -n 's/.*"vocab_size": *\([0-9]*\).*/\1/p' datasets/embedded/rbe-mini/config.json)
"$rbe" synth --shape "1,16,2,32,$vocab" "$m" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cp datasets/embedded/rbe-mini/{vocab.json,merges.txt} "$m"
printf 'name: small\nall codec=seed block=16\nmlp.fc codec=int8\n' > "$work/small.profile"
head -c 2000 datasets/embedded/wiki.test.raw > "$work/text"
"$rbe" convert "$m" "$work/m.rbe" --profile "$work/small.profile" --no-calibration --quiet \
    --json "$work/rows.jsonl" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$rbe" eval perplexity -m "$m" -m "$work/m.rbe" --tokenizer "$m" --text "$work/text" -q -t 1 \
    --resamples 100 --out "$work/rows.jsonl" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
for i in 1 2; do
    "$rbe" eval perplexity -m "$m" --tokenizer "$m" --text "$work/text" -q -t 1 --resamples 100 \
        --shard "$i/2" --out "$work/part$i.jsonl" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
done
mkdir "$work/results"
cp "$work/rows.jsonl" "$work/results"


# The command line of a command that writes into the folder $1.
line() {
    local d=$1
    case $2 in
    info) argv=(info "$work/m.rbe") ;;
    info-plain) argv=(info "$m") ;;
    info-gguf) argv=(info ci/fuzz/corpus/gguf/kinds) ;;
    generate) argv=(generate "$m" --tokenizer "$m" -p 'The last' -n 4 -t 2) ;;
    convert) argv=(convert "$m" "$d/o.rbe" --profile "$work/small.profile" -t 2 --quiet
        --calibration "$work/text" --json "$d/out.jsonl") ;;
    convert-plain) argv=(convert "$m" "$d/o.rbe" --codec int8 -t 1 --quiet --no-calibration) ;;
    eval) argv=(eval perplexity -m "$m" -m "$work/m.rbe" --tokenizer "$m" --text "$work/text"
        -q -t 2 --resamples 100 --out "$d/out.jsonl") ;;
    report) argv=(report "$work/results" --out "$d/page") ;;
    merge) argv=(merge --out "$d/out.jsonl" "$work/part1.jsonl" "$work/part2.jsonl") ;;
    compare) argv=(compare "$work/rows.jsonl" "$work/rows.jsonl") ;;
    esac
}
read -r -a commands <<< "${NOMEM_ONLY:-info info-plain info-gguf generate convert convert-plain eval \
    report merge compare}"

# run NAME [VARIABLE=N...]: into $d.out, $d.err; its status.
run() {
    local name=$1
    shift
    d=$work/$name.run
    rm -rf "$d" "$d.said"
    mkdir "$d"
    line "$d" "$name"
    # No gnuplot: each picture would take longer than the rest.
    env PATH=/nowhere LD_PRELOAD="$work/nomem.so${dense:+:$dense}" NOMEM_SAID="$d.said" \
        NOMEM_SKIP=libgomp:libdnnl:libstdc++:libpopt "$@" \
        "$rbe" "${argv[@]}" > "$d.out" 2> "$d.err" < /dev/null
}

# What does not change from run to run: times and memory taken out.
steady() { sed -E 's/[0-9]+([.][0-9]+)?(e[-+][0-9]+)?/N/g' "$@"; }
# Of a folder of results: names, and what the model files hold.  Finished tensors of a conversion
# that could not be removed at its end do no harm.
contents() {
    (
        cd "$1" || exit
        find . -type f ! -name '*.tmp*' ! -path '*.partial/*' | sort
        find . -name '*.rbe' ! -path '*.partial/*' -exec cat '{}' + | cksum
        find . -name 'out.jsonl' -exec cat '{}' + | steady
    )
}

judge() { # NAME VARIABLE=N STATUS
    local what
    what="$1 $2 ($(head -n 1 "$d.said" 2> /dev/null))"
    if [ "$3" = 0 ]; then
        steady "$d.out" | cmp -s - "$work/$1.want" ||
            { echo "FAIL $what: ends well with another output"; return; }
        contents "$d" | cmp -s - "$work/$1.files" ||
            { echo "FAIL $what: ends well with other files"; return; }
    elif [ "$3" != 1 ]; then
        echo "FAIL $what: status $3: $(tail -n 1 "$d.err")"
        return
    elif [ "$(wc -l < "$d.err")" != 1 ] || ! grep -q '^rbe' "$d.err"; then
        echo "FAIL $what: not one line: $(head -n 3 "$d.err" | tr '\n' '|')"
        return
    elif grep -qE 'damaged|not JSON|valid JSON|malformed|truncated|checksum|not a |cut off' "$d.err"; then
        echo "FAIL $what: blames a file: $(cat "$d.err")"
        return
    fi
    # A result file may have been opened before; lines stand in it whole or not at all.
    if [ -n "$(find "$d" -name '*.tmp*' ! -path '*.partial/*')" ] ||
        { [ -s "$d/out.jsonl" ] && [ -n "$(tail -c 1 "$d/out.jsonl")" ]; }; then
        echo "FAIL $what: leaves a file unfinished: $(find "$d" -type f | tr '\n' ' ')"
        return
    fi
    if [ "$3" != 0 ] && [ -e "$d/o.rbe" ] && ! "$rbe" info --verify "$d/o.rbe" > "$work/log" 2>&1
    then
        echo "FAIL $what: leaves a bad model"
        return
    fi
    echo "ok   $what"
}

one() { # NAME: all of a command
    local total n ns mode
    run "$1" || { echo "FAIL $1 without a failure: $(cat "$d.err")"; return; }
    steady "$d.out" > "$work/$1.want"
    contents "$d" > "$work/$1.files"
    total=$(cat "$d.said")
    ns=$(seq 1 $((every < total ? every : total)))
    ns+=" $(seq $((every + 1)) $((total / 60 + 1)) "$total") $(seq $((total - 40)) "$total")"
    for n in $ns; do
        for mode in NOMEM_AT NOMEM_FROM; do
            [ "$n" -gt 0 ] || continue
            run "$1" NOMEM_AT="$n" "$mode=$n"
            judge "$1" "$mode=$n" $?
        done
    done
    echo "$1: $total allocations" >&2
}
for c in "${commands[@]}"; do echo "$c"; done > "$work/list"
: > "$work/all"
jobs=$(nproc)
for ((k = 0; k < jobs; k++)); do
    (
        i=0
        while read -r c; do
            [ $((i++ % jobs)) != $k ] || one "$c"
        done < "$work/list" > "$work/out.$k"
    ) &
done
wait
cat "$work"/out.* > "$work/all"
grep '^FAIL' "$work/all"
ok=$(grep -c '^ok' "$work/all")
bad=$(grep -c '^FAIL' "$work/all")
echo "$ok passed, $bad failed"
[ "$bad" = 0 ] && [ "$ok" -gt 100 ]

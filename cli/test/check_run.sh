#!/usr/bin/env bash
# check_run.sh - what the programs load, and rbe-run, which generates text and needs libc only.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
bin=${RBE_BIN:?folder of the programs}
model=$(cd "$(dirname "$0")/../.." && pwd)/datasets/embedded/mini-2.89-tuned.rbe
cd "$work" || exit 1

# needs PROGRAM: the libraries that the dynamic linker brings, but for those of sanitizers.
needs() {
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(lib[^.]*\)\..*/\1/p' | grep -v 'asan\|ubsan\|tsan' |
        sort | tr '\n' ' '
}
libc='(c|m|dl|pthread)'
# The address sanitizer has oneDNN from the start.
grep -q __asan_init "$bin/rbe" || check 'rbe needs few libraries' test -z \
    "$(needs "$bin/rbe" | sed -E "s/lib($libc|jansson|popt|pcre2-8|xxhash) //g")"
check 'rbe-run needs libc and libm' test -z "$(needs "$bin/rbe-run" | sed -E "s/lib$libc //g")"

check 'rbe-serve needs libc and libm' test -z "$(needs "$bin/rbe-serve" | sed -E "s/lib$libc //g")"

# loads PROGRAM ARGUMENT...: the libraries that it opened itself.
loads() {
    LD_DEBUG=files "$@" 2>&1 > "$work/null" |
        sed -n 's/.*file=\(lib[^ ]*\) .*dynamically loaded by.*/\1/p' | sort -u | tr '\n' ' '
}
say=(generate "$model" --prompt 'The city' --tokens 12 --temperature 0 --threads 1)
check 'generating from an RBE model opens none' test -z "$(loads "$bin/rbe" "${say[@]}")"
check 'rbe-run opens none' test -z "$(loads "$bin/rbe-run" "${say[@]}")"
check 'a checksum of a file opens libcrypto' grep -q libcrypto \
    <(loads "$bin/rbe" eval perplexity --model "$model" --windows 1 --context 16 -q)

# --- rbe-run ------------------------------------------------------------------------------
"$bin/rbe" "${say[@]}" > a
check 'rbe-run generates' "$bin/rbe-run" "${say[@]}" > b
check 'the same text' cmp -s a b
check 'chat' grep -q . <(echo 'Where is the city?' |
    "$bin/rbe-run" chat --model "$model" --max-tokens 4 --temperature 0)
"$bin/rbe-run" --help > help
check 'its help names it' grep -q '^Usage: rbe-run COMMAND' help
check 'its help names its commands' grep -q '^  generate ' help
check 'and no others' test -z "$(grep -E '^  (convert|report|tune|fetch) ' help)"
check 'another command is refused' refuses 2 "rbe-run: unknown command 'convert'" \
    "$bin/rbe-run" convert a b
check 'a fault bears its name' refuses 1 '^rbe-run generate: ' "$bin/rbe-run" generate missing.rbe
mkfifo pipe
check 'a pipe is no model' refuses 1 'pipe: not a regular file' timeout -s KILL 20 \
    "$bin/rbe-run" generate pipe
check 'also of a line in a chat' grep -q '^rbe-run chat: not UTF-8 at byte 1' \
    <(printf 'a\xffb\n' | "$bin/rbe-run" chat --model "$model" 2>&1)
printf 'one\0two\n' | "$bin/rbe-run" chat --model "$model" > out 2> err
check 'half of a line is no question' grep -q '^rbe-run chat: not text: a zero at byte 3' err
check 'and has no answer' [ ! -s out ]
# Lines that fail do not end a chat, and are in its exit status; other lines are answered.
answered() { # STATUS LINES TEXT: it exits so, with so many lines of answers
    printf '%b' "$3" > questions
    "$bin/rbe-run" chat --model "$model" --max-tokens 4 --temperature 0 < questions > out 2> err
    [ $? = "$1" ] && [ "$(grep -c . out)" = "$2" ]
}
check 'two lines' answered 0 2 'One?\n\nTwo?\n'
check 'and not a word' [ ! -s err ]
check 'a zero among them' answered 1 2 'One?\na\0b\nTwo?\n'
check 'is counted' grep -q '^rbe-run chat: 1 of 3 lines without an answer$' err
check 'what is not UTF-8' answered 1 2 'One?\na\xffb\nTwo?\n'
check 'is counted, too' grep -q '1 of 3 lines without' err
long=$(head -c 20000 "${model%/*}/calibration.txt" | tr -d '\n\\')
check 'a question too long' answered 1 1 "$long\nTwo?\n"
check 'is said' grep -q 'do not fit a context' err
"$bin/rbe-run" chat --model "$model" < . > out 2> err
check 'a folder as the questions' [ $? = 1 ]
check 'is an error' grep -q '^rbe-run chat: standard input: Is a directory' err
check 'too many threads' grep -q '^rbe-run eval: 1000 threads' <("$bin/rbe-run" eval perplexity -q \
    --model "$model" --windows 1 --context 16 --threads 1000 --text "${model%/*}/wiki.valid.raw" 2>&1)
if limits_hold "$bin/rbe-run"; then
    check 'a process of its own does not name itself' refuses 2 '^rbe-run eval edge: 1 tokens and 600' \
        "$bin/rbe-run" eval edge --model "$model" --tokens 600 --threads 1
    check 'edge' grep -q '"passed":true' \
        <("$bin/rbe-run" eval edge --model "$model" --tokens 4 --threads 1 -q --json)
fi
# What a sanitizer adds to the code is not the program's.
if ! grep -q '__[a-z]*san_' "$bin/rbe-run"; then
    peak=$("$bin/rbe-run" "${say[@]}" --json | jq .peak_memory_bytes)
    check "peak memory $peak: 12 MB at most, 4.1 of them the model" [ "$peak" -lt 12000000 ]
fi
finish

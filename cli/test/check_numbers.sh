#!/usr/bin/env bash
# check_numbers.sh - every numeric option of every command, by cli/commands.def: what is no number,
# or out of its range, ends the command with one line before anything is done.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
bin=${RBE_BIN:?folder with the program rbe}
here=$(cd "$(dirname "$0")" && pwd)
cd "$work" || exit 1

# refused COMMAND OPTION VALUE
refused() {
    local command=$1 option=$2 value=$3
    # shellcheck disable=SC2086 # a command and its subcommand
    "$bin"/$command "--$option=$value" > out 2> err < /dev/null
    [ $? = 2 ] && [ ! -s out ] && one_line "^$command: --$option: '$value' is"
}

# Each range as a number below it and one above it: "command|option|below|above".
awk '
    function number(line,   p) {
        sub(/^[A-Z_]*\(/, "", line)
        split(line, p, /, */)
        name = p[2]
        gsub(/"/, "", name); gsub(/_/, "-", name)
        return name "|" p[4] "|" p[5]
    }
    { sub(/^ */, "") }
    /^#define [A-Z_]+(\(.*\))? \\$/ { group = $2; sub(/\(.*/, "", group); next }
    group != "" && /^NUMBER/ { rows[group] = rows[group] number($0) "\n" }
    group != "" { if ($0 !~ /\\$/) group = ""; next }
    /^(COMMAND|(HIDDEN_)?EVALUATION|PROGRAM)\([a-z]+, "/ {
        name = $0; sub(/^[A-Z_]*\(/, "", name); sub(/,.*/, "", name)
        command = (/^PROGRAM/ ? "rbe-" : /EVALUATION/ ? "rbe eval " : "rbe ") name
        next
    }
    /^NUMBER/ { print command "|" number($0); next }
    { word = $0; sub(/\(.*/, "", word) }
    word in rows {
        n = split(rows[word], line, "\n")
        for (i = 1; i < n; i++) print command "|" line[i]
    }' "$here/../commands.def" |
    sed 's/INT_MIN/-2147483648/; s/INT_MAX/2147483647/; s/1 << 24/16777216/' |
    awk -F'|' '{ printf "%s|%s|%.0f|%.0f\n", $1, $2, $3 - ($3 < -1e9 ? 1e9 : 1),
        $4 + ($4 > 1e9 ? $4 : 1) }' > ranges
check 'the list is there' test "$(wc -l < ranges)" -gt 80
while IFS='|' read -r command option below above; do
    for value in "$below" "$above"; do
        check "$command --$option=$value" refused "$command" "$option" "$value"
    done
done < ranges
# One of each type: int, float, double, long long.
for value in '' 3x nan inf 0x3 1e999 ' 3' '3,' - 9999999999999999999999; do
    check "chat --top-k=$value" refused 'rbe chat' top-k "$value"
    check "chat --temperature=$value" refused 'rbe chat' temperature "$value"
    check "convert --bits=$value" refused 'rbe convert' bits "$value"
    check "generate --seed=$value" refused 'rbe generate' seed "$value"
done
# Variety and relevance are those of two.
check 'two texts' refused 'rbe eval generation' prompts 1
check 'of two tokens' refused 'rbe eval generation' tokens 1
check 'the help says so' gives 0 "$bin/rbe" eval generation --help
check 'of both' test "$(grep -c '2 or more' out)" = 2
check 'no half token' refused 'rbe chat' top-k 1.5

# Decimal, whatever stands in front.
check 'ten is ten' gives 0 "$bin/rbe" generate --seed 010 -n 01 --json
check 'not eight' grep -q '"seed": *10\b' out

# Numbers within texts.
for list in '' ',' '1,' ',1' 1x -1 ' 1' 99999999999999999999; do
    check "--depths '$list'" gives 2 "$bin/rbe" eval inference -q --no-child --depths "$list"
done
for list in '' ',' '8,' 8x nan; do
    check "--ratios '$list'" gives 2 "$bin/rbe" codecs rbe-mini -q --ratios "$list"
done
for shape in '' 3x 3x4x ' 3x4' +3x4 -1x4 4294967297x4; do
    check "--white '$shape'" gives 2 "$bin/rbe" codecs -q --white "$shape"
done
for shape in '' 1,64,2,64 '1,64,2,64,256,' ' 1,64,2,64,256' 4294967297,64,2,64,256; do
    check "--shape '$shape'" gives 2 "$bin/rbe" synth m --shape "$shape"
done
for part in '' 0/2 3/2 1/2x ' 1/2' -1/2 4294967297/4294967298; do
    check "--shard '$part'" gives 2 "$bin/rbe" eval perplexity -q --shard "$part"
done
for n in '' 0 -1 3x nan 99999999999; do
    check "--benchmark_repetitions=$n" gives 2 "$bin/rbe-bench" "--benchmark_repetitions=$n"
done
check 'nothing is made' test ! -e m
check 'rbe-bench says which it is' gives 0 "$bin/rbe-bench" --version
check 'as rbe does' test "$(cat out)" = "$("$bin/rbe" --version)"
finish

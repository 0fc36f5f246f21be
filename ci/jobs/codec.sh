#!/usr/bin/env bash
# codec.sh - adds the codec of docs/ADDING-A-CODEC.md to a copy: built, tested, converted, run, measured?
#
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/../.." || exit 2
page=$PWD/docs/ADDING-A-CODEC.md
mini=$PWD/datasets/embedded/rbe-mini
built=${BUILDROOT:-build}/$(${CC:-gcc} -dumpmachine | cut -d- -f1)-release
make -s -j"$(nproc)" programs "$built/kernels/test/check_kernels" "$built/kernels/test/check_act" ||
    exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Sources and objects, times kept.
read -r -a rooms < <(sed -n 's/^ROOMS *:= //p' Makefile)
cp -a Makefile include kernels bench "${rooms[@]}" "$work/" 2> /dev/null
cp -a --parents scripts/commit.sh "$work/"
bin=build/${built##*/}
mkdir -p "$work/$bin"
(cd "$built" && find . \( -name '*.[oda]' -o -name flags \) -print0 |
    xargs -0 cp -a --parents -t "$work/$bin")

# The blocks of the page, each below the heading that says where it goes.
cd "$work" || exit 1
touch begin
name=$(sed -n 's/^RBE_FORMAT(\([a-z0-9]*\), .*/\1/p' "$page" | head -n 1)
awk '/^### `/ { split($0, part, "`"); to = part[2]; next }
     /^```c$/ { on = to ~ /\.def$/ ? to ".new" : to; next }
     /^```/ { on = ""; next }
     on { print > on }' "$page"
for list in kernels/formats kernels/kernels; do     # behind the last row
    awk -v new=$list.def.new 'function put(line) { while ((getline line < new) > 0) print line }
        /^#undef/ && !done++ { put() }
        { print }
        END { if (!done) put() }' $list.def > list && mv list $list.def && rm $list.def.new
done
mapfile -t touched < <(find kernels rbe bench cli -newer begin -type f)
echo "$name: ${touched[*]}"
[ -n "$name" ] && [ ${#touched[@]} -ge 6 ] || { echo "FAIL $page has no example"; exit 1; }
[ -z "$(git -C "${page%/docs/*}" grep -lw "rbe_format_$name" -- kernels rbe 2> /dev/null)" ] ||
    { echo "FAIL the tree has a $name already"; exit 1; }

# Rows come at the end: only what counts the formats, or makes something of each, is built again.
mapfile -t users < <(grep -rlE --include='*.c' 'RBE_FORMAT_COUNT|include "kernels/(formats|kernels)\.def"' .)
touch "${users[@]}"
unset BUILDROOT
make -s -j"$(nproc)" -o kernels/formats.def -o kernels/kernels.def CFLAGS="${CFLAGS:-}" programs \
    "$bin/kernels/test/check_kernels" "$bin/kernels/test/check_act" > build.log 2>&1 ||
    { grep -vE '^  (CC|CXX|AR|LINK) ' build.log; echo "FAIL it does not build"; exit 1; }
grep -vE '^  (CC|CXX|AR|LINK) ' build.log
PATH=$work/$bin/bin:$PATH
bad=0

# has WHAT PATTERN FILE: the pattern stands in the file.
has() {
    grep -qE -- "$2" "$3" && return
    echo "FAIL $1"
    tail -n 5 "$3"
    bad=1
}

RBE_CHECK_FORMAT=$name "$bin/kernels/test/check_kernels" > test.log 2>&1 || bad=1
has 'gemv is tested, and right' "^ok +gemv_${name}_scalar" test.log
has 'gemm is tested, and right' "^ok +gemm_${name}_scalar" test.log
"$bin/kernels/test/check_act" > act.log 2>&1 || { cat act.log; bad=1; }

rbe convert --help | tr -s ' \n' ' ' > help.txt
has 'rbe convert --help names it' "codec for every matrix, instead of a profile: [a-z0-9 ]*\b$name\b" help.txt
rbe codecs --help > help.txt
has 'rbe codecs --help tells of it' "^ +$name +[a-z]" help.txt
rbe convert "$mini" m.rbe --codec "$name" --search fast -q --json row.jsonl > convert.txt 2>&1 ||
    { cat convert.txt; echo 'FAIL rbe convert'; bad=1; }
has 'the row of the conversion' "\"codec\": ?\"$name\"" row.jsonl
rbe info m.rbe --verify > info.txt 2>&1
has 'rbe info' "^wte.weight .* $name " info.txt
has 'checksums' 'all checksums hold' info.txt
rbe generate m.rbe --tokens 4 --prompt 'The city' > said.txt 2> said.err ||
    { cat said.err; echo 'FAIL rbe generate'; bad=1; }
rbe codecs "$mini" -q --tensor h.5.attn.c_proj --sample 1 --ratios 500 > codecs.txt 2>&1
has 'rbe codecs has a row' "^ +- +$name " codecs.txt
printf 'all codec=nix\n' > nix.profile
rbe convert "$mini" x.rbe --profile nix.profile > nix.txt 2>&1
has 'what is valid' "unknown codec 'nix'; valid: .*$name" nix.txt
rbe-bench --quiet --formats "$name" --shapes 768x768 --kinds product --threads 1 \
    --min-time 0.001 --probe-time 0.001 --set-limit 8 --tsv bench.tsv > bench.log 2>&1
has 'a benchmark' "^gemv_${name}_scalar" bench.tsv

# A kernel that is wrong must fail.
sed -i 's/(float)sum \* scale/(float)sum * scale * 1.01F/' "kernels/scalar/${name}_scalar.c"
make -s -o kernels/formats.def -o kernels/kernels.def "$bin/kernels/test/check_kernels" > build.log 2>&1
if RBE_CHECK_FORMAT=$name "$bin/kernels/test/check_kernels" > test.log 2>&1; then
    echo "FAIL a wrong kernel of $name passes"
    bad=1
fi
[ $bad = 0 ] && echo "$name: ${#touched[@]} files of the page, then tested, converted, run and measured"
exit $bad

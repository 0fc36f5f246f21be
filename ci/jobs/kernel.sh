#!/usr/bin/env bash
# kernel.sh - adds the kernel of docs/ADDING-A-KERNEL.md to a copy: is it built, tested, measured?
#
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/../.." || exit 2
page=$PWD/docs/ADDING-A-KERNEL.md
case $(${CC:-gcc} -dumpmachine) in
x86_64*) ;;
*) echo "SKIP the example of $page is for x86-64"; exit 77 ;;
esac
export BUILDROOT=${BUILDROOT:-build}
make -s -j"$(nproc)" programs "$BUILDROOT/x86_64-release/kernels/test/check_kernels" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Sources and objects, times kept, so that only what the two steps touch is built again.
read -r -a rooms < <(sed -n 's/^ROOMS *:= //p' Makefile)
cp -a Makefile kernels bench "${rooms[@]}" "$work/" 2> /dev/null
cp -a --parents scripts/commit.sh "$work/"
mkdir -p "$work/build/x86_64-release"
(cd "$BUILDROOT/x86_64-release" &&
    find . \( -name '*.o' -o -name '*.a' -o -name flags \) -print0 |
    xargs -0 cp -a --parents -t "$work/build/x86_64-release")

# The two steps, as the page has them.
blocks() { awk '/^```c$/ { n++; on = 1; next } /^```/ { on = 0 } on && n == '"$1" "$page"; }
file=$(blocks 1 | sed -n 's/^ \* \([a-z0-9_]*\.c\) - .*/\1/p')
line=$(blocks 2)
name=$(sed -nE 's/^RBE_KERNEL\((\w+), (\w+), (\w+)\)$/\1_\2_\3/p' <<< "$line")
after=$(grep -o "after the line of \`[^\`]*\`" "$page" | grep -o '`.*`' | tr -d '`')
[ -n "$file" ] && [ -n "$name" ] && [ -n "$after" ] ||
    { echo "FAIL $page has no example (file '$file', line '$line', after '$after')"; exit 1; }
cd "$work" || exit 1
blocks 1 > "kernels/x86/$file"
awk -v after="($after)" -v line="$line" '{ print } index($0, after) { print line }' \
    kernels/kernels.def > new && mv new kernels/kernels.def
grep -qF "$line" kernels/kernels.def || { echo "FAIL no line '$after' in kernels.def"; exit 1; }

# Other kernels need only their own declaration from the list: they are not built again.
touch kernels/registry.c
unset BUILDROOT
bin=build/x86_64-release
make -s -j"$(nproc)" -o kernels/kernels.def CFLAGS="${CFLAGS:-}" "$bin/kernels/test/check_kernels" \
    "$bin/bin/rbe-bench" > build.log 2>&1 || { cat build.log; echo "FAIL it does not build"; exit 1; }
grep -vE '^  (CC|CXX|AR|LINK) ' build.log

bad=0
RBE_CHECK_EVERY=${RBE_CHECK_EVERY:-25} "$bin/kernels/test/check_kernels" > test.log 2>&1 || bad=1
said=$(grep -E "(ok|SKIP|FAIL) +$name" test.log | head -n 1)
case $said in
ok*) echo "tested: $said" ;;
SKIP*) echo "SKIP $said"; exit 77 ;;
*) echo "FAIL the test does not know $name, or it is wrong: $said"; bad=1 ;;
esac
"$bin/bin/rbe-bench" --quiet --kernels "$name" --shapes 768x768 --kinds product --threads 1 \
    --min-time 0.001 --probe-time 0.001 --set-limit 8 --tsv bench.tsv > bench.log 2>&1
grep -q "^$name" bench.tsv || { tail -n 5 bench.log; echo "FAIL not measured"; bad=1; }
echo "measured: $(grep -m 1 "^$name" bench.tsv | cut -f 1)"

# A kernel that is wrong must fail.
sed -i 's/a->scale\[0\]/a->scale[0] * 1.01f/' "kernels/x86/$file"
make -s -o kernels/kernels.def "$bin/kernels/test/check_kernels" > build.log 2>&1
if RBE_CHECK_EVERY=25 "$bin/kernels/test/check_kernels" > test.log 2>&1; then
    echo "FAIL a wrong $name passes"
    bad=1
fi
[ $bad = 0 ] && echo "$name: file and line, then tested and measured; a wrong one is caught"
exit $bad

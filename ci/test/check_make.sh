#!/usr/bin/env bash
# check_make.sh - blanks in paths of the source, DESTDIR and BUILDROOT; other builds' flags.
#
# SPDX-License-Identifier: MIT
#
# What make would run is looked at, nothing is built.
set -u
cd "$(dirname "$0")/../.." || exit 1
. test/lib.sh
tree="$work/a tree"
mkdir -p "$tree/datasets"
for room in $(sed -n 's/^ROOMS *:= //p' Makefile); do
    [ "$room" = datasets ] || cp -r "$room" "$tree/" || exit 1
done
cp -r Makefile kernels bench scripts ci test "$tree/" &&
    cp -r datasets/*.[ch] datasets/test "$tree/datasets/" || exit 1
unset BUILDROOT DESTDIR MAKEFLAGS MFLAGS MAKELEVEL

# would TARGET [VARIABLE=VALUE...]: its commands but those that compile into $work/said.
would() { make -n -C "$tree" "$@" 2> "$work/err" | grep -vE '^(gcc|g\+\+|echo|mkdir)' > "$work/said"; }
# whole PATH: it stands there, never outside of quotes.
whole() { grep -qF "'$1" "$work/said" && ! sed "s:'[^']*'::g" "$work/said" | grep -qF "$1"; }
for target in man report eval check-datasets; do
    would $target
    check "make $target in a folder with a blank" whole "$tree/build/"
done
would install DESTDIR="$work/de st" PREFIX=/usr
check 'make install to one' whole "$work/de st/usr"
check 'every file of it' test "$(grep -c 'de st' "$work/said")" -gt 15
check 'BUILDROOT with one' gives 2 make -n -C "$tree" BUILDROOT='b c' programs
check 'says what to do' one_line "BUILDROOT 'b c': a path without blanks, please"

# What the Makefile says of a file's last word, the builds for Android and for Swift say too.
cmake=deploy/android/src/main/cpp/CMakeLists.txt
flags() { grep -oE -- '-m[a-z0-9.=+-]+' | sort -u; }
avx512=$(sed -n 's/^AVX512 := //p' Makefile) avx2=$(sed -n 's/^set(AVX2 \(.*\))/\1/p' $cmake)
wide=$(sed -n 's/^set(AVX512 .{AVX2} \(.*\))/\1/p' $cmake)
words=0
while read -r word its; do
    words=$((words + 1))
    said=$(sed -n "s/^set(FLAGS_$word \(.*\))/\1/p" $cmake)
    said=${said//'${AVX512}'/$wide $avx2}
    check "$word, for Android" test "$(flags <<< "${its//'$(AVX512)'/$avx512}")" = \
        "$(flags <<< "${said//'${AVX2}'/$avx2}")"
    check "$word, for Swift" grep -q "[*]:${word}[ )]" deploy/swift/prepare.sh
done < <(sed -n 's/^$(B)\/%_\([a-z0-9]*\)\.o: *ISA := /\1 /p' Makefile)
check 'instruction sets of the Makefile' test $words -gt 8
finish

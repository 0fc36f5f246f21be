#!/usr/bin/env bash
# prepare.sh [ARCHIVES] - fills Sources/CRBE with what the Swift package compiles.
#
# SPDX-License-Identifier: MIT
#
# The rooms' sources go to tree/, jansson's and xxHash's to third-party/ (out of the folder
# ARCHIVES where they lie there, else fetched; their sums are compared).  SwiftPM gives all files
# of a target the same flags: made/ has for each source one that includes it, with its ISA (a
# file's last word, as in the Makefile) and without contraction, by what clang takes in a source.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd) to=Sources/CRBE archives=${1:-}
pools=(https://deb.debian.org/debian/pool/main
       https://snapshot.debian.org/archive/debian/20250520T000000Z/pool/main)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# third NAME PATH SHA256
third() {
    local file=$work/$1.tar.gz pool
    if [ -n "$archives" ] && [ -f "$archives/${2##*/}" ]; then
        cp "$archives/${2##*/}" "$file"
    else
        for pool in "${pools[@]}"; do
            curl -sSfL --max-time 120 -o "$file" "$pool/$2" && break
        done
    fi
    [ -s "$file" ] || { echo "prepare.sh: ${2##*/}: not got" >&2; exit 1; }
    [ "$(sha256sum "$file" 2> /dev/null || shasum -a 256 "$file")" != '' ] &&
        { sha256sum "$file" 2> /dev/null || shasum -a 256 "$file"; } | grep -q "^$3 " ||
        { echo "prepare.sh: ${2##*/}: another sha256 than $3" >&2; exit 1; }
    mkdir -p "$to/third-party/$1"
    tar xzf "$file" -C "$to/third-party/$1" --strip-components 1
}
rm -rf "$to/tree" "$to/third-party" "$to/made" "$to/include/rbe"
mkdir -p "$to/tree" "$to/made"
third jansson j/jansson/jansson_2.14.orig.tar.gz \
    c739578bf6b764aa0752db9a2fdadcfe921c78f1228c7ec0bb47fa804c55d17b
third xxhash x/xxhash/xxhash_0.8.1.orig.tar.gz \
    3bb6b7d6f30c591dd65aaaff1c8b7a5b94d81687998ca9400082c739a690436c

cp -R "$root/include/rbe" "$to/include/rbe"
(cd "$root" && find kernels base rbe model -name test -prune -o -name '*.[ch]' -print \
    -o -name '*.def' -print; ls deploy/*.[ch]) | grep -vx base/commit.c > "$work/files"
while IFS= read -r f; do
    mkdir -p "$to/tree/${f%/*}"
    cp "$root/$f" "$to/tree/$f"
done < "$work/files"

avx2='avx2,fma,f16c' avx512="avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"
# wrap SOURCE PROCESSOR HEADER TARGETS MACRO...: for one processor, with an ISA.
wrap() {
    printf '#if defined(__%s__)\n#pragma STDC FP_CONTRACT OFF\n#include <%s>\n' "$2" "$3"
    printf '#define %s 1\n' "${@:5}" | sed 's/^#define \(.*\) 1$/#ifndef \1\n#define \1 1\n#endif/'
    printf '#pragma clang attribute push(__attribute__((target("%s"))), apply_to = function)\n' "$4"
    printf '#include "%s"\n#pragma clang attribute pop\n#endif\n' "$1"
}
grep '\.c$' "$work/files" | while IFS= read -r f; do
    word=${f##*_} word=${word%.c} made=$to/made/${f//\//_}
    x86=(wrap "$f" x86_64 immintrin.h)
    case $f:$word in
    *:sse41) "${x86[@]}" sse4.1,ssse3 __SSE4_1__ __SSSE3__ ;;
    *:avx2) "${x86[@]}" $avx2 __AVX2__ __FMA__ __F16C__ ;;
    *:avxvnni) "${x86[@]}" $avx2,avxvnni __AVX2__ __FMA__ __F16C__ __AVXVNNI__ ;;
    *:avx512 | *:avx512vnni | *:avx512vbmi2 | *:avx512bf16 | *:amx)
        more=()
        targets=$avx512
        case $word in *vnni | *vbmi2) more+=(__AVX512VNNI__) targets+=,avx512vnni ;; esac
        case $word in *vbmi2)
            more+=(__AVX512VBMI__ __AVX512VBMI2__) targets+=,avx512vbmi,avx512vbmi2
            ;;
        esac
        case $word in *bf16 | amx) more+=(__AVX512BF16__) targets+=,avx512bf16 ;; esac
        case $word in amx) more+=(__AMX_TILE__ __AMX_BF16__) targets+=,amx-tile,amx-bf16 ;; esac
        "${x86[@]}" "$targets" __AVX2__ __FMA__ __F16C__ __AVX512F__ __AVX512BW__ __AVX512DQ__ \
            __AVX512VL__ ${more[@]+"${more[@]}"}
        ;;
    *:neondot) wrap "$f" aarch64 arm_neon.h dotprod __ARM_FEATURE_DOTPROD ;;
    kernels/arm/*)
        # Macs have the dot product without being asked; these are the kernels without it.
        printf '#if defined(__aarch64__)\n#pragma STDC FP_CONTRACT OFF\n#include <arm_neon.h>\n'
        printf '#undef __ARM_FEATURE_DOTPROD\n#include "%s"\n#endif\n' "$f"
        ;;
    *) printf '#pragma STDC FP_CONTRACT OFF\n#include "%s"\n' "$f" ;;
    esac > "$made"
done
for f in "$to"/third-party/jansson/src/*.c; do
    printf '#include "%s"\n' "${f##*/}" > "$to/made/jansson_${f##*/}"
done
# Named apart: xxhash.c would include itself.
printf '#include "xxhash.c"\n' > "$to/made/third_xxhash.c"
echo "prepare.sh: $(find "$to/made" -name '*.c' | wc -l | tr -d ' ') sources"

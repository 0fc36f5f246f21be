#!/usr/bin/env bash
# canary.sh - plants one known fault after the other in a copy; the tests must fail each time.
#
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/../.." || exit 2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
case $(${CC:-gcc} -dumpmachine) in
x86_64*) ;;
*) echo "SKIP the faults are planted in x86-64 kernels"; exit 77 ;;
esac
grep -qw avx2 /proc/cpuinfo || { echo "SKIP this CPU has no AVX2"; exit 77; }

# Only what the faults touch, so that each build takes a second.
mkdir -p "$work/kernels" "$work/scripts"
cp Makefile "$work/"
cp -r kernels/. "$work/kernels/"
cp scripts/run-tests.sh "$work/scripts/"
cd "$work" || exit 1
rm -f kernels/test/time_* kernels/arm/*.c
for f in kernels/x86/*.c; do
    case $f in
    *_f32_avx2.c | *_f16_avx2.c | *_int8_avx2.c | *_int4_avx2.c | *_hybrid_avx2.c | \
        *_packed128_avx2.c | *gemv_seed_avx2.c | */funnel_* | */transform_*) ;;
    *) rm -f "$f" ;;
    esac
done
# One line per kernel, then those that are left.
one=$(tr '\n' ' ' < kernels/kernels.def | sed 's/RBE_KERNEL(/\nRBE_KERNEL(/g' |
    sed -n 's/^\(RBE_KERNEL([^)]*)\).*/\1/p' | grep -v '(op,')
while read -r line; do
    file=$(sed -E 's/RBE_KERNEL\((\w+), *(\w+), *(\w+),.*/\1_\2_\3.c/' <<< "$line")
    if [ -f "kernels/scalar/$file" ] || [ -f "kernels/x86/$file" ]; then echo "$line"; fi
done <<< "$one" > list
mv list kernels/kernels.def

bin=build/x86_64-release/kernels/test
tests=("$bin/check_kernels" "$bin/check_format" "$bin/check_act" "$bin/check_transform")
build() {
    make -s -j"$(nproc)" BUILDROOT=build "${tests[@]}" > build.log 2>&1
}
run() {
    local t
    for t in "${tests[@]}"; do
        RBE_CHECK_EVERY=${RBE_CHECK_EVERY:-3} "$t" > "test.log" 2>&1 || return 1
    done
}

build || { tail -n 20 build.log; echo "FAIL the copy does not build"; exit 1; }
run || { grep FAIL test.log | head; echo "FAIL the copy without a fault fails"; exit 1; }

caught=0 missed=0
while IFS='|' read -r what file expression; do
    what=${what%"${what##*[![:space:]]}"} file=${file//[[:space:]]/}
    cp "$file" saved
    sed -i -E "$expression" "$file"
    if cmp -s "$file" saved; then
        echo "FAIL cannot plant: $what (the text in $file has changed)"
        missed=$((missed + 1))
        continue
    fi
    if ! build; then
        echo "FAIL does not build: $what"
        tail -n 5 build.log
        missed=$((missed + 1))
    elif run; then
        echo "FAIL not caught: $what"
        missed=$((missed + 1))
    else
        echo "ok   caught: $what: $(grep -m 1 FAIL test.log | cut -c 1-60)"
        caught=$((caught + 1))
    fi
    cp saved "$file"
    touch "$file"
done << 'END'
int4: last unit dropped            | kernels/body/integers.h     | s/u < units; u\+\+/u + 1 < units; u++/
int4: two groups swapped           | kernels/body/integers.h     | s/s16_nibble\(w, 1\), q \+ 32/s16_nibble(w, 2), q + 32/
int4: nibbles taken as unsigned    | kernels/x86/simd_avx2.h     | s/_mm256_srai_epi16/_mm256_srli_epi16/
int8: scale rounded                | kernels/body/integers.h     | s/half1\(scale\[g\]\)/half1(scale[g] \& 0xFFF0)/
integers: product and sum fused    | kernels/x86/simd_avx2.h     | s/_mm256_add_ps\(acc.a, _mm256_mul_ps\(s, (.*)\)\),/_mm256_fmadd_ps(s, \1, acc.a),/
gemm: first vector's scale for all | kernels/body/integers.h     | s/a->scale\[t0 \+ t\]/a->scale[t0]/
f32: reads past the last row       | kernels/body/floats.h       | s/weights_f32_tail\(row \+ c, cols - c\), /f32_load(row + c), /
f32: writes one row too many       | kernels/body/floats.h       | s/for \(size_t r = row0; r < row1; r\+\+\)$/for (size_t r = row0; r <= row1; r++)/
f16: last columns dropped          | kernels/body/floats.h       | s/f32_fma\(weights_f16_tail\(.*\), s1\)/s1/
f16: NaN for a result              | kernels/body/floats.h       | s/y\[r\] = dot_f16\((.*)$/y[r] = (float)__builtin_nan("") * dot_f16(\1/
f16: an accumulator forgotten      | kernels/body/floats.h       | s/f32_add\(s2, s3\)/s2/
gemm: traps                        | kernels/body/floats.h       | s/(const size_t cols = w->cols, count = a->count;)/if (a->count > 6) __builtin_trap(); \1/
hybrid: last entry dropped         | kernels/body/hybrid.h       | s/e < m; e\+\+/e + 1 < m; e++/
hybrid: reads past the indices     | kernels/body/hybrid.h       | s/\/ 16 \+ 1 < words;/\/ 16 < words;/
hybrid: a basis function forgotten | kernels/body/hybrid.h       | s/ \+ theta\[7\] \* sum\[SUM_COS1\]//
packed128: a slot off by one       | kernels/body/packed128.h    | s/\(j - i\) \& 3/(j + i) \& 3/
seed: another multiplier           | kernels/format/seed.h       | s/0xE37D/0xE37B/
activations: one step too large    | kernels/matrix.c            | s/RBE_ACT_MAX - 0.5/RBE_ACT_MAX + 1.5/
activations: sums may overflow     | kernels/matrix.c            | s/floor\(2147483647.0 /floor(2248146943.0 /
activations: truncated, not rounded| kernels/x86/simd_avx2.h     | s/_mm256_cvtps_epi32\(v\)/_mm256_cvttps_epi32(v)/
activations: a lane of the sum lost| kernels/x86/simd_avx2.h     | s/_mm256_add_pd\(sum.b, .*\)\}/sum.b}/
rotation: a stage's signs swapped  | kernels/x86/simd_avx2.h     | s/f32_flip\(v, 0xCC\)/f32_flip(v, 0x33)/
rotation: signs of a word shifted  | kernels/body/transform.h    | s/\(s >> k\) \&/(s >> (k + 1)) \&/
END
echo "$caught faults caught, $missed missed"
[ $missed = 0 ] && [ $caught -gt 10 ]

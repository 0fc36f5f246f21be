#!/usr/bin/env bash
# canary.sh - plants one known fault after the other in a copy; the tests must fail each time.
#
# SPDX-License-Identifier: MIT
#
# Each fault names the test that must notice it and, for check_kernels, the format it touches.
# Several copies are worked on at a time, one to a core.  Faults of ISAs that this machine
# cannot run are left out by name.  CANARY_ONLY=TEXT takes the faults with the text in their line.
set -u
cd "$(dirname "$0")/../.." || exit 2
export RBE_CHECK_STOP=1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
case $(${CC:-gcc} -dumpmachine) in
x86_64*) ;;
*) echo "SKIP the faults are planted in x86-64 kernels"; exit 77 ;;
esac
grep -qw avx2 /proc/cpuinfo || { echo "SKIP this CPU has no AVX2"; exit 77; }

# What the faults touch and nothing else.
mkdir -p "$work/0/scripts" "$work/log"
cp Makefile "$work/0/"
cp -r kernels "$work/0/"
cp scripts/run-tests.sh "$work/0/scripts/"
cd "$work/0" || exit 1
rm -f kernels/test/time_*
for f in kernels/x86/*.c kernels/arm/*.c; do
    case $f in
    */f32_avx2.c | */f16_avx2.c | */int8_avx2.c | */int4_avx2.c | */hybrid_avx2.c | \
        */packed128_avx2.c | */seed_avx2.c | */seed4_avx2.c | */seedg_avx2.c) ;;
    */f16_sse41.c | */seed_sse41.c | */int4_avx512.c | */int8_avx512vnni.c | \
        */seed4_avx512.c) ;;
    */int8_neondot.c | */int4_neon.c | */seed4_neon.c | */seedg_neon.c) ;;
    */seed_act8_avxvnni.c | */seed4_act8_avx512vnni.c | */seed4_act8_neondot.c) ;;
    */funnel_* | */transform_*) ;;
    *) rm -f "$f" ;;
    esac
done
# The rows whose file is left: RBE_KERNEL(op, format, isa), RBE_VERSION(table, isa).
while IFS= read -r line; do
    file=$(sed -nE -e 's/^RBE_KERNEL\(gemv8u?, (\w+), (\w+)\)$/\1_act8_\2.c/p; t' \
        -e 's/^RBE_(KERNEL\(\w+, |VERSION\()(\w+), (\w+)\)$/\2_\3.c/p' <<< "$line")
    if [ -z "$file" ] || compgen -G "kernels/*/$file" > /dev/null; then echo "$line"; fi
done < kernels/kernels.def > rows && mv rows kernels/kernels.def

arm=
if command -v aarch64-linux-gnu-gcc qemu-aarch64 > /dev/null; then arm=1; fi

# build ARCH TEST, then run ARCH TEST FORMAT, in the copy that is the current folder.  Quickly
# compiled, as the tests must find a fault in any code; with what make is to think.
think=()
build() {
    local cc=${CC:-gcc}
    [ "$1" != aarch64 ] || cc=aarch64-linux-gnu-gcc
    make -s BUILDROOT=build CC="$cc" CFLAGS='-O1 -g0' "${think[@]}" \
        "build/$1-release/kernels/test/$2" > build.log 2>&1
}
run() {
    local emulator=() every=1
    # Half of the shapes suffice under the emulator; some faults show in one shape alone.
    [ "$1" != aarch64 ] || { emulator=(qemu-aarch64 -L /usr/aarch64-linux-gnu) every=2; }
    if [ "$3" = - ]; then unset RBE_CHECK_FORMAT; else export RBE_CHECK_FORMAT=$3; fi
    RBE_CHECK_EVERY=${RBE_CHECK_EVERY:-$every} "${emulator[@]}" \
        "build/$1-release/kernels/test/$2" > test.log 2>&1
}

# objects_of TEST FORMAT: what the test runs of a fault; the others that its file is part of stay
# as they are.
objects_of() {
    case $1:$2 in
    *:-) ;;
    *) echo kernels/*/"$2"_*.o; return ;;
    esac
    case $1 in
    check_format) echo kernels/format/*.o kernels/test/check_format.o ;;
    check_transform) echo kernels/*/transform_*.o ;;
    check_act) echo kernels/matrix.o ;;
    esac
}

# try WHAT ARCH TEST FORMAT FILE EXPRESSION
try() {
    local think=() o at=build/$2-release
    # Of a header's users those that the test runs of it are built, and no others.
    case $5 in *.h) think=(-o "$5") ;; esac
    mkdir saved
    while read -r o; do
        cp -p --parents "$o" saved
        o=${o#"$at/"}
        think+=(-W "${o%.o}.c")
    done < <(cd "$at" && objects_of "$3" "$4" | tr ' ' '\n' | sed "s#^#$at/#")
    cp -p --parents "$5" saved
    sed -i -E "$6" "$5"
    if cmp -s "$5" "saved/$5"; then
        echo "FAIL cannot plant: $1 (the text in $5 has changed)"
    elif ! build "$2" "$3"; then
        tail -n 5 build.log
        echo "FAIL does not build: $1"
    elif run "$2" "$3" "$4"; then
        echo "FAIL not caught: $1"
    else
        echo "ok   caught: $1: $(grep -m 1 FAIL test.log | cut -c 1-60)"
    fi
    # With their times: nothing is built again for them.
    cp -a saved/. . && rm -r saved
}

# lane N: every COPIES-th fault, from the N-th on
lane() {
    local i=0 what arch test format file expression
    cd "$work/$1" || exit 1
    while IFS='|' read -r what arch test format file expression; do
        if [ $((i++ % copies)) = "$1" ]; then
            try "${what%"${what##*[![:space:]]}"}" "${arch// /}" "check_${test// /}" \
                "${format// /}" "${file// /}" "$expression"
        fi
    done < "$work/faults" > "$work/log/$1"
}

sed 's/ *| */|/; s/^ *//' > "$work/all" << 'EOF'
int4: last unit dropped            |x86_64|kernels|int4|kernels/body/integers.h|s/u < units; u\+\+/u + 1 < units; u++/
int4: two groups swapped           |x86_64|kernels|int4|kernels/body/integers.h|s/s16_nibble\(w, 1\), q \+ 32/s16_nibble(w, 2), q + 32/
int4: one row's scales for a tile  |x86_64|kernels|int4|kernels/body/integers.h|s/\(r0 \+ r\) \* n \* 4/r0 * n * 4/
int4: nibbles taken as unsigned    |x86_64|kernels|int4|kernels/x86/simd_avx2.h|s/_mm256_srai_epi16/_mm256_srli_epi16/
int4: the same with AVX-512        |avx512f|kernels|int4|kernels/x86/simd_avx512.h|s/_mm512_srai_epi16/_mm512_srli_epi16/
int4: the same with NEON           |aarch64|kernels|int4|kernels/arm/simd_neon.h|s/12 - 4 \* k/12 - 3 * k/
int8: scale rounded                |x86_64|kernels|int8|kernels/body/integers.h|s/half1\(scale\[g\]\)/half1(scale[g] \& 0xFFF0)/
int8: a sum lost (VNNI)            |avx512_vnni|kernels|int8|kernels/x86/simd_avx512.h|s/_mm512_dpwssd_epi32\(sum,/_mm512_dpwssd_epi32(_mm512_setzero_si512(),/
int8: high bytes count less (NEON) |aarch64|kernels|int8|kernels/arm/int8_neondot.c|s/high\[r\]\[j\], 256/high[r][j], 255/
integers: product and sum fused|x86_64|kernels|int8|kernels/x86/simd_avx2.h|s/_mm256_add_ps\(acc.a, _mm256_mul_ps\(s, (.*)\)\),/_mm256_fmadd_ps(s, \1, acc.a),/
gemm: first vector's scale for all |x86_64|kernels|int8|kernels/body/integers.h|s/a->scale\[t0 \+ t\]/a->scale[t0]/
f32: reads past the last row       |x86_64|kernels|f32|kernels/body/floats.h|s/weights_f32_tail\(row \+ c, cols - c\), /f32_load(row + c), /
f32: writes one row too many       |x86_64|kernels|f32|kernels/body/floats.h|s/for \(size_t r = row0; r < row1; r\+\+\)$/for (size_t r = row0; r <= row1; r++)/
f16: last columns dropped          |x86_64|kernels|f16|kernels/body/floats.h|s/f32_fma\(weights_f16_tail\(.*\), s1\)/s1/
f16: NaN for a result              |x86_64|kernels|f16|kernels/body/floats.h|s/y\[r\] = dot_f16\((.*)$/y[r] = (float)__builtin_nan("") * dot_f16(\1/
f16: an accumulator forgotten      |x86_64|kernels|f16|kernels/body/floats.h|s/f32_add\(s2, s3\)/s2/
f16: reads past the last (SSE4.1)  |x86_64|kernels|f16|kernels/body/floats.h|s/weights_f16_tail\(code \+ i, n - i\)/f32_load_half(code + i)/
gemm: traps|x86_64|kernels|f32|kernels/body/floats.h|s/(const size_t cols = w->cols, count = a->count;)/if (a->count > 6) __builtin_trap(); \1/
hybrid: last entry dropped         |x86_64|kernels|hybrid|kernels/body/hybrid.h|s/e < m; e\+\+/e + 1 < m; e++/
hybrid: reads past the indices     |x86_64|kernels|hybrid|kernels/body/hybrid.h|s/\/ 16 \+ 1 < words;/\/ 16 < words;/
hybrid: a basis function forgotten |x86_64|kernels|hybrid|kernels/body/hybrid.h|s/ \+ theta\[7\] \* sum\[SUM_COS1\]//
hybrid: gemv's first columns again |x86_64|kernels|hybrid|kernels/body/hybrid.h|s/hybrid_column\(t, a->x \+ n0 \+/hybrid_column(t, a->x +/
packed128: a slot off by one       |x86_64|kernels|packed128|kernels/body/packed128.h|s/\(j - i\) \& 3/(j + i) \& 3/
packed128: vectors 256 on lost     |x86_64|kernels|packed128|kernels/body/packed128.h|s/y \+ t0 \* ldy \+ r \+ i/y + r + i/
seed: another multiplier           |x86_64|format|-|kernels/format/seed.h|s/0xE37D/0xE37B/
seed: columns 768 on alone         |x86_64|kernels|seed|kernels/body/seed_gemv.h|s/\.add = g > 0/.add = false/
seed: the ring's joint misread     |x86_64|kernels|seed|kernels/body/seed_gemv.h|s/\(inside \? s->words : s->below_words\)/s->words/
seed: another offset (AVX-VNNI)    |avx_vnni|kernels|seed|kernels/body/seed_gemv.h|s/128 \* \(uint32_t\)/127 * (uint32_t)/
seed: first strip's sums for all   |avx_vnni|kernels|seed|kernels/body/seed_gemv.h|s/w->row_sum \+ r/w->row_sum/
seed4: operands swapped (VNNI)     |avx512_vnni|kernels|seed4|kernels/x86/seed_avx512.h|s/dpbusd_epi32\(sum, g, x\)/dpbusd_epi32(sum, x, g)/
seed4: signs of 8 bits lost (NEON) |aarch64|kernels|seed4|kernels/arm/seed_neon.h|s/veorq_u16\(a, b\)/vorrq_u16(a, b)/
seed: gemm's first columns lost    |x86_64|kernels|seed|kernels/body/seed_gemm.h|s/= o->first \? \(u16x\)start/= o->first || o->last ? (u16x)start/
seed: gemm's third and fourth row  |x86_64|kernels|seed|kernels/body/seed_gemm.h|s/zip32_high\(g\[2\], g\[3\]\)/zip32_high(g[3], g[2])/
seed4: gemm's pairs are one (NEON) |aarch64|kernels|seed4|kernels/arm/seed_neon.h|s/vld1_dup_s16\(q \+ 1\)/vld1_dup_s16(q)/
seed: columns swapped (SSE4.1)     |x86_64|kernels|seed|kernels/x86/seed_sse41.h|s/s\[i \+ 2\], s\[i \+ 3\]/s[i + 3], s[i + 2]/
seed4: the first row's term for all|x86_64|kernels|seed4|kernels/body/seed_gemm.h|s/\(unsigned\)\(row % w->block\)/(unsigned)(r % w->block)/
seed4: another row term            |x86_64|kernels|seed4|kernels/body/seed_map.h|s/i \* RBE_SEED4_STEP/i * 0x6485U/
seedg: another multiplier          |x86_64|format|-|kernels/format/seedg.h|s/0x9131U/0x9133U/
seedg: an entry of zero            |x86_64|kernels|seedg|kernels/x86/simd_avx2.h|s/\(h, _mm256_set1_epi8\(63\)\)/(h, _mm256_set1_epi8(62))/
seedg: cut, not rounded (NEON)     |aarch64|kernels|seedg|kernels/arm/simd_neon.h|s/vqrdmulhq_s16/vqdmulhq_s16/
seed4: nibbles cut short (NEON)    |aarch64|kernels|seed4|kernels/arm/simd_neon.h|s/low = vdupq_n_u8\(15\)/low = vdupq_n_u8(14)/
activations: one step too large    |x86_64|act|-|kernels/matrix.c|s/RBE_ACT_MAX - 0.5/RBE_ACT_MAX + 1.5/
activations: 8 bits, a step more   |x86_64|act|-|kernels/matrix.c|s/RBE_ACT8_MAX : /RBE_ACT8_MAX + 1 : /
activations: pairs one less        |x86_64|transform|-|kernels/body/transform.h|s/0xFF\) \^ 0x80;/0xFF) ^ 0x81;/
activations: sums may overflow     |x86_64|act|-|kernels/matrix.c|s/floor\(2147483647.0 /floor(2248146943.0 /
activations: truncated, not rounded|x86_64|transform|-|kernels/x86/simd_avx2.h|s/_mm256_cvtps_epi32\(v\)/_mm256_cvttps_epi32(v)/
activations: a lane of the sum lost|x86_64|transform|-|kernels/x86/simd_avx2.h|s/_mm256_add_pd\(sum.b, .*\)\}/sum.b}/
rotation: a stage's signs swapped  |x86_64|transform|-|kernels/x86/simd_avx2.h|s/f32_flip\(v, 0xCC\)/f32_flip(v, 0x33)/
rotation: signs of a word shifted  |x86_64|transform|-|kernels/body/transform.h|s/\(s >> k\) \&/(s >> (k + 1)) \&/
EOF
# A feature for an architecture: x86-64, where the CPU has it.
skipped=0
while IFS='|' read -r what arch rest; do
    [[ "$what|$arch|$rest" == *"${CANARY_ONLY-}"* ]] || continue
    arch=${arch// /}
    case $arch in
    x86_64) ;;
    aarch64) [ -n "$arm" ] || arch= ;;
    *) if grep -qw "$arch" /proc/cpuinfo; then arch=x86_64; else arch=; fi ;;
    esac
    if [ -n "$arch" ]; then
        echo "$what|$arch|$rest"
    else
        skipped=$((skipped + 1))
        echo "SKIP $what" >&2
    fi
done < "$work/all" > "$work/faults"

for test in kernels act transform format; do
    for arch in x86_64 ${arm:+aarch64}; do
        [ "$test-$arch" = kernels-aarch64 ] || [ "$arch" = x86_64 ] || continue
        build "$arch" "check_$test" ||
            { tail -n 20 build.log; echo "FAIL the copy does not build"; exit 1; }
        RBE_CHECK_EVERY=$([ "$arch" = x86_64 ] && echo 16 || echo 20) run "$arch" "check_$test" - ||
            { grep FAIL test.log | head; echo "FAIL the copy without a fault fails"; exit 1; }
    done
done
copies=$(nproc)
for ((n = 1; n < copies; n++)); do cp -a "$work/0" "$work/$n"; done
for ((n = 0; n < copies; n++)); do lane $n & done
wait
cat "$work"/log/*
caught=$(cat "$work"/log/* | grep -c '^ok')
faults=$(wc -l < "$work/faults")
echo "$caught faults caught, $((faults - caught)) missed, $skipped skipped"
[ "$caught" = "$faults" ] && [ "$caught" -gt 0 ] && { [ -n "${CANARY_ONLY-}" ] || [ "$caught" -gt 20 ]; }

/*
 * probe_avx2.c - 256-bit registers.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef __AVX2__
#error "the Makefile takes ISA flags from the file name's suffix"
#endif
#include <immintrin.h>

#include "bench/probe_list.h"

static uint64_t fold(__m256i v)
{
    return (uint64_t)(_mm256_extract_epi64(v, 0) ^ _mm256_extract_epi64(v, 1) ^
                      _mm256_extract_epi64(v, 2) ^ _mm256_extract_epi64(v, 3));
}

/* Two registers at p, folded into s. */
static inline __m256i take(__m256i s, const __m256i *p)
{
    return _mm256_xor_si256(s, _mm256_xor_si256(_mm256_loadu_si256(p),
                                                _mm256_loadu_si256(p + 1)));
}

uint64_t rbe_probe_read_avx2(const void *p, size_t n)
{
    const __m256i *v = p;
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;

    for (size_t i = 0; i < n / 32; i += 8) {
        a = take(a, v + i);
        b = take(b, v + i + 2);
        c = take(c, v + i + 4);
        d = take(d, v + i + 6);
    }
    return fold(_mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d)));
}

/* Four streams, a quarter of the buffer each. */
uint64_t rbe_probe_read4_avx2(const void *p, size_t n)
{
    const __m256i *v = p;
    const size_t q = n / 128;
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;

    for (size_t i = 0; i < q; i += 2) {
        a = take(a, v + i);
        b = take(b, v + q + i);
        c = take(c, v + 2 * q + i);
        d = take(d, v + 3 * q + i);
    }
    return fold(_mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d)));
}

uint64_t rbe_probe_fma_f32_avx2(const void *p, size_t n)
{
    const __m256 m = _mm256_set1_ps(0.75F), a = _mm256_set1_ps(0.5F);
    __m256 sum = a;

    (void)p;
#define X(j) __m256 s##j = _mm256_set1_ps(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) s##j = _mm256_fmadd_ps(s##j, m, a);
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm256_add_ps(sum, s##j);
    RBE_EACH12(X)
#undef X
    return fold(_mm256_castps_si256(sum));
}

uint64_t rbe_probe_dot_i16_avx2(const void *p, size_t n)
{
    __m256i a = _mm256_set1_epi16(3), b = _mm256_set1_epi16(5), sum = a;

    (void)p;
#define X(j) __m256i s##j = _mm256_set1_epi32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) RBE_OPAQUE(a); s##j = _mm256_add_epi32(s##j, _mm256_madd_epi16(a, b));
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm256_add_epi32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return fold(sum);
}

uint64_t rbe_probe_dot_i8_avx2(const void *p, size_t n)
{
    const __m256i one = _mm256_set1_epi16(1);
    __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5), sum = a;

    (void)p;
#define X(j) __m256i s##j = _mm256_set1_epi32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j)                                                                                   \
    RBE_OPAQUE(a);                                                                             \
    s##j = _mm256_add_epi32(s##j, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), one));
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm256_add_epi32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return fold(sum);
}

/*
 * probe_sse41.c - 128-bit registers.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef __SSE4_1__
#error "needs -msse4.1: the Makefile takes ISA flags from the file name's suffix"
#endif
#include <smmintrin.h>

#include "bench/probe_list.h"

static uint64_t fold(__m128i v)
{
    return (uint64_t)(_mm_extract_epi64(v, 0) ^ _mm_extract_epi64(v, 1));
}

uint64_t rbe_probe_read_sse41(const void *p, size_t n)
{
    const __m128i *v = p;
    __m128i a = _mm_setzero_si128(), b = a, c = a, d = a;

    for (size_t i = 0; i < n / 16; i += 8) {
        a = _mm_xor_si128(a, _mm_xor_si128(_mm_loadu_si128(v + i), _mm_loadu_si128(v + i + 1)));
        b = _mm_xor_si128(b, _mm_xor_si128(_mm_loadu_si128(v + i + 2),
                                           _mm_loadu_si128(v + i + 3)));
        c = _mm_xor_si128(c, _mm_xor_si128(_mm_loadu_si128(v + i + 4),
                                           _mm_loadu_si128(v + i + 5)));
        d = _mm_xor_si128(d, _mm_xor_si128(_mm_loadu_si128(v + i + 6),
                                           _mm_loadu_si128(v + i + 7)));
    }
    return fold(_mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d)));
}

uint64_t rbe_probe_fma_f32_sse41(const void *p, size_t n)
{
    const __m128 m = _mm_set1_ps(0.75F), a = _mm_set1_ps(0.5F);
    __m128 sum = a;

    (void)p;
#define X(j) __m128 s##j = _mm_set1_ps(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) s##j = _mm_add_ps(_mm_mul_ps(s##j, m), a);
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm_add_ps(sum, s##j);
    RBE_EACH12(X)
#undef X
    return fold(_mm_castps_si128(sum));
}

uint64_t rbe_probe_dot_i16_sse41(const void *p, size_t n)
{
    __m128i a = _mm_set1_epi16(3), b = _mm_set1_epi16(5), sum = a;

    (void)p;
#define X(j) __m128i s##j = _mm_set1_epi32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) RBE_OPAQUE(a); s##j = _mm_add_epi32(s##j, _mm_madd_epi16(a, b));
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm_add_epi32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return fold(sum);
}

uint64_t rbe_probe_dot_i8_sse41(const void *p, size_t n)
{
    const __m128i one = _mm_set1_epi16(1);
    __m128i a = _mm_set1_epi8(3), b = _mm_set1_epi8(5), sum = a;

    (void)p;
#define X(j) __m128i s##j = _mm_set1_epi32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j)                                                                                   \
    RBE_OPAQUE(a);                                                                             \
    s##j = _mm_add_epi32(s##j, _mm_madd_epi16(_mm_maddubs_epi16(a, b), one));
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm_add_epi32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return fold(sum);
}

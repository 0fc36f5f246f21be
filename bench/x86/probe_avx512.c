/*
 * probe_avx512.c - 512-bit registers.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef __AVX512BW__
#error "the Makefile takes ISA flags from the file name's suffix"
#endif
#include <immintrin.h>

#include "bench/probe_list.h"

/* The compiler's own reduction adds signed numbers, which may overflow. */
static uint64_t fold(__m512i v)
{
    uint64_t lane[8];

    _mm512_storeu_si512(lane, v);
    return lane[0] + lane[1] + lane[2] + lane[3] + lane[4] + lane[5] + lane[6] + lane[7];
}

/* Two registers at p, folded into s. */
static inline __m512i take(__m512i s, const __m512i *p)
{
    return _mm512_xor_si512(s, _mm512_xor_si512(_mm512_loadu_si512(p),
                                                _mm512_loadu_si512(p + 1)));
}

uint64_t rbe_probe_read_avx512(const void *p, size_t n)
{
    const __m512i *v = p;
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;

    for (size_t i = 0; i < n / 64; i += 8) {
        a = take(a, v + i);
        b = take(b, v + i + 2);
        c = take(c, v + i + 4);
        d = take(d, v + i + 6);
    }
    return fold(_mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)));
}

/* Four streams, a quarter of the buffer each. */
uint64_t rbe_probe_read4_avx512(const void *p, size_t n)
{
    const __m512i *v = p;
    const size_t q = n / 256;
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;

    for (size_t i = 0; i < q; i += 2) {
        a = take(a, v + i);
        b = take(b, v + q + i);
        c = take(c, v + 2 * q + i);
        d = take(d, v + 3 * q + i);
    }
    return fold(_mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)));
}

uint64_t rbe_probe_fma_f32_avx512(const void *p, size_t n)
{
    const __m512 m = _mm512_set1_ps(0.75F), a = _mm512_set1_ps(0.5F);
    __m512 sum = a;

    (void)p;
#define X(j) __m512 s##j = _mm512_set1_ps(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) s##j = _mm512_fmadd_ps(s##j, m, a);
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm512_add_ps(sum, s##j);
    RBE_EACH12(X)
#undef X
    return fold(_mm512_castps_si512(sum));
}

uint64_t rbe_probe_dot_i16_avx512(const void *p, size_t n)
{
    __m512i a = _mm512_set1_epi16(3), b = _mm512_set1_epi16(5), sum = a;

    (void)p;
#define X(j) __m512i s##j = _mm512_set1_epi32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) RBE_OPAQUE(a); s##j = _mm512_add_epi32(s##j, _mm512_madd_epi16(a, b));
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm512_add_epi32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return fold(sum);
}

uint64_t rbe_probe_dot_i8_avx512(const void *p, size_t n)
{
    const __m512i one = _mm512_set1_epi16(1);
    __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5), sum = a;

    (void)p;
#define X(j) __m512i s##j = _mm512_set1_epi32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j)                                                                                   \
    RBE_OPAQUE(a);                                                                             \
    s##j = _mm512_add_epi32(s##j, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), one));
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm512_add_epi32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return fold(sum);
}

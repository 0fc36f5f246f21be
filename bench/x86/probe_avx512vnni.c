/*
 * probe_avx512vnni.c - dot products in one instruction.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef __AVX512VNNI__
#error "the Makefile takes ISA flags from the file name's suffix"
#endif
#include <immintrin.h>

#include "bench/probe_list.h"

uint64_t rbe_probe_dot_i16_avx512vnni(const void *p, size_t n)
{
    const __m512i a = _mm512_set1_epi16(3), b = _mm512_set1_epi16(5);
    __m512i sum = a;

    (void)p;
#define X(j) __m512i s##j = _mm512_set1_epi32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) s##j = _mm512_dpwssd_epi32(s##j, a, b);
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm512_add_epi32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return (uint64_t)(uint32_t)_mm512_cvtsi512_si32(sum);
}

uint64_t rbe_probe_dot_i8_avx512vnni(const void *p, size_t n)
{
    const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
    __m512i sum = a;

    (void)p;
#define X(j) __m512i s##j = _mm512_set1_epi32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) s##j = _mm512_dpbusd_epi32(s##j, a, b);
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm512_add_epi32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return (uint64_t)(uint32_t)_mm512_cvtsi512_si32(sum);
}

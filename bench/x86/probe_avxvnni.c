/*
 * probe_avxvnni.c - dot products of bytes in one instruction.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef __AVXVNNI__
#error "the Makefile takes ISA flags from the file name's suffix"
#endif
#include <immintrin.h>

#include "bench/probe_list.h"

uint64_t rbe_probe_dot_i8_avxvnni(const void *p, size_t n)
{
    const __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
    __m256i sum = a;

    (void)p;
#define X(j) __m256i s##j = _mm256_set1_epi32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) s##j = _mm256_dpbusd_avx_epi32(s##j, a, b);
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = _mm256_add_epi32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return (uint64_t)(uint32_t)_mm256_cvtsi256_si32(sum);
}

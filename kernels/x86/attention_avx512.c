/*
 * attention_avx512.c - kernels/attention.h in sixteen lanes of AVX-512.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/attention.h"
#include "kernels/body/unroll.h"
#include "kernels/list.h"
#include "kernels/body/attention_whole.h"

enum { SUMS = 16 };

struct sums {
    __m512i v;
};

struct bytes {
    __m512i even, odd;
};

struct four {
    __m512i even, odd;
};

INLINE struct sums sums_zero(void)
{
    return (struct sums){_mm512_setzero_si512()};
}

INLINE struct bytes bytes_load(const uint8_t *b)
{
    const __m512i v = _mm512_loadu_si512(b);
    return (struct bytes){_mm512_and_si512(v, _mm512_set1_epi16(0xFF)),
                          _mm512_srli_epi16(v, 8)};
}

INLINE struct four operand_four(struct operand x, size_t g)
{
    const int16_t *const q = x.q + 4 * g;
    return (struct four){u16_pair(q), u16_pair(q + 2)};
}

INLINE struct sums sums_add(struct sums s, struct bytes b, struct four x)
{
    return (struct sums){
        _mm512_add_epi32(s.v, _mm512_add_epi32(_mm512_madd_epi16(b.even, x.even),
                                               _mm512_madd_epi16(b.odd, x.odd)))};
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    _mm512_storeu_si512(out, s.v);
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, avx512)

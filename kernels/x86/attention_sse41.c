/*
 * attention_sse41.c - kernels/attention.h in four lanes of SSE4.1.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/attention.h"
#include "kernels/body/unroll.h"
#include "kernels/list.h"
#include "kernels/body/attention_whole.h"

enum { SUMS = 2 };

struct sums {
    __m128i v[4];
};

struct bytes {
    __m128i even[4], odd[4];
};

struct four {
    __m128i even, odd;
};

INLINE struct sums sums_zero(void)
{
    struct sums s;

    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        s.v[j] = _mm_setzero_si128();
    return s;
}

INLINE struct bytes bytes_load(const uint8_t *b)
{
    const __m128i mask = _mm_set1_epi16(0xFF);
    struct bytes w;

    RBE_UNROLL
    for (int j = 0; j < 4; j++) {
        const __m128i v = _mm_loadu_si128((const __m128i *)(b + 16 * j));
        w.even[j] = _mm_and_si128(v, mask);
        w.odd[j] = _mm_srli_epi16(v, 8);
    }
    return w;
}

INLINE struct four operand_four(struct operand x, size_t g)
{
    const int16_t *const q = x.q + 4 * g;
    return (struct four){u16_pair(q), u16_pair(q + 2)};
}

INLINE struct sums sums_add(struct sums s, struct bytes b, struct four x)
{
    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        s.v[j] = _mm_add_epi32(s.v[j], _mm_add_epi32(_mm_madd_epi16(b.even[j], x.even),
                                               _mm_madd_epi16(b.odd[j], x.odd)));
    return s;
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        _mm_storeu_si128((__m128i *)(out + 4 * j), s.v[j]);
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, sse41)

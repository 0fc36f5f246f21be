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

/* Two lanes a sum. */
struct sums {
    __m128i v[8];
};

INLINE struct sums sums_zero(void)
{
    struct sums s;

    RBE_UNROLL
    for (int j = 0; j < 8; j++)
        s.v[j] = _mm_setzero_si128();
    return s;
}

INLINE __m128i four(struct operand x, size_t g)
{
    const __m128i q = _mm_loadl_epi64((const __m128i *)(x.q + 4 * g));
    return _mm_unpacklo_epi64(q, q);
}

INLINE struct sums sums_keys(struct sums s, const uint8_t *b, struct operand x, size_t g)
{
    const __m128i q = four(x, g);

    RBE_UNROLL
    for (int j = 0; j < 8; j++) {
        const __m128i w = _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(b + 8 * j)));
        s.v[j] = _mm_add_epi32(s.v[j], _mm_madd_epi16(w, q));
    }
    return s;
}

INLINE struct sums sums_values(struct sums s, const int8_t *b, struct operand x, size_t g)
{
    const __m128i q = four(x, g);

    RBE_UNROLL
    for (int j = 0; j < 8; j++) {
        const __m128i w = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(b + 8 * j)));
        s.v[j] = _mm_add_epi32(s.v[j], _mm_madd_epi16(w, q));
    }
    return s;
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        _mm_storeu_si128((__m128i *)(out + 4 * j), _mm_hadd_epi32(s.v[2 * j], s.v[2 * j + 1]));
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, sse41)

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

/* Two lanes a sum. */
struct sums {
    __m512i a, b;
};

INLINE struct sums sums_zero(void)
{
    return (struct sums){_mm512_setzero_si512(), _mm512_setzero_si512()};
}

INLINE __m512i four(struct operand x, size_t g)
{
    int64_t q;

    memcpy(&q, x.q + 4 * g, sizeof q);
    return _mm512_set1_epi64(q);
}

INLINE struct sums sums_keys(struct sums s, const uint8_t *b, struct operand x, size_t g)
{
    const __m512i q = four(x, g);
    const __m512i low = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)b));
    const __m512i high = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(b + 32)));

    return (struct sums){_mm512_add_epi32(s.a, _mm512_madd_epi16(low, q)),
                         _mm512_add_epi32(s.b, _mm512_madd_epi16(high, q))};
}

INLINE struct sums sums_values(struct sums s, const int8_t *b, struct operand x, size_t g)
{
    const __m512i q = four(x, g);
    const __m512i low = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)b));
    const __m512i high = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(b + 32)));

    return (struct sums){_mm512_add_epi32(s.a, _mm512_madd_epi16(low, q)),
                         _mm512_add_epi32(s.b, _mm512_madd_epi16(high, q))};
}

INLINE __m256i add_pairs(__m512i v)
{
    return _mm512_cvtepi64_epi32(_mm512_add_epi32(v, _mm512_srli_epi64(v, 32)));
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    _mm256_storeu_si256((__m256i *)out, add_pairs(s.a));
    _mm256_storeu_si256((__m256i *)(out + 8), add_pairs(s.b));
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, avx512)

/*
 * attention_avx2.c - kernels/attention.h in eight lanes of AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/attention.h"
#include "kernels/body/unroll.h"
#include "kernels/list.h"
#include "kernels/body/attention_whole.h"

/* Two lanes a sum. */
struct sums {
    __m256i v[4];
};

INLINE struct sums sums_zero(void)
{
    struct sums s;

    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        s.v[j] = _mm256_setzero_si256();
    return s;
}

INLINE __m256i four(struct operand x, size_t g)
{
    int64_t q;

    memcpy(&q, x.q + 4 * g, sizeof q);
    return _mm256_set1_epi64x(q);
}

INLINE struct sums sums_keys(struct sums s, const uint8_t *b, struct operand x, size_t g)
{
    const __m256i q = four(x, g);

    RBE_UNROLL
    for (int j = 0; j < 4; j++) {
        const __m256i w =
            _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(b + 16 * j)));
        s.v[j] = _mm256_add_epi32(s.v[j], _mm256_madd_epi16(w, q));
    }
    return s;
}

INLINE struct sums sums_values(struct sums s, const int8_t *b, struct operand x, size_t g)
{
    const __m256i q = four(x, g);

    RBE_UNROLL
    for (int j = 0; j < 4; j++) {
        const __m256i w =
            _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(b + 16 * j)));
        s.v[j] = _mm256_add_epi32(s.v[j], _mm256_madd_epi16(w, q));
    }
    return s;
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    RBE_UNROLL
    for (int j = 0; j < 2; j++)
        _mm256_storeu_si256(
            (__m256i *)(out + 8 * j),
            _mm256_permute4x64_epi64(_mm256_hadd_epi32(s.v[2 * j], s.v[2 * j + 1]), 0xD8));
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, avx2)

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

enum { SUMS = 4 };

struct sums {
    __m256i v[2];
};

struct bytes {
    __m256i even[2], odd[2];
};

struct four {
    __m256i even, odd;
};

INLINE struct sums sums_zero(void)
{
    struct sums s;

    RBE_UNROLL
    for (int j = 0; j < 2; j++)
        s.v[j] = _mm256_setzero_si256();
    return s;
}

INLINE struct bytes bytes_load(const uint8_t *b)
{
    const __m256i mask = _mm256_set1_epi16(0xFF);
    struct bytes w;

    RBE_UNROLL
    for (int j = 0; j < 2; j++) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(b + 32 * j));
        w.even[j] = _mm256_and_si256(v, mask);
        w.odd[j] = _mm256_srli_epi16(v, 8);
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
    for (int j = 0; j < 2; j++)
        s.v[j] = _mm256_add_epi32(s.v[j], _mm256_add_epi32(_mm256_madd_epi16(b.even[j], x.even),
                                                     _mm256_madd_epi16(b.odd[j], x.odd)));
    return s;
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    RBE_UNROLL
    for (int j = 0; j < 2; j++)
        _mm256_storeu_si256((__m256i *)(out + 8 * j), s.v[j]);
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, avx2)

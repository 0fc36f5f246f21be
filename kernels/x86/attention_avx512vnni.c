/*
 * attention_avx512vnni.c - kernels/attention.h by VPDPBUSD: numbers of 16 bits are two bytes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/attention.h"
#include "kernels/body/attention_bytes.h"
#include "kernels/body/unroll.h"
#include "kernels/list.h"

enum { KEYS_MOVED = 1 };

/* Weights are the factor without a sign. */
INLINE struct operand operand_values(const int16_t *w, int8_t *room, size_t n)
{
    int8_t *const low = room + RBE_KV_CHUNK;

    for (size_t i = 0; i < n; i += 32) {
        const __m512i v = _mm512_load_si512(w + i);
        _mm256_store_si256((__m256i *)(low + i), _mm512_cvtepi16_epi8(v));
        _mm256_store_si256((__m256i *)(room + i),
                           _mm512_cvtepi16_epi8(_mm512_srli_epi16(v, 8)));
    }
    return (struct operand){room, low};
}

struct sums {
    __m512i high, low;
};

INLINE struct sums sums_zero(void)
{
    return (struct sums){_mm512_setzero_si512(), _mm512_setzero_si512()};
}

INLINE __m512i four(const int8_t *p, size_t g)
{
    return _mm512_set1_epi32(four_bytes(p, g));
}

INLINE struct sums sums_keys(struct sums s, const uint8_t *b, struct operand x, size_t g)
{
    const __m512i k = _mm512_loadu_si512(b);

    return (struct sums){_mm512_dpbusd_epi32(s.high, k, four(x.high, g)),
                         _mm512_dpbusd_epi32(s.low, k, four(x.low, g))};
}

INLINE struct sums sums_values(struct sums s, const int8_t *b, struct operand x, size_t g)
{
    const __m512i v = _mm512_loadu_si512(b);

    return (struct sums){_mm512_dpbusd_epi32(s.high, four(x.high, g), v),
                         _mm512_dpbusd_epi32(s.low, four(x.low, g), v)};
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    _mm512_storeu_si512(out, _mm512_add_epi32(_mm512_slli_epi32(s.high, 8), s.low));
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, avx512vnni)

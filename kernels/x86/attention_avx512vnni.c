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

enum { MOVED = 1, SUMS = 8 };

/* In the order of the cache's bytes. */
INLINE struct operand operand_values(const int16_t *w, int8_t *room, size_t n)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15));
    int8_t *const low = room + RBE_KV_CHUNK;

    for (size_t i = 0; i < n; i += 32) {
        const __m512i v = _mm512_load_si512(w + i);
        const __m512i high = _mm512_srli_epi16(_mm512_add_epi16(v, _mm512_set1_epi16(128)), 8);
        _mm256_store_si256((__m256i *)(low + i),
                           _mm256_shuffle_epi8(_mm512_cvtepi16_epi8(v), order));
        _mm256_store_si256((__m256i *)(room + i),
                           _mm256_shuffle_epi8(_mm512_cvtepi16_epi8(high), order));
    }
    return (struct operand){room, low};
}

struct sums {
    __m512i high, low;
};

struct bytes {
    __m512i v;
};

struct four {
    __m512i high, low;
};

INLINE struct sums sums_zero(void)
{
    return (struct sums){_mm512_setzero_si512(), _mm512_setzero_si512()};
}

INLINE struct bytes bytes_load(const uint8_t *b)
{
    return (struct bytes){_mm512_loadu_si512(b)};
}

INLINE struct four operand_four(struct operand x, size_t g)
{
    return (struct four){_mm512_set1_epi32(four_bytes(x.high, g)),
                         _mm512_set1_epi32(four_bytes(x.low, g))};
}

INLINE struct sums sums_add(struct sums s, struct bytes b, struct four x)
{
    return (struct sums){_mm512_dpbusd_epi32(s.high, b.v, x.high),
                         _mm512_dpbusd_epi32(s.low, b.v, x.low)};
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    _mm512_storeu_si512(out, _mm512_add_epi32(_mm512_slli_epi32(s.high, 8), s.low));
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, avx512vnni)

/*
 * trellis_avx2.c - body/trellis.h in 16 lanes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#ifndef __AVX2__
#error "needs -mavx2: the Makefile takes ISA flags from the file name's suffix"
#endif

typedef __m256i vec;
enum { VEC_LOG = 4, VEC_LANES = 1 << VEC_LOG };

static inline vec v_load(const uint16_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline void v_store(uint16_t *p, vec v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

static inline vec v_set(uint16_t v)
{
    return _mm256_set1_epi16((short)v);
}

static inline vec v_add(vec a, vec b)
{
    return _mm256_add_epi16(a, b);
}

static inline vec v_sub(vec a, vec b)
{
    return _mm256_sub_epi16(a, b);
}

static inline vec v_mul(vec a, vec b)
{
    return _mm256_mullo_epi16(a, b);
}

static inline vec v_and(vec a, vec b)
{
    return _mm256_and_si256(a, b);
}

static inline vec v_or(vec a, vec b)
{
    return _mm256_or_si256(a, b);
}

static inline vec v_shift(vec a, unsigned n)
{
    return _mm256_srl_epi16(a, _mm_cvtsi32_si128((int)n));
}

static inline vec v_add_costs(vec a, vec b)
{
    return _mm256_adds_epu16(a, b);
}

static inline vec v_min(vec a, vec b)
{
    return _mm256_min_epu16(a, b);
}

static inline vec v_sub_sat(vec a, vec b)
{
    return _mm256_subs_epi16(a, b);
}

static inline vec v_add_sat(vec a, vec b)
{
    return _mm256_adds_epi16(a, b);
}

static inline vec v_square(vec e)
{
    return _mm256_mulhi_epi16(e, e);
}

static inline vec v_factor(uint8_t f)
{
    return _mm256_set1_epi8((char)f);
}

static inline vec v_bytes(vec h, vec f)
{
    return _mm256_maddubs_epi16(f, h);
}

static inline vec v_nibbles(vec h, vec f)
{
    const vec low = _mm256_set1_epi8(15);
    const vec two = v_add(v_and(h, low), v_and(_mm256_srli_epi16(h, 4), low));

    return _mm256_maddubs_epi16(f, two);
}

static inline void v_take(vec *m, vec *w, vec cost, vec h)
{
    const vec least = v_min(*m, cost), same = _mm256_cmpeq_epi16(least, *m);

    *w = _mm256_blendv_epi8(h, *w, same);
    *m = least;
}

static inline vec v_never(vec v)
{
    return _mm256_cmpeq_epi16(v, _mm256_set1_epi8(-1));
}

/* Bytes 2 i and 2 i + 1 of lane i's source, in both halves the same 16 bytes. */
#define TWICE(a, b, c, d, e, f, g, h)                                                          \
    2 * a, 2 * a + 1, 2 * b, 2 * b + 1, 2 * c, 2 * c + 1, 2 * d, 2 * d + 1, 2 * e, 2 * e + 1,  \
        2 * f, 2 * f + 1, 2 * g, 2 * g + 1, 2 * h, 2 * h + 1

static inline __attribute__((always_inline)) vec v_expand(const uint16_t *p, unsigned k)
{
    int64_t q;
    int32_t d;

    switch (k) {
    case 0:
        return v_load(p);
    case 1:
        return _mm256_shuffle_epi8(
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p)),
            _mm256_setr_epi8(TWICE(0, 0, 1, 1, 2, 2, 3, 3), TWICE(4, 4, 5, 5, 6, 6, 7, 7)));
    case 2:
        memcpy(&q, p, sizeof q);
        return _mm256_shuffle_epi8(
            _mm256_set1_epi64x(q),
            _mm256_setr_epi8(TWICE(0, 0, 0, 0, 1, 1, 1, 1), TWICE(2, 2, 2, 2, 3, 3, 3, 3)));
    case 3:
        memcpy(&d, p, sizeof d);
        return _mm256_shuffle_epi8(
            _mm256_set1_epi32(d),
            _mm256_setr_epi8(TWICE(0, 0, 0, 0, 0, 0, 0, 0), TWICE(1, 1, 1, 1, 1, 1, 1, 1)));
    default:
        return v_set(*p);
    }
}

static inline void v_store_bytes(uint8_t *p, vec v)
{
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi16(_mm256_castsi256_si128(v),
                                                    _mm256_extracti128_si256(v, 1)));
}

static inline uint16_t v_least(vec v)
{
    const __m128i m =
        _mm_min_epu16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    return (uint16_t)_mm_cvtsi128_si32(_mm_minpos_epu16(m));
}

#include "kernels/body/trellis.h"

const struct rbe_trellis_ops rbe_trellis_avx2 = {"avx2", RBE_ISA_AVX2, step, drain};

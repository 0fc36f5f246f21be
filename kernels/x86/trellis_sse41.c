/*
 * trellis_sse41.c - body/trellis.h in 8 lanes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <smmintrin.h>
#include <stdint.h>
#include <string.h>
#include <tmmintrin.h>

#ifndef __SSE4_1__
#error "needs -msse4.1: the Makefile takes ISA flags from the file name's suffix"
#endif

typedef __m128i vec;
enum { VEC_LOG = 3, VEC_LANES = 1 << VEC_LOG };

static inline vec v_load(const uint16_t *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

static inline void v_store(uint16_t *p, vec v)
{
    _mm_storeu_si128((__m128i *)p, v);
}

static inline vec v_set(uint16_t v)
{
    return _mm_set1_epi16((short)v);
}

static inline vec v_add(vec a, vec b)
{
    return _mm_add_epi16(a, b);
}

static inline vec v_sub(vec a, vec b)
{
    return _mm_sub_epi16(a, b);
}

static inline vec v_mul(vec a, vec b)
{
    return _mm_mullo_epi16(a, b);
}

static inline vec v_and(vec a, vec b)
{
    return _mm_and_si128(a, b);
}

static inline vec v_or(vec a, vec b)
{
    return _mm_or_si128(a, b);
}

static inline vec v_shift(vec a, unsigned n)
{
    return _mm_srl_epi16(a, _mm_cvtsi32_si128((int)n));
}

static inline vec v_add_costs(vec a, vec b)
{
    return _mm_adds_epu16(a, b);
}

static inline vec v_min(vec a, vec b)
{
    return _mm_min_epu16(a, b);
}

static inline vec v_sub_sat(vec a, vec b)
{
    return _mm_subs_epi16(a, b);
}

static inline vec v_add_sat(vec a, vec b)
{
    return _mm_adds_epi16(a, b);
}

static inline vec v_square(vec e)
{
    return _mm_mulhi_epi16(e, e);
}

static inline vec v_factor(uint8_t f)
{
    return _mm_set1_epi8((char)f);
}

static inline vec v_bytes(vec h, vec f)
{
    return _mm_maddubs_epi16(f, h);
}

static inline vec v_nibbles(vec h, vec f)
{
    const vec low = _mm_set1_epi8(15);
    const vec two = v_add(v_and(h, low), v_and(_mm_srli_epi16(h, 4), low));

    return _mm_maddubs_epi16(f, two);
}

static inline void v_take(vec *m, vec *w, vec cost, vec h)
{
    const vec least = v_min(*m, cost), same = _mm_cmpeq_epi16(least, *m);

    *w = _mm_blendv_epi8(h, *w, same);
    *m = least;
}

static inline vec v_never(vec v)
{
    return _mm_cmpeq_epi16(v, _mm_set1_epi8(-1));
}

static inline __attribute__((always_inline)) vec v_expand(const uint16_t *p, unsigned k)
{
    int32_t d;

    switch (k) {
    case 0:
        return v_load(p);
    case 1: {
        const vec v = _mm_loadl_epi64((const __m128i *)p);
        return _mm_unpacklo_epi16(v, v);
    }
    case 2:
        memcpy(&d, p, sizeof d);
        return _mm_shuffle_epi8(_mm_cvtsi32_si128(d),
                                _mm_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3));
    default:
        return v_set(*p);
    }
}

static inline void v_store_bytes(uint8_t *p, vec v)
{
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(v, v));
}

static inline uint16_t v_least(vec v)
{
    return (uint16_t)_mm_cvtsi128_si32(_mm_minpos_epu16(v));
}

#include "kernels/body/trellis.h"

const struct rbe_trellis_ops rbe_trellis_sse41 = {"sse41", RBE_ISA_SSE41, step, drain};

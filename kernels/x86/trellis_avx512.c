/*
 * trellis_avx512.c - body/trellis.h in 32 lanes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#ifndef __AVX512BW__
#error "needs -mavx512bw: the Makefile takes ISA flags from the file name's suffix"
#endif

typedef __m512i vec;
enum { VEC_LOG = 5, VEC_LANES = 1 << VEC_LOG };

static inline vec v_load(const uint16_t *p)
{
    return _mm512_loadu_si512(p);
}

static inline void v_store(uint16_t *p, vec v)
{
    _mm512_storeu_si512(p, v);
}

static inline vec v_set(uint16_t v)
{
    return _mm512_set1_epi16((short)v);
}

static inline vec v_add(vec a, vec b)
{
    return _mm512_add_epi16(a, b);
}

static inline vec v_sub(vec a, vec b)
{
    return _mm512_sub_epi16(a, b);
}

static inline vec v_mul(vec a, vec b)
{
    return _mm512_mullo_epi16(a, b);
}

static inline vec v_and(vec a, vec b)
{
    return _mm512_and_si512(a, b);
}

static inline vec v_or(vec a, vec b)
{
    return _mm512_or_si512(a, b);
}

static inline vec v_shift(vec a, unsigned n)
{
    return _mm512_srl_epi16(a, _mm_cvtsi32_si128((int)n));
}

static inline vec v_add_costs(vec a, vec b)
{
    return _mm512_adds_epu16(a, b);
}

static inline vec v_min(vec a, vec b)
{
    return _mm512_min_epu16(a, b);
}

static inline vec v_sub_sat(vec a, vec b)
{
    return _mm512_subs_epi16(a, b);
}

static inline vec v_add_sat(vec a, vec b)
{
    return _mm512_adds_epi16(a, b);
}

static inline vec v_square(vec e)
{
    return _mm512_mulhi_epi16(e, e);
}

static inline vec v_factor(uint8_t f)
{
    return _mm512_set1_epi8((char)f);
}

static inline vec v_bytes(vec h, vec f)
{
    return _mm512_maddubs_epi16(f, h);
}

static inline vec v_nibbles(vec h, vec f)
{
    const vec low = _mm512_set1_epi8(15);
    const vec two = v_add(v_and(h, low), v_and(_mm512_srli_epi16(h, 4), low));

    return _mm512_maddubs_epi16(f, two);
}

static inline void v_take(vec *m, vec *w, vec cost, vec h)
{
    const __mmask32 less = _mm512_cmplt_epu16_mask(cost, *m);

    *m = v_min(*m, cost);
    *w = _mm512_mask_mov_epi16(*w, less, h);
}

static inline vec v_never(vec v)
{
    return _mm512_movm_epi16(_mm512_cmpeq_epi16_mask(v, _mm512_set1_epi8(-1)));
}

/* Bytes of four lanes that all take word `n`. */
#define FOUR(n) (0x0100010001000100 + 0x0202020202020202 * (n))

static inline __attribute__((always_inline)) vec v_expand(const uint16_t *p, unsigned k)
{
    int64_t q;
    int32_t d;

    switch (k) {
    case 0:
        return v_load(p);
    case 1: {
        const vec wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
        return v_or(wide, _mm512_slli_epi32(wide, 16));
    }
    case 2:
        return _mm512_shuffle_epi8(
            _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p)),
            _mm512_setr_epi64(FOUR(0), FOUR(1), FOUR(2), FOUR(3), FOUR(4), FOUR(5), FOUR(6),
                              FOUR(7)));
    case 3:
        memcpy(&q, p, sizeof q);
        return _mm512_shuffle_epi8(
            _mm512_set1_epi64(q),
            _mm512_setr_epi64(FOUR(0), FOUR(0), FOUR(1), FOUR(1), FOUR(2), FOUR(2), FOUR(3),
                              FOUR(3)));
    case 4:
        memcpy(&d, p, sizeof d);
        return _mm512_shuffle_epi8(
            _mm512_set1_epi32(d),
            _mm512_setr_epi64(FOUR(0), FOUR(0), FOUR(0), FOUR(0), FOUR(1), FOUR(1), FOUR(1),
                              FOUR(1)));
    default:
        return v_set(*p);
    }
}

static inline void v_store_bytes(uint8_t *p, vec v)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi16_epi8(v));
}

static inline uint16_t v_least(vec v)
{
    const __m256i h =
        _mm256_min_epu16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    const __m128i m =
        _mm_min_epu16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));

    return (uint16_t)_mm_cvtsi128_si32(_mm_minpos_epu16(m));
}

#include "kernels/body/trellis.h"

const struct rbe_trellis_ops rbe_trellis_avx512 = {"avx512", RBE_ISA_AVX512, step, drain};

/*
 * simd_sse41.h - the vector operations that kernels/body/ is written in: SSE4.1.
 *
 * SPDX-License-Identifier: MIT
 *
 * f32x: as many floats as a register holds.  s16x: 32 weights of 16 bits.  s32x and lanes:
 * the 16 int32 and f32 lanes of int8.h.  Each ISA has a header with these same names.
 */
#ifndef RBE_KERNELS_X86_SIMD_SSE41_H
#define RBE_KERNELS_X86_SIMD_SSE41_H

#include <smmintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <tmmintrin.h>

#include "kernels/body/unroll.h"
#include "kernels/body/words.h"

#ifndef __SSE4_1__
#error "needs -msse4.1: the Makefile takes ISA flags from the file name's suffix"
#endif

enum { F32_LANES = 4, SIMD_REGISTERS = 16 };

typedef __m128 f32x;

static inline f32x f32_set(float v)
{
    return _mm_set1_ps(v);
}

static inline f32x f32_load(const float *p)
{
    return _mm_loadu_ps(p);
}

static inline void f32_store(float *p, f32x v)
{
    _mm_storeu_ps(p, v);
}

/* No F16C yet: the exponent is moved up as bits and corrected by an exact product with
 * 2^112, which makes subnormals right too; infinities and NaN are put back. */
static inline f32x f32_load_half(const uint16_t *p)
{
    const __m128i h = _mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)p));
    const __m128i magnitude = _mm_and_si128(h, _mm_set1_epi32(0x7FFF));
    const __m128i sign = _mm_slli_epi32(_mm_xor_si128(h, magnitude), 16);
    const __m128 scaled = _mm_mul_ps(_mm_castsi128_ps(_mm_slli_epi32(magnitude, 13)),
                                     _mm_set1_ps(0x1p+112F));
    const __m128i special = _mm_and_si128(_mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7BFF)),
                                          _mm_set1_epi32(0x7F800000));
    return _mm_or_ps(scaled, _mm_castsi128_ps(_mm_or_si128(sign, special)));
}

static inline f32x f32_add(f32x a, f32x b)
{
    return _mm_add_ps(a, b);
}

static inline f32x f32_sub(f32x a, f32x b)
{
    return _mm_sub_ps(a, b);
}

static inline f32x f32_mul(f32x a, f32x b)
{
    return _mm_mul_ps(a, b);
}

static inline f32x f32_div(f32x a, f32x b)
{
    return _mm_div_ps(a, b);
}

static inline f32x f32_sqrt(f32x a)
{
    return _mm_sqrt_ps(a);
}

/* a > b ? a : b; b when either is NaN. */
static inline f32x f32_max(f32x a, f32x b)
{
    return _mm_max_ps(a, b);
}

static inline f32x f32_min(f32x a, f32x b)
{
    return _mm_min_ps(a, b);
}

static inline f32x f32_abs(f32x a)
{
    return _mm_andnot_ps(_mm_set1_ps(-0.0F), a);
}

/* a > 0 ? yes : no, lane by lane. */
static inline f32x f32_if_positive(f32x a, f32x yes, f32x no)
{
    return _mm_blendv_ps(no, yes, _mm_cmpgt_ps(a, _mm_setzero_ps()));
}

/* The bits of a, plus the bits of t moved up to the exponent. */
static inline f32x f32_add_exponent(f32x a, f32x t)
{
    return _mm_castsi128_ps(
        _mm_add_epi32(_mm_castps_si128(a), _mm_slli_epi32(_mm_castps_si128(t), 23)));
}

/* a * b + c, rounded once where the machine can. */
static inline f32x f32_fma(f32x a, f32x b, f32x c)
{
    return _mm_add_ps(_mm_mul_ps(a, b), c);
}

/* Lanes whose bit is set, negated. */
static inline f32x f32_flip(f32x v, uint32_t bits)
{
    const __m128i bit = _mm_setr_epi32(1, 2, 4, 8);
    const __m128i set = _mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32((int)bits), bit), bit);
    return _mm_xor_ps(v, _mm_and_ps(_mm_castsi128_ps(set), _mm_set1_ps(-0.0F)));
}

/* Lane i: v[i] + v[i + half] where i & half is 0, else v[i - half] - v[i]; half < F32_LANES. */
static inline f32x f32_butterfly(f32x v, int half)
{
    if (half == 1)
        return _mm_add_ps(_mm_shuffle_ps(v, v, 0xB1), f32_flip(v, 0xA));
    return _mm_add_ps(_mm_shuffle_ps(v, v, 0x4E), f32_flip(v, 0xC));
}

/* Rounded to nearest, ties to even; |v| < 2^15. */
static inline void f32_store_s16(int16_t *p, f32x v)
{
    const __m128i n = _mm_cvtps_epi32(v);
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi32(n, n));
}

/* As many doubles as f32x has floats. */
typedef struct {
    __m128d a, b;
} f64x;

static inline f64x f64_zero(void)
{
    return (f64x){_mm_setzero_pd(), _mm_setzero_pd()};
}

static inline f64x f64_add(f64x sum, f32x v)
{
    return (f64x){_mm_add_pd(sum.a, _mm_cvtps_pd(v)),
                  _mm_add_pd(sum.b, _mm_cvtps_pd(_mm_movehl_ps(v, v)))};
}

static inline void f64_store(double *p, f64x v)
{
    _mm_storeu_pd(p, v.a);
    _mm_storeu_pd(p + 2, v.b);
}

static inline float f32_sum(f32x v)
{
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
}

/* The largest lane; none is NaN. */
static inline float f32_largest(f32x v)
{
    v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ss(v, _mm_shuffle_ps(v, v, 1)));
}

static inline void half4(float out[4], const uint16_t *h)
{
    _mm_storeu_ps(out, f32_load_half(h));
}

static inline float half1(uint16_t h)
{
    const uint16_t four[4] = {h};
    return _mm_cvtss_f32(f32_load_half(four));
}

typedef struct {
    __m128i a, b, c, d;
} s16x;

typedef struct {
    __m128i a, b, c, d;
} s32x;

typedef struct {
    __m128 a, b, c, d;
} lanes;

static inline s16x s16_bytes(const int8_t *p)
{
    const __m128i low = _mm_loadu_si128((const __m128i *)p);
    const __m128i high = _mm_loadu_si128((const __m128i *)(p + 16));
    return (s16x){_mm_cvtepi8_epi16(low), _mm_cvtepi8_epi16(_mm_srli_si128(low, 8)),
                  _mm_cvtepi8_epi16(high), _mm_cvtepi8_epi16(_mm_srli_si128(high, 8))};
}

static inline s16x s16_load(const uint16_t *p)
{
    return (s16x){_mm_loadu_si128((const __m128i *)p),
                  _mm_loadu_si128((const __m128i *)(p + 8)),
                  _mm_loadu_si128((const __m128i *)(p + 16)),
                  _mm_loadu_si128((const __m128i *)(p + 24))};
}

static inline __m128i s16_nibble8(__m128i w, int k)
{
    return _mm_srai_epi16(_mm_slli_epi16(w, 12 - 4 * k), 12);
}

/* Nibble k of each word, sign-extended. */
static inline s16x s16_nibble(s16x w, int k)
{
    return (s16x){s16_nibble8(w.a, k), s16_nibble8(w.b, k), s16_nibble8(w.c, k),
                  s16_nibble8(w.d, k)};
}

static inline void s16_store(uint16_t *p, s16x w)
{
    _mm_storeu_si128((__m128i *)p, w.a);
    _mm_storeu_si128((__m128i *)(p + 8), w.b);
    _mm_storeu_si128((__m128i *)(p + 16), w.c);
    _mm_storeu_si128((__m128i *)(p + 24), w.d);
}

/* Lane l: w[2 l] q[2 l] + w[2 l + 1] q[2 l + 1]. */
static inline s32x s32_dot(s16x w, const int16_t *q)
{
    return (s32x){_mm_madd_epi16(w.a, _mm_loadu_si128((const __m128i *)q)),
                  _mm_madd_epi16(w.b, _mm_loadu_si128((const __m128i *)(q + 8))),
                  _mm_madd_epi16(w.c, _mm_loadu_si128((const __m128i *)(q + 16))),
                  _mm_madd_epi16(w.d, _mm_loadu_si128((const __m128i *)(q + 24)))};
}

static inline s32x s32_add(s32x x, s32x y)
{
    return (s32x){_mm_add_epi32(x.a, y.a), _mm_add_epi32(x.b, y.b), _mm_add_epi32(x.c, y.c),
                  _mm_add_epi32(x.d, y.d)};
}

/* sum + s32_dot(w, q) */
static inline s32x s32_dot_add(s32x sum, s16x w, const int16_t *q)
{
    return s32_add(sum, s32_dot(w, q));
}

static inline lanes lanes_zero(void)
{
    const __m128 zero = _mm_setzero_ps();
    return (lanes){zero, zero, zero, zero};
}

/* acc + scale * (float)v, rounded twice. */
static inline lanes lanes_add(lanes acc, s32x v, float scale)
{
    const __m128 s = _mm_set1_ps(scale);
    return (lanes){_mm_add_ps(acc.a, _mm_mul_ps(s, _mm_cvtepi32_ps(v.a))),
                   _mm_add_ps(acc.b, _mm_mul_ps(s, _mm_cvtepi32_ps(v.b))),
                   _mm_add_ps(acc.c, _mm_mul_ps(s, _mm_cvtepi32_ps(v.c))),
                   _mm_add_ps(acc.d, _mm_mul_ps(s, _mm_cvtepi32_ps(v.d)))};
}

/* By halves, as int8.h says. */
static inline float lanes_sum(lanes v)
{
    return f32_sum(_mm_add_ps(_mm_add_ps(v.a, v.c), _mm_add_ps(v.b, v.d)));
}

/*
 * u16x: as many 16-bit integers as a register holds, 2^U16_LOG.
 *   u16_load, u16_store, u16_set        unaligned; one value in all lanes
 *   u16_add, u16_sub, u16_mul           mod 2^16
 *   u16_and, u16_or, u16_shift(v, n)    to the right; n >= 16 gives 0
 *   u16_add_sat, u16_min                of unsigned lanes, the sum saturates
 *   u16_sub_signed, u16_add_signed      of signed lanes, saturate
 *   u16_square_high(e)                  (e * e) >> 16
 *   u16_bytes(h, f)                     f times the sum of the two signed bytes
 *   u16_nibbles(h, f)                   f times the sum of the four nibbles
 *   u16_factor(f)                       f, 1..127, as those two want it
 *   u16_mul_round(a, b)                 (2 a b + 2^15) >> 16, of signed lanes
 *   u16_table(b)                        b[i % 16] + i for 64 i, as it is wanted by ...
 *   u16_entries(t, h)                   those that the low six bits of each byte of h name
 *   u16_take(&m, &w, a, h)              m, w = a, h where a < m
 *   u16_full(v)                         all bits where v has all of them, else none
 *   u16_expand(p, k)                    lane i = p[i >> k]; reads no more
 *   u16_store_bytes(p, v)               the low bytes of the lanes, all < 256
 *   u16_least(v)                        of the unsigned lanes
 */
typedef __m128i u16x;
enum { U16_LOG = 3, U16_LANES = 1 << U16_LOG };

static inline u16x u16_load(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

static inline void u16_store(void *p, u16x v)
{
    _mm_storeu_si128((__m128i *)p, v);
}

static inline u16x u16_set(uint16_t v)
{
    return _mm_set1_epi16((short)v);
}

/* p[0] and p[1], in every two lanes. */
INLINE u16x u16_pair(const int16_t *p)
{
    return _mm_set1_epi32(two_words(p));
}

static inline u16x u16_add(u16x a, u16x b)
{
    return _mm_add_epi16(a, b);
}

static inline u16x u16_sub(u16x a, u16x b)
{
    return _mm_sub_epi16(a, b);
}

static inline u16x u16_mul(u16x a, u16x b)
{
    return _mm_mullo_epi16(a, b);
}

static inline u16x u16_and(u16x a, u16x b)
{
    return _mm_and_si128(a, b);
}

static inline u16x u16_or(u16x a, u16x b)
{
    return _mm_or_si128(a, b);
}

static inline u16x u16_shift(u16x a, unsigned n)
{
    return _mm_srl_epi16(a, _mm_cvtsi32_si128((int)n));
}

static inline u16x u16_add_sat(u16x a, u16x b)
{
    return _mm_adds_epu16(a, b);
}

static inline u16x u16_min(u16x a, u16x b)
{
    return _mm_min_epu16(a, b);
}

static inline u16x u16_sub_signed(u16x a, u16x b)
{
    return _mm_subs_epi16(a, b);
}

static inline u16x u16_add_signed(u16x a, u16x b)
{
    return _mm_adds_epi16(a, b);
}

static inline u16x u16_square_high(u16x e)
{
    return _mm_mulhi_epi16(e, e);
}

static inline u16x u16_mul_round(u16x a, u16x b)
{
    return _mm_mulhrs_epi16(a, b);
}

static inline u16x u16_table(const int8_t *b)
{
    return _mm_loadu_si128((const __m128i *)b);
}

static inline u16x u16_entries(u16x t, u16x h)
{
    const u16x i = u16_and(h, _mm_set1_epi8(63));

    return _mm_add_epi8(_mm_shuffle_epi8(t, i), i);
}

static inline u16x u16_factor(uint8_t f)
{
    return _mm_set1_epi8((char)f);
}

static inline u16x u16_bytes(u16x h, u16x f)
{
    return _mm_maddubs_epi16(f, h);
}

static inline u16x u16_nibbles(u16x h, u16x f)
{
    const u16x low = _mm_set1_epi8(15);
    const u16x two = u16_add(u16_and(h, low), u16_and(_mm_srli_epi16(h, 4), low));

    return _mm_maddubs_epi16(two, f);       /* f stays in its register */
}

static inline void u16_take(u16x *m, u16x *w, u16x cost, u16x h)
{
    const u16x least = u16_min(*m, cost), same = _mm_cmpeq_epi16(least, *m);

    *w = _mm_blendv_epi8(h, *w, same);
    *m = least;
}

static inline u16x u16_full(u16x v)
{
    return _mm_cmpeq_epi16(v, _mm_set1_epi8(-1));
}

INLINE u16x u16_expand(const uint16_t *p, unsigned k)
{
    int32_t d;

    switch (k) {
    case 0:
        return u16_load(p);
    case 1: {
        const u16x v = _mm_loadl_epi64((const __m128i *)p);
        return _mm_unpacklo_epi16(v, v);
    }
    case 2:
        memcpy(&d, p, sizeof d);
        return _mm_shuffle_epi8(_mm_cvtsi32_si128(d),
                                _mm_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3));
    default:
        return u16_set(*p);
    }
}

static inline void u16_store_bytes(uint8_t *p, u16x v)
{
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(v, v));
}

/* Within each 16 bytes: a's and b's integers of so many bits by turns, of the first half or of
 * the second. */
static inline u16x u16_zip16_low(u16x a, u16x b)
{
    return _mm_unpacklo_epi16(a, b);
}

static inline u16x u16_zip16_high(u16x a, u16x b)
{
    return _mm_unpackhi_epi16(a, b);
}

static inline u16x u16_zip32_low(u16x a, u16x b)
{
    return _mm_unpacklo_epi32(a, b);
}

static inline u16x u16_zip32_high(u16x a, u16x b)
{
    return _mm_unpackhi_epi32(a, b);
}

static inline u16x u16_zip64_low(u16x a, u16x b)
{
    return _mm_unpacklo_epi64(a, b);
}

static inline u16x u16_zip64_high(u16x a, u16x b)
{
    return _mm_unpackhi_epi64(a, b);
}

/* Each 16 bytes at p, p + stride, ... */
static inline void u16_store_parts(uint16_t *p, size_t stride, u16x v)
{
    (void)stride;
    u16_store(p, v);
}

/* Bits that some lane has. */
static inline uint16_t u16_any(u16x v)
{
    v = u16_or(v, _mm_unpackhi_epi64(v, v));
    v = u16_or(v, _mm_shuffle_epi32(v, 1));
    return (uint16_t)(_mm_cvtsi128_si32(v) | _mm_cvtsi128_si32(v) >> 16);
}

static inline uint16_t u16_least(u16x v)
{
    return (uint16_t)_mm_cvtsi128_si32(_mm_minpos_epu16(v));
}

#endif

/*
 * simd_avx512.h - the vector operations that kernels/body/ is written in: AVX-512 F, BW, DQ,
 * VL.
 *
 * SPDX-License-Identifier: MIT
 *
 * f32x: as many floats as a register holds.  s16x: 32 weights of 16 bits.  s32x and lanes:
 * the 16 int32 and f32 lanes of int8.h.  Each ISA has a header with these same names.
 */
#ifndef RBE_KERNELS_X86_SIMD_AVX512_H
#define RBE_KERNELS_X86_SIMD_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/body/unroll.h"
#include "kernels/body/words.h"

#ifndef __AVX512BW__
#error "needs -mavx512bw: the Makefile takes ISA flags from the file name's suffix"
#endif

enum { F32_LANES = 16, SIMD_REGISTERS = 32 };

typedef __m512 f32x;

static inline f32x f32_set(float v)
{
    return _mm512_set1_ps(v);
}

static inline f32x f32_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

/* Four values, as often as they fit. */
static inline f32x f32_quads(const float *p)
{
    return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
}

static inline void f32_store(float *p, f32x v)
{
    _mm512_storeu_ps(p, v);
}

static inline f32x f32_load_half(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

static inline f32x f32_add(f32x a, f32x b)
{
    return _mm512_add_ps(a, b);
}

static inline f32x f32_sub(f32x a, f32x b)
{
    return _mm512_sub_ps(a, b);
}

static inline f32x f32_mul(f32x a, f32x b)
{
    return _mm512_mul_ps(a, b);
}

static inline f32x f32_div(f32x a, f32x b)
{
    return _mm512_div_ps(a, b);
}

static inline f32x f32_sqrt(f32x a)
{
    return _mm512_sqrt_ps(a);
}

/* a > b ? a : b; b when either is NaN. */
static inline f32x f32_max(f32x a, f32x b)
{
    return _mm512_max_ps(a, b);
}

static inline f32x f32_min(f32x a, f32x b)
{
    return _mm512_min_ps(a, b);
}

static inline f32x f32_abs(f32x a)
{
    return _mm512_abs_ps(a);
}

/* a > 0 ? yes : no, lane by lane. */
static inline f32x f32_if_positive(f32x a, f32x yes, f32x no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_GT_OQ), no,
                                yes);
}

/* The bits of a, plus the bits of t moved up to the exponent. */
static inline f32x f32_add_exponent(f32x a, f32x t)
{
    return _mm512_castsi512_ps(_mm512_add_epi32(
        _mm512_castps_si512(a), _mm512_slli_epi32(_mm512_castps_si512(t), 23)));
}

/* a * b + c, rounded once where the machine can. */
static inline f32x f32_fma(f32x a, f32x b, f32x c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* Lanes whose bit is set, negated. */
static inline f32x f32_flip(f32x v, uint32_t bits)
{
    const __m512 minus = _mm512_set1_ps(-0.0F);
    return _mm512_mask_xor_ps(v, (__mmask16)bits, v, minus);
}

/* Lane i: v[i] + v[i + half] where i & half is 0, else v[i - half] - v[i]; half < F32_LANES. */
static inline f32x f32_butterfly(f32x v, int half)
{
    if (half == 1)
        return _mm512_add_ps(_mm512_permute_ps(v, 0xB1), f32_flip(v, 0xAAAA));
    if (half == 2)
        return _mm512_add_ps(_mm512_permute_ps(v, 0x4E), f32_flip(v, 0xCCCC));
    if (half == 4)
        return _mm512_add_ps(_mm512_shuffle_f32x4(v, v, 0xB1), f32_flip(v, 0xF0F0));
    return _mm512_add_ps(_mm512_shuffle_f32x4(v, v, 0x4E), f32_flip(v, 0xFF00));
}

/* Rounded to nearest, ties to even; |v| < 2^15. */
static inline void f32_store_s16(int16_t *p, f32x v)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(v)));
}

/* As many doubles as f32x has floats. */
typedef struct {
    __m512d a, b;
} f64x;

static inline f64x f64_zero(void)
{
    return (f64x){_mm512_setzero_pd(), _mm512_setzero_pd()};
}

static inline f64x f64_add(f64x sum, f32x v)
{
    return (f64x){_mm512_add_pd(sum.a, _mm512_cvtps_pd(_mm512_castps512_ps256(v))),
                  _mm512_add_pd(sum.b, _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)))};
}

static inline void f64_store(double *p, f64x v)
{
    _mm512_storeu_pd(p, v.a);
    _mm512_storeu_pd(p + 8, v.b);
}

static inline float f32_sum4(__m128 v)
{
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
}

static inline float f32_sum(f32x v)
{
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return f32_sum4(_mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

/* The largest lane; none is NaN. */
static inline float f32_largest(f32x v)
{
    return _mm512_reduce_max_ps(v);
}

static inline void half4(float out[4], const uint16_t *h)
{
    _mm_storeu_ps(out, _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)h)));
}

static inline float half1(uint16_t h)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}

typedef __m512i s16x;
typedef __m512i s32x;
typedef __m512 lanes;

static inline s16x s16_bytes(const int8_t *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)p));
}

static inline s16x s16_load(const uint16_t *p)
{
    return _mm512_loadu_si512(p);
}

static inline void s16_store(uint16_t *p, s16x w)
{
    _mm512_storeu_si512(p, w);
}

/* Nibble k of each word, sign-extended. */
static inline s16x s16_nibble(s16x w, int k)
{
    return _mm512_srai_epi16(_mm512_slli_epi16(w, (unsigned)(12 - 4 * k)), 12);
}

/* Lane l: w[2 l] q[2 l] + w[2 l + 1] q[2 l + 1]. */
static inline s32x s32_dot(s16x w, const int16_t *q)
{
    return _mm512_madd_epi16(w, _mm512_loadu_si512(q));
}

static inline s32x s32_add(s32x x, s32x y)
{
    return _mm512_add_epi32(x, y);
}

/* sum + s32_dot(w, q) */
static inline s32x s32_dot_add(s32x sum, s16x w, const int16_t *q)
{
#ifdef __AVX512VNNI__
    return _mm512_dpwssd_epi32(sum, w, _mm512_loadu_si512(q));
#else
    return s32_add(sum, s32_dot(w, q));
#endif
}

static inline lanes lanes_zero(void)
{
    return _mm512_setzero_ps();
}

/* acc + scale * (float)v, rounded twice. */
static inline lanes lanes_add(lanes acc, s32x v, float scale)
{
    return _mm512_add_ps(acc, _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_cvtepi32_ps(v)));
}

/* By halves, as int8.h says. */
static inline float lanes_sum(lanes v)
{
    return f32_sum(v);
}

/* u16x and its words: as in simd_sse41.h. */
typedef __m512i u16x;
enum { U16_LOG = 5, U16_LANES = 1 << U16_LOG };

static inline u16x u16_load(const void *p)
{
    return _mm512_loadu_si512(p);
}

static inline void u16_store(void *p, u16x v)
{
    _mm512_storeu_si512(p, v);
}

static inline u16x u16_set(uint16_t v)
{
    return _mm512_set1_epi16((short)v);
}

INLINE u16x u16_pair(const int16_t *p)
{
    return _mm512_set1_epi32(two_words(p));
}

static inline u16x u16_add(u16x a, u16x b)
{
    return _mm512_add_epi16(a, b);
}

static inline u16x u16_sub(u16x a, u16x b)
{
    return _mm512_sub_epi16(a, b);
}

static inline u16x u16_mul(u16x a, u16x b)
{
    return _mm512_mullo_epi16(a, b);
}

static inline u16x u16_and(u16x a, u16x b)
{
    return _mm512_and_si512(a, b);
}

static inline u16x u16_or(u16x a, u16x b)
{
    return _mm512_or_si512(a, b);
}

static inline u16x u16_shift(u16x a, unsigned n)
{
    return _mm512_srl_epi16(a, _mm_cvtsi32_si128((int)n));
}

static inline u16x u16_add_sat(u16x a, u16x b)
{
    return _mm512_adds_epu16(a, b);
}

static inline u16x u16_min(u16x a, u16x b)
{
    return _mm512_min_epu16(a, b);
}

static inline u16x u16_sub_signed(u16x a, u16x b)
{
    return _mm512_subs_epi16(a, b);
}

static inline u16x u16_add_signed(u16x a, u16x b)
{
    return _mm512_adds_epi16(a, b);
}

static inline u16x u16_square_high(u16x e)
{
    return _mm512_mulhi_epi16(e, e);
}

static inline u16x u16_mul_round(u16x a, u16x b)
{
    return _mm512_mulhrs_epi16(a, b);
}

static inline u16x u16_table(const int8_t *b)
{
    const u16x base = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)b));
#ifdef __AVX512VBMI__
    const u16x i = _mm512_setr_epi64(0x0706050403020100, 0x0F0E0D0C0B0A0908, 0x1716151413121110,
                                     0x1F1E1D1C1B1A1918, 0x2726252423222120, 0x2F2E2D2C2B2A2928,
                                     0x3736353433323130, 0x3F3E3D3C3B3A3938);
    return _mm512_add_epi8(base, i);
#else
    return base;
#endif
}

static inline u16x u16_entries(u16x t, u16x h)
{
#ifdef __AVX512VBMI__
    return _mm512_permutexvar_epi8(h, t);
#else
    const u16x i = _mm512_and_si512(h, _mm512_set1_epi8(63));

    return _mm512_add_epi8(_mm512_shuffle_epi8(t, i), i);
#endif
}

static inline u16x u16_factor(uint8_t f)
{
    return _mm512_set1_epi8((char)f);
}

static inline u16x u16_bytes(u16x h, u16x f)
{
    return _mm512_maddubs_epi16(f, h);
}

static inline u16x u16_nibbles(u16x h, u16x f)
{
    const u16x low = _mm512_set1_epi8(15);
    const u16x two = u16_add(u16_and(h, low), u16_and(_mm512_srli_epi16(h, 4), low));

    return _mm512_maddubs_epi16(f, two);
}

static inline void u16_take(u16x *m, u16x *w, u16x cost, u16x h)
{
    const __mmask32 less = _mm512_cmplt_epu16_mask(cost, *m);

    *m = u16_min(*m, cost);
    *w = _mm512_mask_mov_epi16(*w, less, h);
}

static inline u16x u16_full(u16x v)
{
    return _mm512_movm_epi16(_mm512_cmpeq_epi16_mask(v, _mm512_set1_epi8(-1)));
}

/* Bytes of four lanes that all take word `n`. */
#define FOUR(n) (0x0100010001000100 + 0x0202020202020202 * (n))

INLINE u16x u16_expand(const uint16_t *p, unsigned k)
{
    int64_t q;
    int32_t d;

    switch (k) {
    case 0:
        return u16_load(p);
    case 1: {
        const u16x wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
        return u16_or(wide, _mm512_slli_epi32(wide, 16));
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
        return u16_set(*p);
    }
}

static inline void u16_store_bytes(uint8_t *p, u16x v)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi16_epi8(v));
}

static inline u16x u16_zip16_low(u16x a, u16x b)
{
    return _mm512_unpacklo_epi16(a, b);
}

static inline u16x u16_zip16_high(u16x a, u16x b)
{
    return _mm512_unpackhi_epi16(a, b);
}

static inline u16x u16_zip32_low(u16x a, u16x b)
{
    return _mm512_unpacklo_epi32(a, b);
}

static inline u16x u16_zip32_high(u16x a, u16x b)
{
    return _mm512_unpackhi_epi32(a, b);
}

static inline u16x u16_zip64_low(u16x a, u16x b)
{
    return _mm512_unpacklo_epi64(a, b);
}

static inline u16x u16_zip64_high(u16x a, u16x b)
{
    return _mm512_unpackhi_epi64(a, b);
}

static inline void u16_store_parts(uint16_t *p, size_t stride, u16x v)
{
    _mm_storeu_si128((__m128i *)p, _mm512_castsi512_si128(v));
    _mm_storeu_si128((__m128i *)(p + stride), _mm512_extracti32x4_epi32(v, 1));
    _mm_storeu_si128((__m128i *)(p + 2 * stride), _mm512_extracti32x4_epi32(v, 2));
    _mm_storeu_si128((__m128i *)(p + 3 * stride), _mm512_extracti32x4_epi32(v, 3));
}

static inline uint16_t u16_any(u16x v)
{
    const uint32_t m = (uint32_t)_mm512_reduce_or_epi32(v);

    return (uint16_t)(m | m >> 16);
}

static inline uint16_t u16_least(u16x v)
{
    const __m256i h =
        _mm256_min_epu16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    const __m128i m =
        _mm_min_epu16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));

    return (uint16_t)_mm_cvtsi128_si32(_mm_minpos_epu16(m));
}

#endif

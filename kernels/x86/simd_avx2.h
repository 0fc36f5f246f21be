/*
 * simd_avx2.h - the vector operations that kernels/body/ is written in: AVX2, FMA, F16C.
 *
 * SPDX-License-Identifier: MIT
 *
 * f32x: as many floats as a register holds.  s16x: 32 weights of 16 bits.  s32x and lanes:
 * the 16 int32 and f32 lanes of int8.h.  Each ISA has a header with these same names.
 */
#ifndef RBE_KERNELS_X86_SIMD_AVX2_H
#define RBE_KERNELS_X86_SIMD_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/body/unroll.h"
#include "kernels/body/words.h"

#ifndef __AVX2__
#error "needs -mavx2: the Makefile takes ISA flags from the file name's suffix"
#endif

enum { F32_LANES = 8, SIMD_REGISTERS = 16 };

typedef __m256 f32x;

static inline f32x f32_set(float v)
{
    return _mm256_set1_ps(v);
}

static inline f32x f32_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

/* Four values, as often as they fit. */
static inline f32x f32_quads(const float *p)
{
    return _mm256_broadcast_ps((const __m128 *)(const void *)p);
}

static inline void f32_store(float *p, f32x v)
{
    _mm256_storeu_ps(p, v);
}

static inline f32x f32_load_half(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

static inline f32x f32_add(f32x a, f32x b)
{
    return _mm256_add_ps(a, b);
}

static inline f32x f32_sub(f32x a, f32x b)
{
    return _mm256_sub_ps(a, b);
}

static inline f32x f32_mul(f32x a, f32x b)
{
    return _mm256_mul_ps(a, b);
}

static inline f32x f32_div(f32x a, f32x b)
{
    return _mm256_div_ps(a, b);
}

static inline f32x f32_sqrt(f32x a)
{
    return _mm256_sqrt_ps(a);
}

/* a > b ? a : b; b when either is NaN. */
static inline f32x f32_max(f32x a, f32x b)
{
    return _mm256_max_ps(a, b);
}

static inline f32x f32_min(f32x a, f32x b)
{
    return _mm256_min_ps(a, b);
}

static inline f32x f32_abs(f32x a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a);
}

/* a > 0 ? yes : no, lane by lane. */
static inline f32x f32_if_positive(f32x a, f32x yes, f32x no)
{
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_GT_OQ));
}

/* The bits of a, plus the bits of t moved up to the exponent. */
static inline f32x f32_add_exponent(f32x a, f32x t)
{
    return _mm256_castsi256_ps(_mm256_add_epi32(
        _mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}

/* a * b + c, rounded once where the machine can. */
static inline f32x f32_fma(f32x a, f32x b, f32x c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* Lanes whose bit is set, negated. */
static inline f32x f32_flip(f32x v, uint32_t bits)
{
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set =
        _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)bits), bit), bit);
    return _mm256_xor_ps(v, _mm256_and_ps(_mm256_castsi256_ps(set), _mm256_set1_ps(-0.0F)));
}

/* Lane i: v[i] + v[i + half] where i & half is 0, else v[i - half] - v[i]; half < F32_LANES. */
static inline f32x f32_butterfly(f32x v, int half)
{
    if (half == 1)
        return _mm256_add_ps(_mm256_permute_ps(v, 0xB1), f32_flip(v, 0xAA));
    if (half == 2)
        return _mm256_add_ps(_mm256_permute_ps(v, 0x4E), f32_flip(v, 0xCC));
    return _mm256_add_ps(_mm256_permute2f128_ps(v, v, 1), f32_flip(v, 0xF0));
}

/* Rounded to nearest, ties to even; |v| < 2^15. */
static inline void f32_store_s16(int16_t *p, f32x v)
{
    const __m256i n = _mm256_cvtps_epi32(v);
    _mm_storeu_si128((__m128i *)p, _mm_packs_epi32(_mm256_castsi256_si128(n),
                                                   _mm256_extracti128_si256(n, 1)));
}

/* As many doubles as f32x has floats. */
typedef struct {
    __m256d a, b;
} f64x;

static inline f64x f64_zero(void)
{
    return (f64x){_mm256_setzero_pd(), _mm256_setzero_pd()};
}

static inline f64x f64_add(f64x sum, f32x v)
{
    return (f64x){_mm256_add_pd(sum.a, _mm256_cvtps_pd(_mm256_castps256_ps128(v))),
                  _mm256_add_pd(sum.b, _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)))};
}

static inline void f64_store(double *p, f64x v)
{
    _mm256_storeu_pd(p, v.a);
    _mm256_storeu_pd(p + 4, v.b);
}

static inline float f32_sum4(__m128 v)
{
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
}

static inline float f32_sum(f32x v)
{
    return f32_sum4(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)));
}

/* The largest lane; none is NaN. */
static inline float f32_largest(f32x v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}

static inline void half4(float out[4], const uint16_t *h)
{
    _mm_storeu_ps(out, _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)h)));
}

static inline float half1(uint16_t h)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}

typedef struct {
    __m256i a, b;
} s16x;

typedef struct {
    __m256i a, b;
} s32x;

typedef struct {
    __m256 a, b;
} lanes;

static inline s16x s16_bytes(const int8_t *p)
{
    return (s16x){_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)),
                  _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(p + 16)))};
}

static inline s16x s16_load(const uint16_t *p)
{
    return (s16x){_mm256_loadu_si256((const __m256i *)p),
                  _mm256_loadu_si256((const __m256i *)(p + 16))};
}

static inline void s16_store(uint16_t *p, s16x w)
{
    _mm256_storeu_si256((__m256i *)p, w.a);
    _mm256_storeu_si256((__m256i *)(p + 16), w.b);
}

/* Nibble k of each word, sign-extended. */
static inline s16x s16_nibble(s16x w, int k)
{
    return (s16x){_mm256_srai_epi16(_mm256_slli_epi16(w.a, 12 - 4 * k), 12),
                  _mm256_srai_epi16(_mm256_slli_epi16(w.b, 12 - 4 * k), 12)};
}

/* Lane l: w[2 l] q[2 l] + w[2 l + 1] q[2 l + 1]. */
static inline s32x s32_dot(s16x w, const int16_t *q)
{
    return (s32x){_mm256_madd_epi16(w.a, _mm256_loadu_si256((const __m256i *)q)),
                  _mm256_madd_epi16(w.b, _mm256_loadu_si256((const __m256i *)(q + 16)))};
}

static inline s32x s32_add(s32x x, s32x y)
{
    return (s32x){_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}

/* sum + s32_dot(w, q) */
static inline s32x s32_dot_add(s32x sum, s16x w, const int16_t *q)
{
    return s32_add(sum, s32_dot(w, q));
}

static inline lanes lanes_zero(void)
{
    return (lanes){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

/* acc + scale * (float)v, rounded twice. */
static inline lanes lanes_add(lanes acc, s32x v, float scale)
{
    const __m256 s = _mm256_set1_ps(scale);
    return (lanes){_mm256_add_ps(acc.a, _mm256_mul_ps(s, _mm256_cvtepi32_ps(v.a))),
                   _mm256_add_ps(acc.b, _mm256_mul_ps(s, _mm256_cvtepi32_ps(v.b)))};
}

/* By halves, as int8.h says. */
static inline float lanes_sum(lanes v)
{
    return f32_sum(_mm256_add_ps(v.a, v.b));
}

/* u16x and its words: as in simd_sse41.h. */
typedef __m256i u16x;
enum { U16_LOG = 4, U16_LANES = 1 << U16_LOG };

static inline u16x u16_load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline void u16_store(void *p, u16x v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

static inline u16x u16_set(uint16_t v)
{
    return _mm256_set1_epi16((short)v);
}

INLINE u16x u16_pair(const int16_t *p)
{
    return _mm256_set1_epi32(two_words(p));
}

static inline u16x u16_add(u16x a, u16x b)
{
    return _mm256_add_epi16(a, b);
}

static inline u16x u16_sub(u16x a, u16x b)
{
    return _mm256_sub_epi16(a, b);
}

static inline u16x u16_mul(u16x a, u16x b)
{
    return _mm256_mullo_epi16(a, b);
}

static inline u16x u16_and(u16x a, u16x b)
{
    return _mm256_and_si256(a, b);
}

static inline u16x u16_or(u16x a, u16x b)
{
    return _mm256_or_si256(a, b);
}

static inline u16x u16_shift(u16x a, unsigned n)
{
    return _mm256_srl_epi16(a, _mm_cvtsi32_si128((int)n));
}

static inline u16x u16_add_sat(u16x a, u16x b)
{
    return _mm256_adds_epu16(a, b);
}

static inline u16x u16_min(u16x a, u16x b)
{
    return _mm256_min_epu16(a, b);
}

static inline u16x u16_sub_signed(u16x a, u16x b)
{
    return _mm256_subs_epi16(a, b);
}

static inline u16x u16_add_signed(u16x a, u16x b)
{
    return _mm256_adds_epi16(a, b);
}

static inline u16x u16_square_high(u16x e)
{
    return _mm256_mulhi_epi16(e, e);
}

static inline u16x u16_mul_round(u16x a, u16x b)
{
    return _mm256_mulhrs_epi16(a, b);
}

static inline u16x u16_table(const int8_t *b)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)b));
}

static inline u16x u16_entries(u16x t, u16x h)
{
    const u16x i = u16_and(h, _mm256_set1_epi8(63));

    return _mm256_add_epi8(_mm256_shuffle_epi8(t, i), i);
}

static inline u16x u16_factor(uint8_t f)
{
    return _mm256_set1_epi8((char)f);
}

static inline u16x u16_bytes(u16x h, u16x f)
{
    return _mm256_maddubs_epi16(f, h);
}

static inline u16x u16_nibbles(u16x h, u16x f)
{
    const u16x low = _mm256_set1_epi8(15);
    const u16x two = u16_add(u16_and(h, low), u16_and(_mm256_srli_epi16(h, 4), low));

    return _mm256_maddubs_epi16(f, two);
}

static inline void u16_take(u16x *m, u16x *w, u16x cost, u16x h)
{
    const u16x least = u16_min(*m, cost), same = _mm256_cmpeq_epi16(least, *m);

    *w = _mm256_blendv_epi8(h, *w, same);
    *m = least;
}

static inline u16x u16_full(u16x v)
{
    return _mm256_cmpeq_epi16(v, _mm256_set1_epi8(-1));
}

/* Bytes 2 i and 2 i + 1 of lane i's source, in both halves the same 16 bytes. */
#define TWICE(a, b, c, d, e, f, g, h)                                                          \
    2 * a, 2 * a + 1, 2 * b, 2 * b + 1, 2 * c, 2 * c + 1, 2 * d, 2 * d + 1, 2 * e, 2 * e + 1,  \
        2 * f, 2 * f + 1, 2 * g, 2 * g + 1, 2 * h, 2 * h + 1

INLINE u16x u16_expand(const uint16_t *p, unsigned k)
{
    int64_t q;
    int32_t d;

    switch (k) {
    case 0:
        return u16_load(p);
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
        return u16_set(*p);
    }
}

static inline void u16_store_bytes(uint8_t *p, u16x v)
{
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi16(_mm256_castsi256_si128(v),
                                                    _mm256_extracti128_si256(v, 1)));
}

static inline u16x u16_zip16_low(u16x a, u16x b)
{
    return _mm256_unpacklo_epi16(a, b);
}

static inline u16x u16_zip16_high(u16x a, u16x b)
{
    return _mm256_unpackhi_epi16(a, b);
}

static inline u16x u16_zip32_low(u16x a, u16x b)
{
    return _mm256_unpacklo_epi32(a, b);
}

static inline u16x u16_zip32_high(u16x a, u16x b)
{
    return _mm256_unpackhi_epi32(a, b);
}

static inline u16x u16_zip64_low(u16x a, u16x b)
{
    return _mm256_unpacklo_epi64(a, b);
}

static inline u16x u16_zip64_high(u16x a, u16x b)
{
    return _mm256_unpackhi_epi64(a, b);
}

static inline void u16_store_parts(uint16_t *p, size_t stride, u16x v)
{
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(v));
    _mm_storeu_si128((__m128i *)(p + stride), _mm256_extracti128_si256(v, 1));
}

static inline uint16_t u16_any(u16x v)
{
    __m128i m = _mm_or_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    m = _mm_or_si128(m, _mm_unpackhi_epi64(m, m));
    m = _mm_or_si128(m, _mm_shuffle_epi32(m, 1));
    return (uint16_t)(_mm_cvtsi128_si32(m) | _mm_cvtsi128_si32(m) >> 16);
}

static inline uint16_t u16_least(u16x v)
{
    const __m128i m =
        _mm_min_epu16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    return (uint16_t)_mm_cvtsi128_si32(_mm_minpos_epu16(m));
}

#endif

/*
 * seed_avx512.h - AVX-512 vectors for the seed kernels; VNNI and VBMI2 where compiled in.
 *
 * SPDX-License-Identifier: MIT
 *
 * The includer defines MAP_SEED4 as 0 or 1.
 */
#ifndef RBE_KERNELS_X86_SEED_AVX512_H
#define RBE_KERNELS_X86_SEED_AVX512_H

#include <immintrin.h>

#include "kernels/format/seed.h"

typedef __m512i vec;
enum {
    VEC_LANES = 32,
    VEC_ROWS = 16,
    TILE_ROWS = 4,              /* sums of a GEMM in registers */
    TILE_VECTORS = 4,
    OFFSET = MAP_SEED4 ? 30 : 0,
    ROW_TERM = MAP_SEED4,
};

struct row_const {
    vec right;                  /* shift counts, in every lane */
#ifndef __AVX512VBMI2__
    vec left;
#endif
#if MAP_SEED4
    vec term;
#endif
};

static inline void set_row(struct row_const *k, unsigned shift, unsigned i)
{
    k->right = _mm512_set1_epi16((short)shift);
#ifndef __AVX512VBMI2__
    k->left = _mm512_set1_epi16((short)(16 - shift));   /* 16 shifts everything out */
#endif
#if MAP_SEED4
    k->term = _mm512_set1_epi16((short)(i * 0x6487U));
#else
    (void)i;
#endif
}

static inline vec vec_load(const void *p)
{
    return _mm512_loadu_si512(p);
}

static inline void vec_store(void *p, vec v)
{
    _mm512_storeu_si512(p, v);
}

static inline vec vec_zero(void)
{
    return _mm512_setzero_si512();
}

static inline vec window(vec w0, vec w1, const struct row_const *k)
{
#ifdef __AVX512VBMI2__
    return _mm512_shrdv_epi16(w0, w1, k->right);
#else
    return _mm512_or_si512(_mm512_srlv_epi16(w0, k->right), _mm512_sllv_epi16(w1, k->left));
#endif
}

static inline vec window_fixed(vec w0, vec w1, unsigned shift)
{
#if !defined(__AVX512VBMI2__) && defined(__OPTIMIZE__)      /* constant once inlined */
    return shift ? _mm512_or_si512(_mm512_srli_epi16(w0, shift),
                                   _mm512_slli_epi16(w1, 16 - shift)) : w0;
#else
    struct row_const k;
    set_row(&k, shift, 0);
    return window(w0, w1, &k);
#endif
}

static inline vec map(vec u, const struct row_const *k)
{
#if MAP_SEED4
    const vec nibble = _mm512_set1_epi8(15);
    const vec h = _mm512_add_epi16(_mm512_mullo_epi16(u, _mm512_set1_epi16((short)0x9E3B)),
                                   k->term);
    const vec pairs = _mm512_add_epi8(_mm512_and_si512(h, nibble),
                                      _mm512_and_si512(_mm512_srli_epi16(h, 4), nibble));
    return _mm512_maddubs_epi16(pairs, _mm512_set1_epi8(1));
#else
    (void)k;
    return _mm512_maddubs_epi16(_mm512_set1_epi8(1),
                                _mm512_mullo_epi16(u, _mm512_set1_epi16((short)0xE37D)));
#endif
}

static inline vec dot(vec sum, vec g, vec x)
{
#ifdef __AVX512VNNI__
    return _mm512_dpwssd_epi32(sum, g, x);
#else
    return _mm512_add_epi32(sum, _mm512_madd_epi16(g, x));
#endif
}

/* Of a and b, each 128-bit lane: sums of neighbours, a's in the even places. */
static inline vec fold32(vec a, vec b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

static inline vec fold64(vec a, vec b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* Lane 4 l + i of the result: lane l's part of the sum of s[i], l = 0..3, i = 0..3. */
static inline vec fold4(const vec *s)
{
    return fold64(fold32(s[0], s[1]), fold32(s[2], s[3]));
}

static inline void reduce(int32_t *out, const vec *s, int n)
{
    const vec a = fold4(s);
    vec b = a, c = a, d = a;

    if (n > 4)
        b = fold4(s + 4);
    if (n > 8) {
        c = fold4(s + 8);
        d = fold4(s + 12);
    }
    const vec ab = _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88),
                                    _mm512_shuffle_i32x4(a, b, 0xDD));
    const vec cd = _mm512_add_epi32(_mm512_shuffle_i32x4(c, d, 0x88),
                                    _mm512_shuffle_i32x4(c, d, 0xDD));
    _mm512_storeu_si512(out, _mm512_add_epi32(_mm512_shuffle_i32x4(ab, cd, 0x88),
                                              _mm512_shuffle_i32x4(ab, cd, 0xDD)));
}

static inline void finish(float *y, const int32_t *sum, const uint16_t *scale, float act_scale,
                          size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = n - i >= 16 ? 0xFFFF : (__mmask16)((1U << (n - i)) - 1);
        const __m512 s = _mm512_cvtph_ps(_mm512_castsi512_si256(
            _mm512_maskz_loadu_epi16(m, scale + i)));
        const __m512 v = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(m, sum + i));
        _mm512_mask_storeu_ps(y + i, m,
                              _mm512_mul_ps(v, _mm512_mul_ps(s, _mm512_set1_ps(act_scale))));
    }
}

#endif

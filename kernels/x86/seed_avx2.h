/*
 * seed_avx2.h - AVX2 vectors for the seed kernels.
 *
 * SPDX-License-Identifier: MIT
 *
 * The includer defines MAP_SEED4 as 0 or 1.
 */
#ifndef RBE_KERNELS_X86_SEED_AVX2_H
#define RBE_KERNELS_X86_SEED_AVX2_H

#include <immintrin.h>

#include "kernels/f16.h"
#include "kernels/format/seed.h"

typedef __m256i vec;
enum {
    VEC_LANES = 16,
    VEC_ROWS = 8,
    TILE_ROWS = 2,              /* sums of a GEMM in registers */
    TILE_VECTORS = 4,
    OFFSET = MAP_SEED4 ? 30 : 0,
    ROW_TERM = MAP_SEED4,
};

struct row_const {
    __m128i right, left;        /* shift counts, in the low 64 bits */
#if MAP_SEED4
    vec term;
#endif
};

static inline void set_row(struct row_const *k, unsigned shift, unsigned i)
{
    k->right = _mm_cvtsi32_si128((int)shift);
    k->left = _mm_cvtsi32_si128(16 - (int)shift);       /* 16 shifts everything out */
#if MAP_SEED4
    k->term = _mm256_set1_epi16((short)(i * 0x6487U));
#else
    (void)i;
#endif
}

static inline vec vec_load(const void *p)
{
    return _mm256_loadu_si256(p);
}

static inline void vec_store(void *p, vec v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

static inline vec vec_zero(void)
{
    return _mm256_setzero_si256();
}

static inline vec window(vec w0, vec w1, const struct row_const *k)
{
    return _mm256_or_si256(_mm256_srl_epi16(w0, k->right), _mm256_sll_epi16(w1, k->left));
}

static inline vec window_fixed(vec w0, vec w1, unsigned shift)
{
    return shift ? _mm256_or_si256(_mm256_srli_epi16(w0, (int)shift),
                                   _mm256_slli_epi16(w1, 16 - (int)shift)) : w0;
}

static inline vec map(vec u, const struct row_const *k)
{
#if MAP_SEED4
    const vec nibble = _mm256_set1_epi8(15);
    const vec h = _mm256_add_epi16(_mm256_mullo_epi16(u, _mm256_set1_epi16((short)0x9E3B)),
                                   k->term);
    const vec pairs = _mm256_add_epi8(_mm256_and_si256(h, nibble),
                                      _mm256_and_si256(_mm256_srli_epi16(h, 4), nibble));
    return _mm256_maddubs_epi16(pairs, _mm256_set1_epi8(1));
#else
    (void)k;
    return _mm256_maddubs_epi16(_mm256_set1_epi8(1),
                                _mm256_mullo_epi16(u, _mm256_set1_epi16((short)0xE37D)));
#endif
}

static inline vec dot(vec sum, vec g, vec x)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(g, x));
}

/* Lane 4 l + i of the result: 128-bit lane l's part of the sum of s[i]. */
static inline vec fold4(const vec *s)
{
    return _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));
}

static inline void reduce(int32_t *out, const vec *s, int n)
{
    for (int i = 0; i < n; i += 4) {
        const vec a = fold4(s + i);
        _mm_storeu_si128((__m128i *)(out + i), _mm_add_epi32(_mm256_castsi256_si128(a),
                                                             _mm256_extracti128_si256(a, 1)));
    }
}

static inline void finish(float *y, const int32_t *sum, const uint16_t *scale, float act_scale,
                          size_t n)
{
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        const __m256 s = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(scale + i)));
        const __m256 v = _mm256_cvtepi32_ps(vec_load(sum + i));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(v, _mm256_mul_ps(s, _mm256_set1_ps(act_scale))));
    }
    for (; i < n; i++)
        y[i] = (float)sum[i] * (rbe_f16_to_f32(scale[i]) * act_scale);
}

#endif

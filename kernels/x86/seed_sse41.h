/*
 * seed_sse41.h - SSE4.1 vectors for the seed kernels.
 *
 * SPDX-License-Identifier: MIT
 *
 * The includer defines MAP_SEED4 as 0 or 1.
 */
#ifndef RBE_KERNELS_X86_SEED_SSE41_H
#define RBE_KERNELS_X86_SEED_SSE41_H

#include <immintrin.h>

#include "kernels/f16.h"
#include "kernels/format/seed.h"

typedef __m128i vec;
enum {
    VEC_LANES = 8,
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
    k->term = _mm_set1_epi16((short)(i * 0x6487U));
#else
    (void)i;
#endif
}

static inline vec vec_load(const void *p)
{
    return _mm_loadu_si128(p);
}

static inline void vec_store(void *p, vec v)
{
    _mm_storeu_si128((__m128i *)p, v);
}

static inline vec vec_zero(void)
{
    return _mm_setzero_si128();
}

static inline vec window(vec w0, vec w1, const struct row_const *k)
{
    return _mm_or_si128(_mm_srl_epi16(w0, k->right), _mm_sll_epi16(w1, k->left));
}

static inline vec window_fixed(vec w0, vec w1, unsigned shift)
{
    return shift ? _mm_or_si128(_mm_srli_epi16(w0, (int)shift),
                                   _mm_slli_epi16(w1, 16 - (int)shift)) : w0;
}

static inline vec map(vec u, const struct row_const *k)
{
#if MAP_SEED4
    const vec nibble = _mm_set1_epi8(15);
    const vec h = _mm_add_epi16(_mm_mullo_epi16(u, _mm_set1_epi16((short)0x9E3B)),
                                   k->term);
    const vec pairs = _mm_add_epi8(_mm_and_si128(h, nibble),
                                      _mm_and_si128(_mm_srli_epi16(h, 4), nibble));
    return _mm_maddubs_epi16(pairs, _mm_set1_epi8(1));
#else
    (void)k;
    return _mm_maddubs_epi16(_mm_set1_epi8(1),
                                _mm_mullo_epi16(u, _mm_set1_epi16((short)0xE37D)));
#endif
}

static inline vec dot(vec sum, vec g, vec x)
{
    return _mm_add_epi32(sum, _mm_madd_epi16(g, x));
}

static inline void reduce(int32_t *out, const vec *s, int n)
{
    for (int i = 0; i < n; i += 4)
        vec_store(out + i, _mm_hadd_epi32(_mm_hadd_epi32(s[i], s[i + 1]),
                                          _mm_hadd_epi32(s[i + 2], s[i + 3])));
}

static inline void finish(float *y, const int32_t *sum, const uint16_t *scale, float act_scale,
                          size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)sum[i] * (rbe_f16_to_f32(scale[i]) * act_scale);
}

#endif

/*
 * seed_sse41.h - what body/seed_gemv.h and seed_gemm.h ask for, in SSE4.1.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_X86_SEED_SSE41_H
#define RBE_KERNELS_X86_SEED_SSE41_H

#include "kernels/f16.h"
#include "kernels/x86/simd_sse41.h"

enum {
    VEC_ROWS = 8,
    TILE_ROWS = 2,              /* registers of rows, and vectors, of a GEMM's sums */
    TILE_VECTORS = 4,
};

struct shifts {
    __m128i right, left;        /* counts, in the low 64 bits */
};

static inline struct shifts shifts_of(unsigned shift)
{
    /* 16 shifts everything out */
    return (struct shifts){_mm_cvtsi32_si128((int)shift), _mm_cvtsi32_si128(16 - (int)shift)};
}

static inline u16x window(u16x w0, u16x w1, const struct shifts *k)
{
    return _mm_or_si128(_mm_srl_epi16(w0, k->right), _mm_sll_epi16(w1, k->left));
}

static inline u16x window_fixed(u16x w0, u16x w1, unsigned shift)
{
    return shift ? _mm_or_si128(_mm_srli_epi16(w0, (int)shift),
                                   _mm_slli_epi16(w1, 16 - (int)shift)) : w0;
}

static inline u16x dot(u16x sum, u16x g, u16x x)
{
    return _mm_add_epi32(sum, _mm_madd_epi16(g, x));
}

static inline void reduce(int32_t *out, const u16x *s, int n)
{
    for (int i = 0; i < n; i += 4)
        u16_store(out + i, _mm_hadd_epi32(_mm_hadd_epi32(s[i], s[i + 1]),
                                          _mm_hadd_epi32(s[i + 2], s[i + 3])));
}

static inline void finish(float *y, const int32_t *sum, const uint16_t *scale, float act_scale,
                          size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)sum[i] * (rbe_f16_to_f32(scale[i]) * act_scale);
}

#endif

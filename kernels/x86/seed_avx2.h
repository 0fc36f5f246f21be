/*
 * seed_avx2.h - what body/seed_gemv.h and seed_gemm.h ask for, in AVX2; with ACT8 in AVX-VNNI.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_X86_SEED_AVX2_H
#define RBE_KERNELS_X86_SEED_AVX2_H

#include "kernels/f16.h"
#include "kernels/x86/simd_avx2.h"

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
    return _mm256_or_si256(_mm256_srl_epi16(w0, k->right), _mm256_sll_epi16(w1, k->left));
}

static inline u16x window_fixed(u16x w0, u16x w1, unsigned shift)
{
    return shift ? _mm256_or_si256(_mm256_srli_epi16(w0, (int)shift),
                                   _mm256_slli_epi16(w1, 16 - (int)shift)) : w0;
}

#ifdef ACT8

#define BYTE_WEIGHTS
/* One operand has no signs: sums of nibbles, or activations. */
#define UNSIGNED_ACT (!MAP_SEED4)

static inline u16x u16_xor(u16x a, u16x b)
{
    return _mm256_xor_si256(a, b);
}

static inline u16x nibble_bytes(u16x h)
{
    const u16x low = _mm256_set1_epi8(15);
    return u16_add(u16_and(h, low), u16_and(_mm256_srli_epi16(h, 4), low));
}

static inline u16x dot(u16x sum, u16x g, u16x x)
{
    return UNSIGNED_ACT ? _mm256_dpbusd_avx_epi32(sum, x, g)
                        : _mm256_dpbusd_avx_epi32(sum, g, x);
}

#else

static inline u16x dot(u16x sum, u16x g, u16x x)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(g, x));
}

#endif

/* Lane 4 l + i of the result: 128-bit lane l's part of the sum of s[i]. */
static inline u16x fold4(const u16x *s)
{
    return _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));
}

static inline void reduce(int32_t *out, const u16x *s, int n)
{
    for (int i = 0; i < n; i += 4) {
        const u16x a = fold4(s + i);
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
        const __m256 v = _mm256_cvtepi32_ps(u16_load(sum + i));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(v, _mm256_mul_ps(s, _mm256_set1_ps(act_scale))));
    }
    for (; i < n; i++)
        y[i] = (float)sum[i] * (rbe_f16_to_f32(scale[i]) * act_scale);
}

#endif

/*
 * seed_avx512.h - what body/seed_gemv.h and seed_gemm.h ask for, in AVX-512; with VNNI and
 * VBMI2 where they are compiled in.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_X86_SEED_AVX512_H
#define RBE_KERNELS_X86_SEED_AVX512_H

#include "kernels/x86/simd_avx512.h"

enum {
    VEC_ROWS = 16,
    TILE_ROWS = 2,              /* registers of rows, and vectors, of a GEMM's sums */
    TILE_VECTORS = 8,
};

struct shifts {
    u16x right;                 /* counts, in every lane */
#ifndef __AVX512VBMI2__
    u16x left;
#endif
};

static inline struct shifts shifts_of(unsigned shift)
{
    return (struct shifts){
        .right = u16_set((uint16_t)shift),
#ifndef __AVX512VBMI2__
        .left = u16_set((uint16_t)(16 - shift)),        /* 16 shifts everything out */
#endif
    };
}

static inline u16x window(u16x w0, u16x w1, const struct shifts *k)
{
#ifdef __AVX512VBMI2__
    return _mm512_shrdv_epi16(w0, w1, k->right);
#else
    return _mm512_or_si512(_mm512_srlv_epi16(w0, k->right), _mm512_sllv_epi16(w1, k->left));
#endif
}

static inline u16x window_fixed(u16x w0, u16x w1, unsigned shift)
{
#if !defined(__AVX512VBMI2__) && defined(__OPTIMIZE__)      /* constant once inlined */
    return shift ? _mm512_or_si512(_mm512_srli_epi16(w0, shift),
                                   _mm512_slli_epi16(w1, 16 - shift)) : w0;
#else
    const struct shifts k = shifts_of(shift);
    return window(w0, w1, &k);
#endif
}

#ifdef ACT8

#define BYTE_WEIGHTS
/* One operand has no signs: sums of nibbles, or activations. */
#define UNSIGNED_ACT (!MAP_SEED4)

static inline u16x u16_xor(u16x a, u16x b)
{
    return _mm512_xor_si512(a, b);
}

static inline u16x nibble_bytes(u16x h)
{
    const u16x low = _mm512_set1_epi8(15);
    return u16_add(u16_and(h, low), u16_and(_mm512_srli_epi16(h, 4), low));
}

static inline u16x dot(u16x sum, u16x g, u16x x)
{
    return UNSIGNED_ACT ? _mm512_dpbusd_epi32(sum, x, g) : _mm512_dpbusd_epi32(sum, g, x);
}

#else

static inline u16x dot(u16x sum, u16x g, u16x x)
{
#ifdef __AVX512VNNI__
    return _mm512_dpwssd_epi32(sum, g, x);
#else
    return _mm512_add_epi32(sum, _mm512_madd_epi16(g, x));
#endif
}

#endif

/* Of a and b, each 128-bit lane: sums of neighbours, a's in the even places. */
static inline u16x fold32(u16x a, u16x b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

static inline u16x fold64(u16x a, u16x b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* Lane 4 l + i of the result: lane l's part of the sum of s[i], l = 0..3, i = 0..3. */
static inline u16x fold4(const u16x *s)
{
    return fold64(fold32(s[0], s[1]), fold32(s[2], s[3]));
}

static inline void reduce(int32_t *out, const u16x *s, int n)
{
    const u16x a = fold4(s);
    u16x b = a, c = a, d = a;

    if (n > 4)
        b = fold4(s + 4);
    if (n > 8) {
        c = fold4(s + 8);
        d = fold4(s + 12);
    }
    const u16x ab = _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88),
                                    _mm512_shuffle_i32x4(a, b, 0xDD));
    const u16x cd = _mm512_add_epi32(_mm512_shuffle_i32x4(c, d, 0x88),
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

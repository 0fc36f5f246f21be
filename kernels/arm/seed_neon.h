/*
 * seed_neon.h - what body/seed_gemv.h and seed_gemm.h ask for, in NEON; with the dot product
 * where it is compiled in.
 *
 * SPDX-License-Identifier: MIT
 *
 * The dot product multiplies signed bytes.  Both maps are sums of two bytes, so it takes their
 * halves as they are, and activations as q = 256 high + low, each byte standing twice; high
 * and low have sums of their own.  With ACT8 there is one byte and one sum.
 */
#ifndef RBE_KERNELS_ARM_SEED_NEON_H
#define RBE_KERNELS_ARM_SEED_NEON_H

#include "kernels/arm/simd_neon.h"
#include "kernels/f16.h"

enum {
#if defined __ARM_FEATURE_DOTPROD && !defined ACT8
    VEC_ROWS = 8,               /* of two sums each */
#else
    VEC_ROWS = 16,
#endif
    TILE_ROWS = 4,              /* registers of rows, and vectors, of a GEMM's sums */
    TILE_VECTORS = 4,
};

struct shifts {
    int16x8_t right, left;      /* to the left, right being negative */
};

static inline struct shifts shifts_of(unsigned shift)
{
    /* 16 shifts everything out */
    return (struct shifts){vdupq_n_s16((int16_t)-(int)shift),
                           vdupq_n_s16((int16_t)(16 - (int)shift))};
}

static inline u16x window(u16x w0, u16x w1, const struct shifts *k)
{
    return vorrq_u16(vshlq_u16(w0, k->right), vshlq_u16(w1, k->left));
}

/* The shift is a constant once inlined, and one case is left. */
static inline u16x window_fixed(u16x w0, u16x w1, unsigned shift)
{
    switch (shift) {
#define CASE(s)                                                                                \
    case s:                                                                                    \
        return vsliq_n_u16(vshrq_n_u16(w0, s), w1, 16 - s);
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
        CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14) CASE(15)
#undef CASE
    }
    return w0;
}

#ifdef __ARM_FEATURE_DOTPROD

#define BYTE_WEIGHTS

static inline u16x nibble_bytes(u16x v)
{
    const uint8x16_t h = vreinterpretq_u8_u16(v);
    return vreinterpretq_u16_u8(vaddq_u8(vandq_u8(h, vdupq_n_u8(15)), vshrq_n_u8(h, 4)));
}

#endif

#ifdef ACT8

#define UNSIGNED_ACT 0

static inline u16x u16_xor(u16x a, u16x b)
{
    return veorq_u16(a, b);
}

static inline u16x dot(u16x sum, u16x g, u16x x)
{
    return vreinterpretq_u16_s32(vdotq_s32(vreinterpretq_s32_u16(sum), vreinterpretq_s8_u16(g),
                                           vreinterpretq_s8_u16(x)));
}

#elif defined __ARM_FEATURE_DOTPROD

#define SPLIT_SUMS
typedef struct {
    int32x4_t high, low;
} acc;
typedef struct {
    int8x16_t high, low;
} act;

static inline acc acc_zero(void)
{
    return (acc){vdupq_n_s32(0), vdupq_n_s32(0)};
}

static inline act act_load(const int16_t *q)
{
    const int16x8_t x = vld1q_s16(q);
    const int8x16_t low = vreinterpretq_s8_s16(x);
    const int8x16_t high = vreinterpretq_s8_s16(vrshrq_n_s16(x, 8));
    return (act){vtrn1q_s8(high, high), vtrn1q_s8(low, low)};
}

static inline acc dot(acc sum, u16x g, act x)
{
    const int8x16_t w = vreinterpretq_s8_u16(g);
    return (acc){vdotq_s32(sum.high, w, x.high), vdotq_s32(sum.low, w, x.low)};
}

static inline void reduce(int32_t *out, const acc *s, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = (int32_t)(((uint32_t)vaddvq_s32(s[i].high) << 8) +
                           (uint32_t)vaddvq_s32(s[i].low));
}

#else

static inline u16x dot(u16x sum, u16x g, u16x x)
{
    const int16x8_t a = vreinterpretq_s16_u16(g), b = vreinterpretq_s16_u16(x);
    const int32x4_t low = vmlal_s16(vreinterpretq_s32_u16(sum), vget_low_s16(a),
                                    vget_low_s16(b));
    return vreinterpretq_u16_s32(vmlal_high_s16(low, a, b));
}

#endif

#define SPLIT_PAIRS
/* Of a GEMM: q[0] for every row, then q[1]; and of four rows with two weights each the first
 * ones, then the others, as dot() adds halves. */
static inline u16x act_pair(const int16_t *q)
{
    return vreinterpretq_u16_s16(vcombine_s16(vld1_dup_s16(q), vld1_dup_s16(q + 1)));
}

static inline u16x row_pairs(u16x v)
{
    return vcombine_u16(vuzp1_u16(vget_low_u16(v), vget_high_u16(v)),
                        vuzp2_u16(vget_low_u16(v), vget_high_u16(v)));
}

#ifndef SPLIT_SUMS
static inline void reduce(int32_t *out, const u16x *s, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = vaddvq_s32(vreinterpretq_s32_u16(s[i]));
}
#endif

static inline void finish(float *y, const int32_t *sum, const uint16_t *scale, float act_scale,
                          size_t n)
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4) {
        const float32x4_t s = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(scale + i)));
        vst1q_f32(y + i, vmulq_f32(vcvtq_f32_s32(vld1q_s32(sum + i)),
                                   vmulq_n_f32(s, act_scale)));
    }
    for (; i < n; i++)
        y[i] = (float)sum[i] * (rbe_f16_to_f32(scale[i]) * act_scale);
}

#endif

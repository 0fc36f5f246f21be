/*
 * simd_neon.h - the vector operations that kernels/body/ is written in: Advanced SIMD.
 *
 * SPDX-License-Identifier: MIT
 *
 * f32x: as many floats as a register holds.  s16x: 32 weights of 16 bits.  s32x and lanes:
 * the 16 int32 and f32 lanes of int8.h.  Each ISA has a header with these same names.
 */
#ifndef RBE_KERNELS_ARM_SIMD_NEON_H
#define RBE_KERNELS_ARM_SIMD_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/body/unroll.h"

enum { F32_LANES = 4, SIMD_REGISTERS = 32 };

typedef float32x4_t f32x;

static inline f32x f32_set(float v)
{
    return vdupq_n_f32(v);
}

static inline f32x f32_load(const float *p)
{
    return vld1q_f32(p);
}

static inline void f32_store(float *p, f32x v)
{
    vst1q_f32(p, v);
}

static inline f32x f32_load_half(const uint16_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

static inline f32x f32_add(f32x a, f32x b)
{
    return vaddq_f32(a, b);
}

static inline f32x f32_sub(f32x a, f32x b)
{
    return vsubq_f32(a, b);
}

static inline f32x f32_mul(f32x a, f32x b)
{
    return vmulq_f32(a, b);
}

static inline f32x f32_div(f32x a, f32x b)
{
    return vdivq_f32(a, b);
}

static inline f32x f32_sqrt(f32x a)
{
    return vsqrtq_f32(a);
}

/* a > b ? a : b; b when either is NaN. */
static inline f32x f32_max(f32x a, f32x b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline f32x f32_min(f32x a, f32x b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline f32x f32_abs(f32x a)
{
    return vabsq_f32(a);
}

/* a > 0 ? yes : no, lane by lane. */
static inline f32x f32_if_positive(f32x a, f32x yes, f32x no)
{
    return vbslq_f32(vcgtq_f32(a, vdupq_n_f32(0)), yes, no);
}

/* The bits of a, plus the bits of t moved up to the exponent. */
static inline f32x f32_add_exponent(f32x a, f32x t)
{
    return vreinterpretq_f32_u32(
        vaddq_u32(vreinterpretq_u32_f32(a), vshlq_n_u32(vreinterpretq_u32_f32(t), 23)));
}

/* a * b + c, rounded once where the machine can. */
static inline f32x f32_fma(f32x a, f32x b, f32x c)
{
    return vfmaq_f32(c, a, b);
}

/* Lanes whose bit is set, negated. */
static inline f32x f32_flip(f32x v, uint32_t bits)
{
    static const uint32_t bit[4] = {1, 2, 4, 8};
    const uint32x4_t set = vtstq_u32(vdupq_n_u32(bits), vld1q_u32(bit));
    return vreinterpretq_f32_u32(
        veorq_u32(vreinterpretq_u32_f32(v), vandq_u32(set, vdupq_n_u32(0x80000000))));
}

/* Lane i: v[i] + v[i + half] where i & half is 0, else v[i - half] - v[i]; half < F32_LANES. */
static inline f32x f32_butterfly(f32x v, int half)
{
    if (half == 1)
        return vaddq_f32(vrev64q_f32(v), f32_flip(v, 0xA));
    return vaddq_f32(vextq_f32(v, v, 2), f32_flip(v, 0xC));
}

/* Rounded to nearest, ties to even; |v| < 2^15. */
static inline void f32_store_s16(int16_t *p, f32x v)
{
    vst1_s16(p, vqmovn_s32(vcvtnq_s32_f32(v)));
}

/* As many doubles as f32x has floats. */
typedef struct {
    float64x2_t a, b;
} f64x;

static inline f64x f64_zero(void)
{
    return (f64x){vdupq_n_f64(0), vdupq_n_f64(0)};
}

static inline f64x f64_add(f64x sum, f32x v)
{
    return (f64x){vaddq_f64(sum.a, vcvt_f64_f32(vget_low_f32(v))),
                  vaddq_f64(sum.b, vcvt_high_f64_f32(v))};
}

static inline void f64_store(double *p, f64x v)
{
    vst1q_f64(p, v.a);
    vst1q_f64(p + 2, v.b);
}

static inline float f32_sum(f32x v)
{
    const float32x2_t two = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

/* The largest lane; none is NaN. */
static inline float f32_largest(f32x v)
{
    return vmaxvq_f32(v);
}

static inline void half4(float out[4], const uint16_t *h)
{
    vst1q_f32(out, f32_load_half(h));
}

static inline float half1(uint16_t h)
{
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h))), 0);
}

typedef struct {
    int16x8_t a, b, c, d;
} s16x;

typedef struct {
    int32x4_t a, b, c, d;
} s32x;

typedef struct {
    float32x4_t a, b, c, d;
} lanes;

static inline s16x s16_bytes(const int8_t *p)
{
    const int8x16_t low = vld1q_s8(p), high = vld1q_s8(p + 16);
    return (s16x){vmovl_s8(vget_low_s8(low)), vmovl_high_s8(low), vmovl_s8(vget_low_s8(high)),
                  vmovl_high_s8(high)};
}

static inline s16x s16_load(const uint16_t *p)
{
    return (s16x){vreinterpretq_s16_u16(vld1q_u16(p)), vreinterpretq_s16_u16(vld1q_u16(p + 8)),
                  vreinterpretq_s16_u16(vld1q_u16(p + 16)),
                  vreinterpretq_s16_u16(vld1q_u16(p + 24))};
}

static inline int16x8_t s16_nibble8(int16x8_t w, int k)
{
    return vshrq_n_s16(vshlq_s16(w, vdupq_n_s16((int16_t)(12 - 4 * k))), 12);
}

/* Nibble k of each word, sign-extended. */
static inline s16x s16_nibble(s16x w, int k)
{
    return (s16x){s16_nibble8(w.a, k), s16_nibble8(w.b, k), s16_nibble8(w.c, k),
                  s16_nibble8(w.d, k)};
}

static inline int32x4_t s32_dot8(int16x8_t w, int16x8_t q)
{
    return vpaddq_s32(vmull_s16(vget_low_s16(w), vget_low_s16(q)), vmull_high_s16(w, q));
}

static inline void s16_store(uint16_t *p, s16x w)
{
    vst1q_u16(p, vreinterpretq_u16_s16(w.a));
    vst1q_u16(p + 8, vreinterpretq_u16_s16(w.b));
    vst1q_u16(p + 16, vreinterpretq_u16_s16(w.c));
    vst1q_u16(p + 24, vreinterpretq_u16_s16(w.d));
}

/* Lane l: w[2 l] q[2 l] + w[2 l + 1] q[2 l + 1]. */
static inline s32x s32_dot(s16x w, const int16_t *q)
{
    return (s32x){s32_dot8(w.a, vld1q_s16(q)), s32_dot8(w.b, vld1q_s16(q + 8)),
                  s32_dot8(w.c, vld1q_s16(q + 16)), s32_dot8(w.d, vld1q_s16(q + 24))};
}

static inline s32x s32_add(s32x x, s32x y)
{
    return (s32x){vaddq_s32(x.a, y.a), vaddq_s32(x.b, y.b), vaddq_s32(x.c, y.c),
                  vaddq_s32(x.d, y.d)};
}

/* sum + s32_dot(w, q) */
static inline s32x s32_dot_add(s32x sum, s16x w, const int16_t *q)
{
    return s32_add(sum, s32_dot(w, q));
}

static inline lanes lanes_zero(void)
{
    const float32x4_t zero = vdupq_n_f32(0);
    return (lanes){zero, zero, zero, zero};
}

/* acc + scale * (float)v, rounded twice. */
static inline lanes lanes_add(lanes acc, s32x v, float scale)
{
    const float32x4_t s = vdupq_n_f32(scale);
    return (lanes){vaddq_f32(acc.a, vmulq_f32(s, vcvtq_f32_s32(v.a))),
                   vaddq_f32(acc.b, vmulq_f32(s, vcvtq_f32_s32(v.b))),
                   vaddq_f32(acc.c, vmulq_f32(s, vcvtq_f32_s32(v.c))),
                   vaddq_f32(acc.d, vmulq_f32(s, vcvtq_f32_s32(v.d)))};
}

/* By halves, as int8.h says. */
static inline float lanes_sum(lanes v)
{
    return f32_sum(vaddq_f32(vaddq_f32(v.a, v.c), vaddq_f32(v.b, v.d)));
}

/* u16x and its words: as in kernels/x86/simd_sse41.h. */
typedef uint16x8_t u16x;
enum { U16_LOG = 3, U16_LANES = 1 << U16_LOG };

static inline u16x u16_load(const void *p)
{
    return vreinterpretq_u16_u8(vld1q_u8(p));
}

static inline void u16_store(void *p, u16x v)
{
    vst1q_u8(p, vreinterpretq_u8_u16(v));
}

static inline u16x u16_set(uint16_t v)
{
    return vdupq_n_u16(v);
}

static inline u16x u16_add(u16x a, u16x b)
{
    return vaddq_u16(a, b);
}

static inline u16x u16_sub(u16x a, u16x b)
{
    return vsubq_u16(a, b);
}

static inline u16x u16_mul(u16x a, u16x b)
{
    return vmulq_u16(a, b);
}

static inline u16x u16_and(u16x a, u16x b)
{
    return vandq_u16(a, b);
}

static inline u16x u16_or(u16x a, u16x b)
{
    return vorrq_u16(a, b);
}

static inline u16x u16_shift(u16x a, unsigned n)
{
    return vshlq_u16(a, vdupq_n_s16((int16_t)-(int)n));
}

static inline u16x u16_add_sat(u16x a, u16x b)
{
    return vqaddq_u16(a, b);
}

static inline u16x u16_min(u16x a, u16x b)
{
    return vminq_u16(a, b);
}

static inline u16x u16_sub_signed(u16x a, u16x b)
{
    return vreinterpretq_u16_s16(
        vqsubq_s16(vreinterpretq_s16_u16(a), vreinterpretq_s16_u16(b)));
}

static inline u16x u16_add_signed(u16x a, u16x b)
{
    return vreinterpretq_u16_s16(
        vqaddq_s16(vreinterpretq_s16_u16(a), vreinterpretq_s16_u16(b)));
}

static inline u16x u16_square_high(u16x e)
{
    const int16x8_t v = vreinterpretq_s16_u16(e);
    const int32x4_t low = vmull_s16(vget_low_s16(v), vget_low_s16(v));
    const int32x4_t high = vmull_high_s16(v, v);

    return vuzp2q_u16(vreinterpretq_u16_s32(low), vreinterpretq_u16_s32(high));
}

static inline u16x u16_mul_round(u16x a, u16x b)
{
    return vreinterpretq_u16_s16(
        vqrdmulhq_s16(vreinterpretq_s16_u16(a), vreinterpretq_s16_u16(b)));
}

static inline u16x u16_table(const int8_t *b)
{
    return vreinterpretq_u16_s8(vld1q_s8(b));
}

static inline u16x u16_entries(u16x t, u16x h)
{
    const uint8x16_t v = vreinterpretq_u8_u16(h), i = vandq_u8(v, vdupq_n_u8(63));
    const uint8x16_t base = vqtbl1q_u8(vreinterpretq_u8_u16(t), vandq_u8(v, vdupq_n_u8(15)));

    return vreinterpretq_u16_u8(vaddq_u8(base, i));
}

static inline u16x u16_factor(uint8_t f)
{
    return vdupq_n_u16(f);
}

static inline u16x u16_bytes(u16x h, u16x f)
{
    const int16x8_t sum = vpaddlq_s8(vreinterpretq_s8_u16(h));

    return vmulq_u16(vreinterpretq_u16_s16(sum), f);
}

static inline u16x u16_nibbles(u16x h, u16x f)
{
    const uint8x16_t low = vdupq_n_u8(15), v = vreinterpretq_u8_u16(h);

    return vmulq_u16(vpaddlq_u8(vaddq_u8(vandq_u8(v, low), vshrq_n_u8(v, 4))), f);
}

static inline void u16_take(u16x *m, u16x *w, u16x cost, u16x h)
{
    *w = vbslq_u16(vcltq_u16(cost, *m), h, *w);
    *m = u16_min(*m, cost);
}

static inline u16x u16_full(u16x v)
{
    return vceqq_u16(v, vdupq_n_u16(0xFFFF));
}

INLINE u16x u16_expand(const uint16_t *p, unsigned k)
{
    switch (k) {
    case 0:
        return u16_load(p);
    case 1: {
        const uint16x4_t v = vld1_u16(p);
        return vcombine_u16(vzip1_u16(v, v), vzip2_u16(v, v));
    }
    case 2:
        return vcombine_u16(vld1_dup_u16(p), vld1_dup_u16(p + 1));
    default:
        return vld1q_dup_u16(p);
    }
}

static inline void u16_store_bytes(uint8_t *p, u16x v)
{
    vst1_u8(p, vmovn_u16(v));
}

static inline u16x u16_zip16_low(u16x a, u16x b)
{
    return vzip1q_u16(a, b);
}

static inline u16x u16_zip16_high(u16x a, u16x b)
{
    return vzip2q_u16(a, b);
}

static inline u16x u16_zip32_low(u16x a, u16x b)
{
    return vreinterpretq_u16_u32(
        vzip1q_u32(vreinterpretq_u32_u16(a), vreinterpretq_u32_u16(b)));
}

static inline u16x u16_zip32_high(u16x a, u16x b)
{
    return vreinterpretq_u16_u32(
        vzip2q_u32(vreinterpretq_u32_u16(a), vreinterpretq_u32_u16(b)));
}

static inline u16x u16_zip64_low(u16x a, u16x b)
{
    return vreinterpretq_u16_u64(
        vzip1q_u64(vreinterpretq_u64_u16(a), vreinterpretq_u64_u16(b)));
}

static inline u16x u16_zip64_high(u16x a, u16x b)
{
    return vreinterpretq_u16_u64(
        vzip2q_u64(vreinterpretq_u64_u16(a), vreinterpretq_u64_u16(b)));
}

static inline void u16_store_parts(uint16_t *p, size_t stride, u16x v)
{
    (void)stride;
    u16_store(p, v);
}

static inline uint16_t u16_any(u16x v)
{
    const uint64x2_t wide = vreinterpretq_u64_u16(v);
    uint64_t m = vgetq_lane_u64(wide, 0) | vgetq_lane_u64(wide, 1);

    m |= m >> 32;
    return (uint16_t)(m | m >> 16);
}

static inline uint16_t u16_least(u16x v)
{
    return vminvq_u16(v);
}

#endif

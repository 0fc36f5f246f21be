/*
 * trellis_neon.c - body/trellis.h in 8 lanes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

typedef uint16x8_t vec;
enum { VEC_LOG = 3, VEC_LANES = 1 << VEC_LOG };

static inline vec v_load(const uint16_t *p)
{
    return vld1q_u16(p);
}

static inline void v_store(uint16_t *p, vec v)
{
    vst1q_u16(p, v);
}

static inline vec v_set(uint16_t v)
{
    return vdupq_n_u16(v);
}

static inline vec v_add(vec a, vec b)
{
    return vaddq_u16(a, b);
}

static inline vec v_sub(vec a, vec b)
{
    return vsubq_u16(a, b);
}

static inline vec v_mul(vec a, vec b)
{
    return vmulq_u16(a, b);
}

static inline vec v_and(vec a, vec b)
{
    return vandq_u16(a, b);
}

static inline vec v_or(vec a, vec b)
{
    return vorrq_u16(a, b);
}

static inline vec v_shift(vec a, unsigned n)
{
    return vshlq_u16(a, vdupq_n_s16((int16_t)-(int)n));
}

static inline vec v_add_costs(vec a, vec b)
{
    return vqaddq_u16(a, b);
}

static inline vec v_min(vec a, vec b)
{
    return vminq_u16(a, b);
}

static inline vec v_sub_sat(vec a, vec b)
{
    return vreinterpretq_u16_s16(
        vqsubq_s16(vreinterpretq_s16_u16(a), vreinterpretq_s16_u16(b)));
}

static inline vec v_add_sat(vec a, vec b)
{
    return vreinterpretq_u16_s16(
        vqaddq_s16(vreinterpretq_s16_u16(a), vreinterpretq_s16_u16(b)));
}

static inline vec v_square(vec e)
{
    const int16x8_t v = vreinterpretq_s16_u16(e);
    const int32x4_t low = vmull_s16(vget_low_s16(v), vget_low_s16(v));
    const int32x4_t high = vmull_high_s16(v, v);

    return vuzp2q_u16(vreinterpretq_u16_s32(low), vreinterpretq_u16_s32(high));
}

static inline vec v_factor(uint8_t f)
{
    return vdupq_n_u16(f);
}

static inline vec v_bytes(vec h, vec f)
{
    const int16x8_t sum = vpaddlq_s8(vreinterpretq_s8_u16(h));

    return vmulq_u16(vreinterpretq_u16_s16(sum), f);
}

static inline vec v_nibbles(vec h, vec f)
{
    const uint8x16_t low = vdupq_n_u8(15), v = vreinterpretq_u8_u16(h);

    return vmulq_u16(vpaddlq_u8(vaddq_u8(vandq_u8(v, low), vshrq_n_u8(v, 4))), f);
}

static inline void v_take(vec *m, vec *w, vec cost, vec h)
{
    *w = vbslq_u16(vcltq_u16(cost, *m), h, *w);
    *m = v_min(*m, cost);
}

static inline vec v_never(vec v)
{
    return vceqq_u16(v, vdupq_n_u16(0xFFFF));
}

static inline __attribute__((always_inline)) vec v_expand(const uint16_t *p, unsigned k)
{
    switch (k) {
    case 0:
        return v_load(p);
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

static inline void v_store_bytes(uint8_t *p, vec v)
{
    vst1_u8(p, vmovn_u16(v));
}

static inline uint16_t v_least(vec v)
{
    return vminvq_u16(v);
}

#include "kernels/body/trellis.h"

const struct rbe_trellis_ops rbe_trellis_neon = {"neon", RBE_ISA_NEON, step, drain};

/*
 * attention_neon.c - kernels/attention.h in four lanes of Advanced SIMD.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/attention.h"
#include "kernels/body/unroll.h"
#include "kernels/list.h"
#include "kernels/body/attention_whole.h"

/* Two lanes a sum. */
struct sums {
    int32x4_t v[8];
};

INLINE struct sums sums_zero(void)
{
    struct sums s;

    RBE_UNROLL
    for (int j = 0; j < 8; j++)
        s.v[j] = vdupq_n_s32(0);
    return s;
}

INLINE int16x8_t four(struct operand x, size_t g)
{
    const int16x4_t q = vld1_s16(x.q + 4 * g);
    return vcombine_s16(q, q);
}

INLINE struct sums sums_keys(struct sums s, const uint8_t *b, struct operand x, size_t g)
{
    const int16x8_t q = four(x, g);

    RBE_UNROLL
    for (int j = 0; j < 8; j++) {
        const int16x8_t w = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(b + 8 * j)));
        s.v[j] = vaddq_s32(s.v[j], s32_dot8(w, q));
    }
    return s;
}

INLINE struct sums sums_values(struct sums s, const int8_t *b, struct operand x, size_t g)
{
    const int16x8_t q = four(x, g);

    RBE_UNROLL
    for (int j = 0; j < 8; j++)
        s.v[j] = vaddq_s32(s.v[j], s32_dot8(vmovl_s8(vld1_s8(b + 8 * j)), q));
    return s;
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        vst1q_s32(out + 4 * j, vpaddq_s32(s.v[2 * j], s.v[2 * j + 1]));
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, neon)

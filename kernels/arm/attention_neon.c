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
#include "kernels/body/words.h"

enum { SUMS = 4 };

struct sums {
    int32x4_t v[4];
};

struct bytes {
    int16x8_t even[4], odd[4];
};

struct four {
    int16x8_t even, odd;
};

INLINE struct sums sums_zero(void)
{
    struct sums s;

    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        s.v[j] = vdupq_n_s32(0);
    return s;
}

INLINE struct bytes bytes_load(const uint8_t *b)
{
    const uint16x8_t mask = vdupq_n_u16(0xFF);
    struct bytes w;

    RBE_UNROLL
    for (int j = 0; j < 4; j++) {
        const uint16x8_t v = vreinterpretq_u16_u8(vld1q_u8(b + 16 * j));
        w.even[j] = vreinterpretq_s16_u16(vandq_u16(v, mask));
        w.odd[j] = vreinterpretq_s16_u16(vshrq_n_u16(v, 8));
    }
    return w;
}

INLINE struct four operand_four(struct operand x, size_t g)
{
    const int16_t *const q = x.q + 4 * g;
    return (struct four){vreinterpretq_s16_s32(vdupq_n_s32(two_words(q))),
                         vreinterpretq_s16_s32(vdupq_n_s32(two_words(q + 2)))};
}

INLINE struct sums sums_add(struct sums s, struct bytes b, struct four x)
{
    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        s.v[j] = vaddq_s32(s.v[j], vaddq_s32(s32_dot8(b.even[j], x.even),
                                             s32_dot8(b.odd[j], x.odd)));
    return s;
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        vst1q_s32(out + 4 * j, s.v[j]);
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, neon)

/*
 * attention_neondot.c - kernels/attention.h by SDOT: numbers of 16 bits are two signed bytes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/attention.h"
#include "kernels/body/attention_bytes.h"
#include "kernels/body/unroll.h"
#include "kernels/list.h"

/* Both factors have signs: keys are moved back. */
enum { KEYS_MOVED = 0 };

INLINE struct operand operand_values(const int16_t *w, int8_t *room, size_t n)
{
    int8_t *const low = room + RBE_KV_CHUNK;

    for (size_t i = 0; i < n; i += 8) {
        const int16x8_t v = vld1q_s16(w + i);
        vst1_s8(low + i, vmovn_s16(v));
        vst1_s8(room + i, vmovn_s16(vrshrq_n_s16(v, 8)));
    }
    return (struct operand){room, low};
}

struct sums {
    int32x4_t high[4], low[4];
};

INLINE struct sums sums_zero(void)
{
    struct sums s;

    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        s.high[j] = s.low[j] = vdupq_n_s32(0);
    return s;
}

INLINE int8x16_t four(const int8_t *p, size_t g)
{
    return vreinterpretq_s8_s32(vdupq_n_s32(four_bytes(p, g)));
}

INLINE struct sums add(struct sums s, const int8_t *b, uint8_t flip, struct operand x, size_t g)
{
    const int8x16_t high = four(x.high, g), low = four(x.low, g), f = vdupq_n_s8((int8_t)flip);

    RBE_UNROLL
    for (int j = 0; j < 4; j++) {
        const int8x16_t w = veorq_s8(vld1q_s8(b + 16 * j), f);
        s.high[j] = vdotq_s32(s.high[j], w, high);
        s.low[j] = vdotq_s32(s.low[j], w, low);
    }
    return s;
}

INLINE struct sums sums_keys(struct sums s, const uint8_t *b, struct operand x, size_t g)
{
    return add(s, (const int8_t *)b, 128, x, g);
}

INLINE struct sums sums_values(struct sums s, const int8_t *b, struct operand x, size_t g)
{
    return add(s, b, 0, x, g);
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        vst1q_s32(out + 4 * j, vmlaq_n_s32(s.low[j], s.high[j], 256));
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, neondot)

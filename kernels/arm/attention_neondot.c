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

/* Both factors have signs: bytes are moved back. */
enum { MOVED = 0, SUMS = 2 };

/* In the order of the cache's bytes. */
INLINE struct operand operand_values(const int16_t *w, int8_t *room, size_t n)
{
    static const uint8_t order[8] = {0, 2, 1, 3, 4, 6, 5, 7};
    const uint8x8_t at = vld1_u8(order);
    int8_t *const low = room + RBE_KV_CHUNK;

    for (size_t i = 0; i < n; i += 8) {
        const int16x8_t v = vld1q_s16(w + i);
        vst1_s8(low + i, vtbl1_s8(vmovn_s16(v), vreinterpret_s8_u8(at)));
        vst1_s8(room + i, vtbl1_s8(vmovn_s16(vrshrq_n_s16(v, 8)), vreinterpret_s8_u8(at)));
    }
    return (struct operand){room, low};
}

struct sums {
    int32x4_t high[4], low[4];
};

struct bytes {
    int8x16_t v[4];
};

struct four {
    int8x16_t high, low;
};

INLINE struct sums sums_zero(void)
{
    struct sums s;

    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        s.high[j] = s.low[j] = vdupq_n_s32(0);
    return s;
}

INLINE struct bytes bytes_load(const uint8_t *b)
{
    struct bytes w;

    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        w.v[j] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(b + 16 * j), vdupq_n_u8(128)));
    return w;
}

INLINE struct four operand_four(struct operand x, size_t g)
{
    return (struct four){vreinterpretq_s8_s32(vdupq_n_s32(four_bytes(x.high, g))),
                         vreinterpretq_s8_s32(vdupq_n_s32(four_bytes(x.low, g)))};
}

INLINE struct sums sums_add(struct sums s, struct bytes b, struct four x)
{
    RBE_UNROLL
    for (int j = 0; j < 4; j++) {
        s.high[j] = vdotq_s32(s.high[j], b.v[j], x.high);
        s.low[j] = vdotq_s32(s.low[j], b.v[j], x.low);
    }
    return s;
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    RBE_UNROLL
    for (int j = 0; j < 4; j++)
        vst1q_s32(out + 4 * j, vmlaq_n_s32(s.low[j], s.high[j], 256));
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, neondot)

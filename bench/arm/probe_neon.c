/*
 * probe_neon.c - 128-bit registers.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arm_neon.h>

#include "bench/probe_list.h"

uint64_t rbe_probe_read_neon(const void *p, size_t n)
{
    const uint64_t *v = p;
    uint64x2_t a = vdupq_n_u64(0), b = a, c = a, d = a;

    for (size_t i = 0; i < n / 8; i += 16) {
        a = veorq_u64(a, veorq_u64(vld1q_u64(v + i), vld1q_u64(v + i + 2)));
        b = veorq_u64(b, veorq_u64(vld1q_u64(v + i + 4), vld1q_u64(v + i + 6)));
        c = veorq_u64(c, veorq_u64(vld1q_u64(v + i + 8), vld1q_u64(v + i + 10)));
        d = veorq_u64(d, veorq_u64(vld1q_u64(v + i + 12), vld1q_u64(v + i + 14)));
    }
    a = veorq_u64(veorq_u64(a, b), veorq_u64(c, d));
    return vgetq_lane_u64(a, 0) ^ vgetq_lane_u64(a, 1);
}

uint64_t rbe_probe_fma_f32_neon(const void *p, size_t n)
{
    const float32x4_t m = vdupq_n_f32(0.75F), a = vdupq_n_f32(0.5F);
    float32x4_t sum = a;

    (void)p;
#define X(j) float32x4_t s##j = vdupq_n_f32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) s##j = vfmaq_f32(a, s##j, m);
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = vaddq_f32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return vgetq_lane_u64(vreinterpretq_u64_f32(sum), 0);
}

uint64_t rbe_probe_dot_i16_neon(const void *p, size_t n)
{
    int16x4_t a = vdup_n_s16(3), b = vdup_n_s16(5);
    int32x4_t sum = vdupq_n_s32(0);

    (void)p;
#define X(j) int32x4_t s##j = vdupq_n_s32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) RBE_OPAQUE(a); s##j = vmlal_s16(s##j, a, b);
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = vaddq_s32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return vgetq_lane_u64(vreinterpretq_u64_s32(sum), 0);
}

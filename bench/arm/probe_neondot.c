/*
 * probe_neondot.c - dot products of bytes in one instruction.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arm_neon.h>

#include "bench/probe_list.h"

uint64_t rbe_probe_dot_i8_neondot(const void *p, size_t n)
{
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
    int32x4_t sum = vdupq_n_s32(0);

    (void)p;
#define X(j) int32x4_t s##j = vdupq_n_s32(j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) RBE_OPAQUE(a); s##j = vdotq_s32(s##j, a, b);
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum = vaddq_s32(sum, s##j);
    RBE_EACH12(X)
#undef X
    return vgetq_lane_u64(vreinterpretq_u64_s32(sum), 0);
}

/*
 * rope.c - angles of rotated positions.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/rope.h"

#include <math.h>

static double frequency(const struct rbe_model_config *c, uint32_t i)
{
    const double f = pow((double)c->rope_base, -2.0 * i / c->head), low = (double)c->rope_low;
    const double factor = (double)c->rope_factor, high = (double)c->rope_high;

    switch (c->rope_scaling) {
    case RBE_ROPE_PLAIN: return f;
    case RBE_ROPE_LINEAR: return f / factor;
    case RBE_ROPE_LLAMA3: break;
    }
    /* Turns in the original context: few are slowed down, many kept, between them both. */
    const double turns = c->rope_original * f / (2 * M_PI);
    if (turns >= high)
        return f;
    if (turns <= low)
        return f / factor;
    const double kept = (turns - low) / (high - low);
    return kept * f + (1 - kept) * f / factor;
}

void rbe_rope_table(float *to, const struct rbe_model_config *c, const float *factors,
                    uint32_t first, uint32_t count)
{
    const uint32_t half = c->head / 2;

    for (uint32_t i = 0; i < half; i++) {
        const double f = frequency(c, i) / (factors ? (double)factors[i] : 1);
        for (uint32_t p = 0; p < count; p++) {
            float *at = to + (size_t)p * 2 * half + i;
            at[0] = (float)cos((first + p) * f);
            at[half] = (float)sin((first + p) * f);
        }
    }
}

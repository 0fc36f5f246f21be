/*
 * integers_scalar.h - the reference sums of int8 and int4, in the order int8.h fixes.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_BODY_INTEGERS_SCALAR_H
#define RBE_KERNELS_BODY_INTEGERS_SCALAR_H

#include "kernels/f16.h"
#include "kernels/format/int4.h"
#include "kernels/format/int8.h"
#include "kernels/kernel.h"

static inline float lanes_by_halves(const float lane[16])
{
    float v[16];

    for (int l = 0; l < 16; l++)
        v[l] = lane[l];
    for (int half = 8; half; half /= 2)
        for (int l = 0; l < half; l++)
            v[l] += v[l + half];
    return v[0];
}

static inline float scalar_int8(const struct rbe_matrix *w, const struct rbe_act *a, size_t r,
                                size_t t)
{
    const size_t groups = rbe_int8_groups(w->cols);
    float lane[16] = {0};

    for (size_t g = 0; g < groups; g++) {
        const int8_t *code = (const int8_t *)w->codes + (r * groups + g) * 128;
        const int16_t *q = a->q + t * a->stride + g * 128;
        const float scale = rbe_f16_to_f32(w->scale[r * groups + g]);
        for (int l = 0; l < 16; l++) {
            int32_t sum = 0;
            for (int n = 2 * l; n < 128; n += 32)
                sum += code[n] * q[n] + code[n + 1] * q[n + 1];
            lane[l] += scale * (float)sum;
        }
    }
    return lanes_by_halves(lane) * a->scale[t];
}

static inline float scalar_int4(const struct rbe_matrix *w, const struct rbe_act *a, size_t r,
                                size_t t)
{
    float lane[16] = {0};

    for (size_t g = 0; g < rbe_int4_groups(w->cols); g++) {
        const int16_t *q = a->q + t * a->stride + g * 32;
        const float scale = rbe_f16_to_f32(w->scale[r * rbe_int4_groups(w->cols) + g]);
        for (size_t l = 0; l < 16; l++) {
            const size_t n = 32 * g + 2 * l;
            const int32_t sum = rbe_int4_get(w->codes, w->cols, r, n) * q[2 * l] +
                                rbe_int4_get(w->codes, w->cols, r, n + 1) * q[2 * l + 1];
            lane[l] += scale * (float)sum;
        }
    }
    return lanes_by_halves(lane) * a->scale[t];
}

#endif

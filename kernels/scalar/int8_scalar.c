/*
 * int8_scalar.c - bytes: the reference, bit for bit, of every ISA.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/f16.h"
#include "kernels/format/int8.h"
#include "kernels/list.h"

static float dot(const struct rbe_matrix *w, const struct rbe_act *a, size_t r, size_t t)
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
    for (int half = 8; half; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0] * a->scale[t];
}

static void multiply(const struct rbe_matrix *w, const struct rbe_act *a, float *y, size_t ldy,
                     size_t row0, size_t row1)
{
    for (size_t r = row0; r < row1; r++)
        for (size_t t = 0; t < a->count; t++)
            y[t * ldy + r] = dot(w, a, r, t);
}

RBE_PRODUCT(gemv, int8, scalar, multiply)
RBE_PRODUCT(gemm, int8, scalar, multiply)

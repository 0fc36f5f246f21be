/*
 * int4_scalar.c - nibbles: the reference, bit for bit, of every ISA.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/f16.h"
#include "kernels/format/int4.h"
#include "kernels/list.h"

static float dot(const struct rbe_matrix *w, const struct rbe_act *a, size_t r, size_t t)
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

RBE_PRODUCT(gemv, int4, scalar, multiply)
RBE_PRODUCT(gemm, int4, scalar, multiply)

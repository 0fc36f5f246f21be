/*
 * f16_scalar.c - half floats, summed in f32.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/f16.h"
#include "kernels/list.h"

static void multiply(const struct rbe_matrix *w, const struct rbe_act *a, float *y, size_t ldy,
                     size_t row0, size_t row1)
{
    for (size_t r = row0; r < row1; r++) {
        const uint16_t *row = (const uint16_t *)w->codes + r * w->cols;    /* [rows][cols] */
        for (size_t t = 0; t < a->count; t++) {
            const float *x = a->x + t * a->stride;
            float sum = 0;
            for (size_t c = 0; c < w->cols; c++)
                sum += rbe_f16_to_f32(row[c]) * x[c];
            y[t * ldy + r] = sum;
        }
    }
}

RBE_PRODUCT(gemv, f16, scalar, multiply)
RBE_PRODUCT(gemm, f16, scalar, multiply)

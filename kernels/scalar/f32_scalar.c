/*
 * f32_scalar.c - plain floats: the baseline of every format.
 *
 * SPDX-License-Identifier: MIT
 *
 * Prefill multiplies by the dense library instead (model/dense.h), whose oracle this is.
 */
#include "kernels/list.h"

static void multiply(const struct rbe_matrix *w, const struct rbe_act *a, float *y, size_t ldy,
                     size_t row0, size_t row1)
{
    for (size_t r = row0; r < row1; r++) {
        const float *row = (const float *)w->codes + r * w->cols;      /* [rows][cols] */
        for (size_t t = 0; t < a->count; t++) {
            const float *x = a->x + t * a->stride;
            float sum = 0;
            for (size_t c = 0; c < w->cols; c++)
                sum += row[c] * x[c];
            y[t * ldy + r] = sum;
        }
    }
}

RBE_PRODUCT(gemv, f32, scalar, multiply)
RBE_PRODUCT(gemm, f32, scalar, multiply)

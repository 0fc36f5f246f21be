/*
 * gemm_f32_scalar.c - plain floats times several vectors; prefill uses the dense library
 * instead (model/dense.h), this is its oracle.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/list.h"

void rbe_gemm_f32_scalar(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                         size_t ldy, size_t row0, size_t row1)
{
    for (size_t r = row0; r < row1; r++) {
        const float *row = (const float *)w->codes + r * w->cols;
        for (size_t t = 0; t < a->count; t++) {
            const float *x = a->x + t * a->stride;
            float sum = 0;
            for (size_t c = 0; c < w->cols; c++)
                sum += row[c] * x[c];
            y[t * ldy + r] = sum;
        }
    }
}

/*
 * gemv_f32_scalar.c - plain floats: the baseline of every format.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/list.h"

void rbe_gemv_f32_scalar(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                         size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    for (size_t r = row0; r < row1; r++) {
        const float *row = (const float *)w->codes + r * w->cols;      /* [rows][cols] */
        float sum = 0;
        for (size_t c = 0; c < w->cols; c++)
            sum += row[c] * a->x[c];
        y[r] = sum;
    }
}

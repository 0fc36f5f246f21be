/*
 * gemv_f16_scalar.c - half floats times a vector, summed in f32.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/f16.h"
#include "kernels/list.h"

void rbe_gemv_f16_scalar(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                         size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    for (size_t r = row0; r < row1; r++) {
        const uint16_t *row = (const uint16_t *)w->codes + r * w->cols;
        float sum = 0;
        for (size_t c = 0; c < w->cols; c++)
            sum += rbe_f16_to_f32(row[c]) * a->x[c];
        y[r] = sum;
    }
}

/*
 * gemv_int4_scalar.c - nibbles times a vector: the reference, bit for bit, of every ISA.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/body/integers_scalar.h"
#include "kernels/list.h"

void rbe_gemv_int4_scalar(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                          size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    for (size_t r = row0; r < row1; r++)
        y[r] = scalar_int4(w, a, r, 0);
}

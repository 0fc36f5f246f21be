/*
 * gemm_int8_scalar.c - bytes times several vectors: the reference, bit for bit, of every ISA.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/body/integers_scalar.h"
#include "kernels/list.h"

void rbe_gemm_int8_scalar(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                          size_t ldy, size_t row0, size_t row1)
{
    for (size_t r = row0; r < row1; r++)
        for (size_t t = 0; t < a->count; t++)
            y[t * ldy + r] = scalar_int8(w, a, r, t);
}

/*
 * gemm_int8_neondot.c - bytes times several vectors by dot products of bytes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/int8_neondot.h"

#include "kernels/list.h"

void rbe_gemm_int8_neondot(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                           size_t ldy, size_t row0, size_t row1)
{
    multiply_int8(w, a, y, ldy, row0, row1);
}

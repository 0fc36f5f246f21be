/*
 * gemm_int8_neon.c - bytes times several vectors, four lanes of NEON; see
 * kernels/body/integers.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

void rbe_gemm_int8_neon(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                        size_t ldy, size_t row0, size_t row1)
{
    gemm_int8(w, a, y, ldy, row0, row1);
}

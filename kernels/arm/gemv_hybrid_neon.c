/*
 * gemv_hybrid_neon.c - basis functions and DCT coefficients times a vector, four lanes of NEON;
 * see kernels/body/hybrid.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/hybrid.h"
#include "kernels/list.h"

void rbe_gemv_hybrid_neon(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                          size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    gemv_hybrid(w, a, y, row0, row1);
}

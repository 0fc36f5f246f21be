/*
 * gemv_hybrid_scalar.c - basis functions and DCT coefficients times a vector; see
 * kernels/body/hybrid.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/scalar/simd_scalar.h"

#include "kernels/body/hybrid.h"
#include "kernels/list.h"

void rbe_gemv_hybrid_scalar(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                            size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    gemv_hybrid(w, a, y, row0, row1);
}

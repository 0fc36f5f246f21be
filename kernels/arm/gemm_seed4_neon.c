/*
 * gemm_seed4_neon.c - seeds times several quantised vectors, 8 columns at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 1
#include "kernels/arm/seed_neon.h"

#include "kernels/body/seed_gemm.h"
#include "kernels/list.h"

void rbe_gemm_seed4_neon(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                         size_t ldy, size_t row0, size_t row1)
{
    multiply_matrices(w, a, y, ldy, row0, row1);
}

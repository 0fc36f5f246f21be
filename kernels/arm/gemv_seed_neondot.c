/*
 * gemv_seed_neondot.c - seeds times quantised activations, by dot products of bytes.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef __ARM_FEATURE_DOTPROD
#error "needs +dotprod: the Makefile takes ISA flags from the file name's suffix"
#endif
#define MAP_SEED4 0
#include "kernels/arm/seed_neon.h"

#include "kernels/body/seed_gemv.h"
#include "kernels/list.h"

void rbe_gemv_seed_neondot(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                           size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    multiply_matrix(w, a, y, row0, row1);
}

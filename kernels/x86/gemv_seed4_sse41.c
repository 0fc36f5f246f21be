/*
 * gemv_seed4_sse41.c - seeds times quantised activations, 8 columns at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef __SSE4_1__
#error "needs -msse4.1: the Makefile takes ISA flags from the file name's suffix"
#endif
#define MAP_SEED4 1
#include "kernels/x86/seed_sse41.h"

#include "kernels/body/seed_gemv.h"
#include "kernels/list.h"

void rbe_gemv_seed4_sse41(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                         size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    multiply_matrix(w, a, y, row0, row1);
}

/*
 * gemv_seed_avx512vbmi2.c - the same with the funnel shift.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef __AVX512VBMI2__
#error "needs -mavx512vbmi2: the Makefile takes ISA flags from the file name's suffix"
#endif
#define MAP_SEED4 0
#include "kernels/x86/seed_avx512.h"

#include "kernels/body/seed_gemv.h"
#include "kernels/list.h"

void rbe_gemv_seed_avx512vbmi2(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                         size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    multiply_matrix(w, a, y, row0, row1);
}

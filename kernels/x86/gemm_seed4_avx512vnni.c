/*
 * gemm_seed4_avx512vnni.c - the same with the 16-bit dot product.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef __AVX512VNNI__
#error "needs -mavx512vnni: the Makefile takes ISA flags from the file name's suffix"
#endif
#define MAP_SEED4 1
#include "kernels/x86/seed_avx512.h"

#include "kernels/body/seed_gemm.h"
#include "kernels/list.h"

void rbe_gemm_seed4_avx512vnni(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                         size_t ldy, size_t row0, size_t row1)
{
    multiply_matrices(w, a, y, ldy, row0, row1);
}

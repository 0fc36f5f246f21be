/*
 * gemm_f32_avx2.c - plain floats times several vectors, eight lanes of AVX2; see
 * kernels/body/floats.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/floats.h"
#include "kernels/list.h"

void rbe_gemm_f32_avx2(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                       size_t ldy, size_t row0, size_t row1)
{
    gemm_f32(w, a, y, ldy, row0, row1);
}

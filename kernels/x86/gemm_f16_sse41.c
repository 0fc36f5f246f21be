/*
 * gemm_f16_sse41.c - half floats times several vectors, four lanes of SSE4.1; see
 * kernels/body/floats.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/floats.h"
#include "kernels/list.h"

void rbe_gemm_f16_sse41(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                        size_t ldy, size_t row0, size_t row1)
{
    gemm_f16_converted(w, a, y, ldy, row0, row1);
}

/*
 * gemv_f32_sse41.c - plain floats times a vector, four lanes of SSE4.1; see
 * kernels/body/floats.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/floats.h"
#include "kernels/list.h"

void rbe_gemv_f32_sse41(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                        size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    gemv_f32(w, a, y, row0, row1);
}

/*
 * gemv_int4_sse41.c - nibbles times a vector, four lanes of SSE4.1; see
 * kernels/body/integers.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

void rbe_gemv_int4_sse41(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                         size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    gemv_int4(w, a, y, row0, row1);
}

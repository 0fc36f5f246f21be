/*
 * gemv_packed128_avx512.c - rendered seeds times a vector, sixteen lanes of AVX-512; see
 * kernels/body/packed128.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/packed128.h"
#include "kernels/list.h"

void rbe_gemv_packed128_avx512(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                               size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    gemv_packed128(w, a, y, row0, row1);
}

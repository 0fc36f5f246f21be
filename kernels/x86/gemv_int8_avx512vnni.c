/*
 * gemv_int8_avx512vnni.c - bytes times a vector, AVX-512 with VNNI; see
 * kernels/body/integers.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

void rbe_gemv_int8_avx512vnni(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                              size_t ldy, size_t row0, size_t row1)
{
    (void)ldy;
    gemv_int8(w, a, y, row0, row1);
}

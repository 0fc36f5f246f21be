/*
 * int4_avx512.c - nibbles in sixteen lanes of AVX-512.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, int4, avx512, gemv_int4)
RBE_PRODUCT(gemm, int4, avx512, gemm_int4)

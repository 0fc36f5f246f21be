/*
 * int8_avx512.c - bytes in sixteen lanes of AVX-512.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, int8, avx512, gemv_int8)
RBE_PRODUCT(gemm, int8, avx512, gemm_int8)

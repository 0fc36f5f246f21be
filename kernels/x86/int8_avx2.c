/*
 * int8_avx2.c - bytes in eight lanes of AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, int8, avx2, gemv_int8)
RBE_PRODUCT(gemm, int8, avx2, gemm_int8)

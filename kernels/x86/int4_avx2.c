/*
 * int4_avx2.c - nibbles in eight lanes of AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, int4, avx2, gemv_int4)
RBE_PRODUCT(gemm, int4, avx2, gemm_int4)

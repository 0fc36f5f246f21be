/*
 * packed128_avx2.c - rendered seeds in eight lanes of AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/packed128.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, packed128, avx2, multiply_packed128)
RBE_PRODUCT(gemm, packed128, avx2, multiply_packed128)

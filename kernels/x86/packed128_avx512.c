/*
 * packed128_avx512.c - rendered seeds in sixteen lanes of AVX-512.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/packed128.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, packed128, avx512, multiply_packed128)
RBE_PRODUCT(gemm, packed128, avx512, multiply_packed128)

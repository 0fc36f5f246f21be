/*
 * packed128_neon.c - rendered seeds in four lanes of NEON.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/packed128.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, packed128, neon, multiply_packed128)
RBE_PRODUCT(gemm, packed128, neon, multiply_packed128)

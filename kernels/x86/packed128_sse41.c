/*
 * packed128_sse41.c - rendered seeds in four lanes of SSE4.1.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/packed128.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, packed128, sse41, multiply_packed128)
RBE_PRODUCT(gemm, packed128, sse41, multiply_packed128)

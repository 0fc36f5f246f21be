/*
 * int8_sse41.c - bytes in four lanes of SSE4.1.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, int8, sse41, gemv_int8)
RBE_PRODUCT(gemm, int8, sse41, gemm_int8)

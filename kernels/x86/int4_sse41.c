/*
 * int4_sse41.c - nibbles in four lanes of SSE4.1.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, int4, sse41, gemv_int4)
RBE_PRODUCT(gemm, int4, sse41, gemm_int4)

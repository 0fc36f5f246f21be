/*
 * hybrid_sse41.c - basis functions and DCT coefficients in four lanes of SSE4.1.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/hybrid.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, hybrid, sse41, gemv_hybrid)
RBE_PRODUCT(gemm, hybrid, sse41, gemm_hybrid)

/*
 * f16_sse41.c - half floats in four lanes of SSE4.1.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/floats.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, f16, sse41, gemv_f16)
RBE_PRODUCT(gemm, f16, sse41, gemm_f16_converted)

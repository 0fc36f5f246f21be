/*
 * f32_sse41.c - plain floats in four lanes of SSE4.1.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/floats.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, f32, sse41, gemv_f32)
RBE_PRODUCT(gemm, f32, sse41, gemm_f32)

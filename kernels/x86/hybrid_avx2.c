/*
 * hybrid_avx2.c - basis functions and DCT coefficients in eight lanes of AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/hybrid.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, hybrid, avx2, gemv_hybrid)
RBE_PRODUCT(gemm, hybrid, avx2, gemm_hybrid)

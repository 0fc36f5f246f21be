/*
 * hybrid_avx512.c - basis functions and DCT coefficients in sixteen lanes of AVX-512.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/hybrid.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, hybrid, avx512, gemv_hybrid)
RBE_PRODUCT(gemm, hybrid, avx512, gemm_hybrid)

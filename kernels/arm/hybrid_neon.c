/*
 * hybrid_neon.c - basis functions and DCT coefficients in four lanes of NEON.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/hybrid.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, hybrid, neon, gemv_hybrid)
RBE_PRODUCT(gemm, hybrid, neon, gemm_hybrid)

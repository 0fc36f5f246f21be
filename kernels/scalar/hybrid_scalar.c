/*
 * hybrid_scalar.c - basis functions and DCT coefficients in plain C.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/scalar/simd_scalar.h"

#include "kernels/body/hybrid.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, hybrid, scalar, gemv_hybrid)
RBE_PRODUCT(gemm, hybrid, scalar, gemm_hybrid)

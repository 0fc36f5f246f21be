/*
 * f32_neon.c - plain floats in four lanes of NEON.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/floats.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, f32, neon, gemv_f32)
RBE_PRODUCT(gemm, f32, neon, gemm_f32)

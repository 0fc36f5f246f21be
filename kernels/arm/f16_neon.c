/*
 * f16_neon.c - half floats in four lanes of NEON.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/floats.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, f16, neon, gemv_f16)
RBE_PRODUCT(gemm, f16, neon, gemm_f16)

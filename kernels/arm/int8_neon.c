/*
 * int8_neon.c - bytes in four lanes of NEON.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, int8, neon, gemv_int8)
RBE_PRODUCT(gemm, int8, neon, gemm_int8)

/*
 * int4_neon.c - nibbles in four lanes of NEON.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, int4, neon, gemv_int4)
RBE_PRODUCT(gemm, int4, neon, gemm_int4)

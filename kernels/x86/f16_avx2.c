/*
 * f16_avx2.c - half floats in eight lanes of AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/floats.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, f16, avx2, gemv_f16)
RBE_PRODUCT(gemm, f16, avx2, gemm_f16)

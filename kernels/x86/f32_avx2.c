/*
 * f32_avx2.c - plain floats in eight lanes of AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/floats.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, f32, avx2, gemv_f32)
RBE_PRODUCT(gemm, f32, avx2, gemm_f32)

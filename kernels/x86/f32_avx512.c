/*
 * f32_avx512.c - plain floats in sixteen lanes of AVX-512.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/floats.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, f32, avx512, gemv_f32)
RBE_PRODUCT(gemm, f32, avx512, gemm_f32)

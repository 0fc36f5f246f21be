/*
 * f16_avx512.c - half floats in sixteen lanes of AVX-512.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/floats.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, f16, avx512, gemv_f16)
RBE_PRODUCT(gemm, f16, avx512, gemm_f16)

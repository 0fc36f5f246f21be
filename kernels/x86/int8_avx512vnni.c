/*
 * int8_avx512vnni.c - bytes in AVX-512 with VNNI.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/integers.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, int8, avx512vnni, gemv_int8)
RBE_PRODUCT(gemm, int8, avx512vnni, gemm_int8)

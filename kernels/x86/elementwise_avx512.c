/*
 * elementwise_avx512.c - kernels/elementwise.h in sixteen lanes of AVX-512.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/elementwise.h"
#include "kernels/list.h"

RBE_TABLE(elementwise, avx512)

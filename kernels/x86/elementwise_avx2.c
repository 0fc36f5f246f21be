/*
 * elementwise_avx2.c - kernels/elementwise.h in eight lanes of AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/elementwise.h"
#include "kernels/list.h"

RBE_TABLE(elementwise, avx2)

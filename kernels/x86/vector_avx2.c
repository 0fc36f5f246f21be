/*
 * vector_avx2.c - kernels/vector.h in eight lanes of AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/vector.h"
#include "kernels/list.h"

RBE_TABLE(vector, avx2)

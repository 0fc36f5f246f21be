/*
 * vector_avx512.c - kernels/vector.h in sixteen lanes of AVX-512.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/vector.h"
#include "kernels/list.h"

RBE_TABLE(vector, avx512)

/*
 * vector_avx2.c - body/vector.h compiled for AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#define RBE_VECTOR rbe_vector_avx2
#define RBE_VECTOR_NAME "avx2"
#define RBE_VECTOR_ISA RBE_ISA_AVX2
#include "kernels/body/vector.h"

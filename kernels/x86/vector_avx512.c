/*
 * vector_avx512.c - body/vector.h compiled for AVX512.
 *
 * SPDX-License-Identifier: MIT
 */
#define RBE_VECTOR rbe_vector_avx512
#define RBE_VECTOR_NAME "avx512"
#define RBE_VECTOR_ISA RBE_ISA_AVX512
#include "kernels/body/vector.h"

/*
 * elementwise_avx512.c - body/elementwise.h compiled for AVX512.
 *
 * SPDX-License-Identifier: MIT
 */
#define RBE_ELEMENTWISE rbe_elementwise_avx512
#define RBE_ELEMENTWISE_NAME "avx512"
#define RBE_ELEMENTWISE_ISA RBE_ISA_AVX512
#include "kernels/body/elementwise.h"

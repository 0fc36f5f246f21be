/*
 * elementwise_avx2.c - body/elementwise.h compiled for AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#define RBE_ELEMENTWISE rbe_elementwise_avx2
#define RBE_ELEMENTWISE_NAME "avx2"
#define RBE_ELEMENTWISE_ISA RBE_ISA_AVX2
#include "kernels/body/elementwise.h"

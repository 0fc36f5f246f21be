/*
 * elementwise_avx2.c - elementwise_body.h compiled for AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#define RBE_ELEMENTWISE rbe_elementwise_avx2
#define RBE_ELEMENTWISE_NAME "avx2"
#define RBE_ELEMENTWISE_ISA RBE_ISA_AVX2
#include "gpt2/elementwise_body.h"

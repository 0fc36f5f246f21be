/*
 * seed4_avx512.c - seeds of four nibbles, 32 columns at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 1
#include "kernels/x86/seed_avx512.h"

#include "kernels/body/seed_few.h"
#include "kernels/body/seed_gemm.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seed4, avx512, gemv_seeds)
RBE_PRODUCT(gemm, seed4, avx512, gemm_seeds)
RBE_PRODUCT(few, seed4, avx512, few_seeds)

/*
 * seed_avx2.c - seeds, 16 columns at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#include "kernels/x86/seed_avx2.h"

#include "kernels/body/seed_few.h"
#include "kernels/body/seed_gemm.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seed, avx2, gemv_seeds)
RBE_PRODUCT(gemm, seed, avx2, gemm_seeds)
RBE_PRODUCT(few, seed, avx2, few_seeds)

/*
 * seedg_avx2.c - seeds by the table, 16 columns at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define MAP_SEEDG 1
#include "kernels/x86/seed_avx2.h"

#include "kernels/body/seed_few.h"
#include "kernels/body/seed_gemm.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seedg, avx2, gemv_seeds)
RBE_PRODUCT(gemm, seedg, avx2, gemm_seeds)
RBE_PRODUCT(few, seedg, avx2, few_seeds)

/*
 * seedg_avx512.c - seeds by the table, 32 columns at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define MAP_SEEDG 1
#include "kernels/x86/seed_avx512.h"

#include "kernels/body/seed_few.h"
#include "kernels/body/seed_gemm.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seedg, avx512, gemv_seeds)
RBE_PRODUCT(gemm, seedg, avx512, gemm_seeds)
RBE_PRODUCT(few, seedg, avx512, few_seeds)

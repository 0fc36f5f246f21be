/*
 * seedg_neon.c - seeds by the table, 8 columns at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define MAP_SEEDG 1
#include "kernels/arm/seed_neon.h"

#include "kernels/body/seed_few.h"
#include "kernels/body/seed_gemm.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seedg, neon, gemv_seeds)
RBE_PRODUCT(gemm, seedg, neon, gemm_seeds)
RBE_PRODUCT(few, seedg, neon, few_seeds)

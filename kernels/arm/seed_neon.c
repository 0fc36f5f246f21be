/*
 * seed_neon.c - seeds, 8 columns at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#include "kernels/arm/seed_neon.h"

#include "kernels/body/seed_few.h"
#include "kernels/body/seed_gemm.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seed, neon, gemv_seeds)
RBE_PRODUCT(gemm, seed, neon, gemm_seeds)
RBE_PRODUCT(few, seed, neon, few_seeds)

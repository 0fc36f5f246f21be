/*
 * seed4_neon.c - seeds of four nibbles, 8 columns at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 1
#include "kernels/arm/seed_neon.h"

#include "kernels/body/seed_few.h"
#include "kernels/body/seed_gemm.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seed4, neon, gemv_seeds)
RBE_PRODUCT(gemm, seed4, neon, gemm_seeds)
RBE_PRODUCT(few, seed4, neon, few_seeds)

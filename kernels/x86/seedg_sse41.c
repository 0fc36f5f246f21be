/*
 * seedg_sse41.c - seeds by the table, 8 columns at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define MAP_SEEDG 1
#include "kernels/x86/seed_sse41.h"

#include "kernels/body/seed_few.h"
#include "kernels/body/seed_gemm.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seedg, sse41, gemv_seeds)
RBE_PRODUCT(gemm, seedg, sse41, gemm_seeds)
RBE_PRODUCT(few, seedg, sse41, few_seeds)

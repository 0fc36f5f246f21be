/*
 * seed4_sse41.c - seeds of four nibbles, 8 columns at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 1
#include "kernels/x86/seed_sse41.h"

#include "kernels/body/seed_few.h"
#include "kernels/body/seed_gemm.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seed4, sse41, gemv_seeds)
RBE_PRODUCT(gemm, seed4, sse41, gemm_seeds)
RBE_PRODUCT(few, seed4, sse41, few_seeds)

/*
 * seedg_avx512vnni.c - seeds by the table, with the 16-bit dot product.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define MAP_SEEDG 1
#include "kernels/x86/seed_avx512.h"

#include "kernels/body/seed_gemm.h"
#include "kernels/body/seed_gemv.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seedg, avx512vnni, gemv_seeds)
RBE_PRODUCT(gemm, seedg, avx512vnni, gemm_seeds)

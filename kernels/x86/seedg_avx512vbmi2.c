/*
 * seedg_avx512vbmi2.c - seeds by the table, with 16-bit dot product and funnel shift.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define MAP_SEEDG 1
#include "kernels/x86/seed_avx512.h"

#include "kernels/body/seed_gemv.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seedg, avx512vbmi2, gemv_seeds)

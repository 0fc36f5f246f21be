/*
 * seedg_neondot.c - seeds by the table, with the dot product of bytes.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define MAP_SEEDG 1
#include "kernels/arm/seed_neon.h"

#include "kernels/body/seed_gemv.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seedg, neondot, gemv_seeds)

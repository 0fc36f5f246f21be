/*
 * seedg_act8_neondot.c - seeds by the table times 8-bit activations, by SDOT.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define MAP_SEEDG 1
#define ACT8
#include "kernels/arm/seed_neon.h"

#include "kernels/body/seed_few.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv8, seedg, neondot, gemv_seeds)
RBE_PRODUCT(few8, seedg, neondot, few_seeds)

/*
 * seed4_act8_neondot.c - seeds of nibbles times 8-bit activations, by SDOT.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 1
#define ACT8
#include "kernels/arm/seed_neon.h"

#include "kernels/body/seed_few.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv8, seed4, neondot, gemv_seeds)
RBE_PRODUCT(few8, seed4, neondot, few_seeds)

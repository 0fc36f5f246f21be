/*
 * seed_act8_neondot.c - seeds times 8-bit activations, with the dot product of bytes.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define ACT8
#include "kernels/arm/seed_neon.h"

#include "kernels/body/seed_few.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv8, seed, neondot, gemv_seeds)
RBE_PRODUCT(few8, seed, neondot, few_seeds)

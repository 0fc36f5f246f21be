/*
 * seed_neondot.c - seeds, with the dot product of bytes.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#include "kernels/arm/seed_neon.h"

#include "kernels/body/seed_gemv.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seed, neondot, gemv_seeds)

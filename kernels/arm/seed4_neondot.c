/*
 * seed4_neondot.c - seeds of four nibbles, with the dot product of bytes.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 1
#include "kernels/arm/seed_neon.h"

#include "kernels/body/seed_gemv.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seed4, neondot, gemv_seeds)

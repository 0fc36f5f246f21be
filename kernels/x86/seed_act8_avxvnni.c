/*
 * seed_act8_avxvnni.c - seeds times 8-bit activations, with AVX-VNNI.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define ACT8
#include "kernels/x86/seed_avx2.h"

#include "kernels/body/seed_few.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv8u, seed, avxvnni, gemv_seeds)
RBE_PRODUCT(few8u, seed, avxvnni, few_seeds)

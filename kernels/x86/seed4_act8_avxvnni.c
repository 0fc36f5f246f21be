/*
 * seed4_act8_avxvnni.c - seeds of nibbles times 8-bit activations, with AVX-VNNI.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 1
#define ACT8
#include "kernels/x86/seed_avx2.h"

#include "kernels/body/seed_few.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv8, seed4, avxvnni, gemv_seeds)
RBE_PRODUCT(few8, seed4, avxvnni, few_seeds)

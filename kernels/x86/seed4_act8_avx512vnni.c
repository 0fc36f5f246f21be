/*
 * seed4_act8_avx512vnni.c - seeds of nibbles times 8-bit activations, with AVX-512 VNNI.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 1
#define ACT8
#include "kernels/x86/seed_avx512.h"

#include "kernels/body/seed_few.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv8, seed4, avx512vnni, gemv_seeds)
RBE_PRODUCT(few8, seed4, avx512vnni, few_seeds)

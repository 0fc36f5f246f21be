/*
 * seedg_act8_avx512vnni.c - seeds by the table times 8-bit activations, with AVX-512 VNNI.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define MAP_SEEDG 1
#define ACT8
#include "kernels/x86/seed_avx512.h"

#include "kernels/body/seed_few.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv8u, seedg, avx512vnni, gemv_seeds)
RBE_PRODUCT(few8u, seedg, avx512vnni, few_seeds)

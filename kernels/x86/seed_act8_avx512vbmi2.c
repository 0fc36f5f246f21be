/*
 * seed_act8_avx512vbmi2.c - seeds times 8-bit activations, with VBMI2 and VNNI.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 0
#define ACT8
#include "kernels/x86/seed_avx512.h"

#include "kernels/body/seed_few.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv8u, seed, avx512vbmi2, gemv_seeds)
RBE_PRODUCT(few8u, seed, avx512vbmi2, few_seeds)

/*
 * seed4_avx512vnni.c - seeds of four nibbles, with the 16-bit dot product.
 *
 * SPDX-License-Identifier: MIT
 */
#define MAP_SEED4 1
#include "kernels/x86/seed_avx512.h"

#include "kernels/body/seed_gemm.h"
#include "kernels/body/seed_gemv.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, seed4, avx512vnni, gemv_seeds)
RBE_PRODUCT(gemm, seed4, avx512vnni, gemm_seeds)

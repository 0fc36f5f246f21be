/*
 * transform_avx512.c - body/transform.h in the operations of simd_avx512.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/transform.h"

const struct rbe_transform rbe_transform_avx512 = {
    "avx512", RBE_ISA_AVX512, scale, quantise, flip_signs, hadamard};

/*
 * transform_avx2.c - body/transform.h in the operations of simd_avx2.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/transform.h"

const struct rbe_transform rbe_transform_avx2 = {
    "avx2", RBE_ISA_AVX2, scale, quantise, flip_signs, hadamard};

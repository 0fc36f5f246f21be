/*
 * transform_neon.c - body/transform.h in the operations of simd_neon.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/transform.h"

const struct rbe_transform rbe_transform_neon = {
    "neon", RBE_ISA_NEON, scale, quantise, flip_signs, hadamard};

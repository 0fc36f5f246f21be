/*
 * transform_scalar.c - body/transform.h in the operations of simd_scalar.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/scalar/simd_scalar.h"

#include "kernels/body/transform.h"

const struct rbe_transform rbe_transform_scalar = {
    "scalar", 0, scale, quantise, flip_signs, hadamard};

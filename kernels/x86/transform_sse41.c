/*
 * transform_sse41.c - body/transform.h in the operations of simd_sse41.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/transform.h"

const struct rbe_transform rbe_transform_sse41 = {
    "sse41", RBE_ISA_SSE41, scale, quantise, flip_signs, hadamard};

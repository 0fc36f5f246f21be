/*
 * transform_neon.c - body/transform.h in the operations of simd_neon.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/transform.h"
#include "kernels/list.h"

RBE_TABLE(transform, neon)

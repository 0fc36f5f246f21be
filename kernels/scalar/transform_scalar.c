/*
 * transform_scalar.c - body/transform.h in the operations of simd_scalar.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/scalar/simd_scalar.h"

#include "kernels/body/transform.h"
#include "kernels/list.h"

RBE_TABLE(transform, scalar)

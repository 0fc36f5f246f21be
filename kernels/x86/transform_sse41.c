/*
 * transform_sse41.c - body/transform.h in the operations of simd_sse41.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/transform.h"
#include "kernels/list.h"

RBE_TABLE(transform, sse41)

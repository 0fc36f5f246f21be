/*
 * transform_avx2.c - body/transform.h in the operations of simd_avx2.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/transform.h"
#include "kernels/list.h"

RBE_TABLE(transform, avx2)

/*
 * vector_any.c - kernels/vector.h in registers that every CPU has.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/scalar/simd_any.h"

#include "kernels/body/vector.h"
#include "kernels/list.h"

RBE_TABLE(vector, any)

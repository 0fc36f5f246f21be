/*
 * elementwise_any.c - kernels/elementwise.h in registers that every CPU has.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/scalar/simd_any.h"

#include "kernels/body/elementwise.h"
#include "kernels/list.h"

RBE_TABLE(elementwise, any)

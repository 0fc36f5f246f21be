/*
 * packed128_scalar.c - rendered seeds in plain C.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/scalar/simd_scalar.h"

#include "kernels/body/packed128.h"
#include "kernels/list.h"

RBE_PRODUCT(gemv, packed128, scalar, multiply_packed128)
RBE_PRODUCT(gemm, packed128, scalar, multiply_packed128)

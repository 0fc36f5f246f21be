/*
 * seed4_scalar.c - seeds of four nibbles, a weight at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/format/seed.h"
#include "kernels/list.h"

static inline int weight(uint16_t u, unsigned i)
{
    return rbe_seed4_map(u, i);
}

#include "kernels/body/seed_scalar.h"

RBE_PRODUCT(gemv, seed4, scalar, gemv_seeds)
RBE_PRODUCT(gemm, seed4, scalar, gemm_seeds)
RBE_PRODUCT(few, seed4, scalar, gemm_seeds)

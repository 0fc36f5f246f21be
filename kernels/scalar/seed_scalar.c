/*
 * seed_scalar.c - seeds, a weight at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/format/seed.h"
#include "kernels/list.h"

static inline int weight(uint16_t u, unsigned i)
{
    (void)i;
    return rbe_seed_map(u);
}

#include "kernels/body/seed_scalar.h"

RBE_PRODUCT(gemv, seed, scalar, gemv_seeds)
RBE_PRODUCT(gemm, seed, scalar, gemm_seeds)
RBE_PRODUCT(few, seed, scalar, gemm_seeds)

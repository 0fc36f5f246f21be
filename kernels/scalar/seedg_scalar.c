/*
 * seedg_scalar.c - seeds by the table, a weight at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/format/seed.h"
#include "kernels/format/seedg.h"
#include "kernels/list.h"

static inline int weight(uint16_t u, unsigned i)
{
    (void)i;
    return rbe_seedg_map(u);
}

#include "kernels/body/seed_scalar.h"

RBE_PRODUCT(gemv, seedg, scalar, gemv_seeds)
RBE_PRODUCT(gemm, seedg, scalar, gemm_seeds)
RBE_PRODUCT(few, seedg, scalar, gemm_seeds)

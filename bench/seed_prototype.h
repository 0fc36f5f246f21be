/*
 * seed_prototype.h - the seed GEMV that the kernels are compared with (codecs.md 3).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BENCH_SEED_PROTOTYPE_H
#define RBE_BENCH_SEED_PROTOTYPE_H

#include "kernels/kernel.h"

/* For B = 44 only; needs AVX512_VBMI2 and AVX512_VNNI; 1, 2 or 4 column groups a row step. */
rbe_product_fn rbe_seed_prototype_1, rbe_seed_prototype_2, rbe_seed_prototype_4;

#endif

/*
 * rope.h - positions as rotations of pairs of a head's values.
 *
 * SPDX-License-Identifier: MIT
 *
 * Pair i of a head of `head` values is (i, i + head / 2); at position p it is turned by
 * p * f[i], f[i] = base^(-2 i / head), changed as the configuration's scaling says and divided
 * by factors[i] where the model has some (role ROPE_FACTORS).
 */
#ifndef RBE_MODEL_ROPE_H
#define RBE_MODEL_ROPE_H

#include "model/config.h"

/* Cosines, then sines, of `count` positions from `first` on: to[count][2][head / 2].  factors
 * NULL: none. */
void rbe_rope_table(float *to, const struct rbe_model_config *c, const float *factors,
                    uint32_t first, uint32_t count);

#endif

/*
 * encode_hybrid.h - choosing K of the `hybrid` codec from the weights.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_RBE_ENCODE_HYBRID_H
#define RBE_RBE_ENCODE_HYBRID_H

#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"

/*
 * The smallest K, the same for every block x block tile of w [rows][cols], that leaves at most
 * the part `energy` (0..1) of the sum of w^2 unexplained before values are rounded.
 */
enum rbe_status rbe_hybrid_k_for_energy(uint32_t *k, const float *w, uint32_t rows,
                                        uint32_t cols, uint32_t block, double energy,
                                        struct rbe_pool *pool, struct rbe_diag *d);

#endif

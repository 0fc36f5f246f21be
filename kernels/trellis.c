/*
 * trellis.c - the tables that every version of trellis.h reads.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/trellis.h"

void rbe_trellis_init(struct rbe_trellis_state *t, unsigned bits, uint16_t multiplier)
{
    uint32_t inverse = multiplier;      /* right in its lowest 3 bits, and twice as many ... */

    for (int i = 0; i < 3; i++)         /* ... after each of Newton's steps */
        inverse *= 2 - multiplier * inverse;
    t->bits = bits;
    t->multiplier = multiplier;
    t->inverse = (uint16_t)inverse;
    for (unsigned k = 0; k <= RBE_TRELLIS_MAX_SHIFT; k++)
        for (unsigned n = 0; n < 1U << RBE_TRELLIS_MAX_SHIFT; n++) {
            const unsigned bits_of_n = rbe_trellis_reverse(n & ((1U << k) - 1), k);
            t->top[k][n] = (uint16_t)((bits_of_n << (16 - k)) * multiplier);
        }
}

/*
 * trellis.c - the list of versions of trellis.h, and the tables they read.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/trellis.h"

static const struct rbe_trellis_ops *const versions[] = {
    &rbe_trellis_scalar,
#if defined(__x86_64__)
    &rbe_trellis_sse41,
    &rbe_trellis_avx2,
    &rbe_trellis_avx512,
#elif defined(__aarch64__)
    &rbe_trellis_neon,
#endif
};
enum { VERSIONS = sizeof versions / sizeof versions[0] };

const struct rbe_trellis_ops *rbe_trellis_at(size_t i)
{
    return i < VERSIONS ? versions[i] : NULL;
}

const struct rbe_trellis_ops *rbe_trellis_best(uint32_t isa)
{
    const struct rbe_trellis_ops *best = versions[0];

    for (size_t i = 1; i < VERSIONS; i++)
        if (!(versions[i]->isa & ~isa))
            best = versions[i];
    return best;
}

void rbe_trellis_init(struct rbe_trellis *t, unsigned bits, uint16_t multiplier)
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

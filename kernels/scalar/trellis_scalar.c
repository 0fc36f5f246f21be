/*
 * trellis_scalar.c - the reference of trellis.h: one state after the other.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kernels/trellis.h"

static int saturate(int v)
{
    return v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v;
}

static unsigned add(unsigned a, unsigned b)
{
    return a + b > RBE_TRELLIS_NEVER ? RBE_TRELLIS_NEVER : a + b;
}

static unsigned row_cost(const struct rbe_trellis_row *r, unsigned hash)
{
    const unsigned h = (hash + r->addend) & 0xFFFF;
    const int g = r->nibbles ? (int)((h & 15) + (h >> 4 & 15) + (h >> 8 & 15) + (h >> 12))
                             : (int8_t)(h & 0xFF) + (int8_t)(h >> 8);
    int e = saturate(g * r->factor - r->target);

    for (unsigned i = 0; i < r->doublings; i++)
        e = saturate(2 * e);
    return (unsigned)(e * e) >> 16;
}

/* The groups just written are those to read. */
static void turn(struct rbe_trellis *t, unsigned fold)
{
    uint16_t *const cost = t->cost, *const hash = t->hash;
    unsigned least = RBE_TRELLIS_NEVER;

    t->cost = t->next_cost;
    t->hash = t->next_hash;
    t->next_cost = cost;
    t->next_hash = hash;
    t->fold = fold;
    for (size_t i = 0; i < (size_t)1 << (t->bits - fold); i++)
        least = t->cost[i] < least ? t->cost[i] : least;
    t->least = (uint16_t)least;
}

static unsigned less_least(const struct rbe_trellis *t, unsigned cost)
{
    return cost == RBE_TRELLIS_NEVER ? cost : cost - t->least;
}

static void step(struct rbe_trellis *t, const struct rbe_trellis_row *r, unsigned fold,
                 uint8_t *decision)
{
    const unsigned L = t->bits, k = r ? r->shift : 0;

    for (size_t g = 0; g < (size_t)1 << (L - fold); g++) {
        unsigned best = 0, best_hash = 0;

        for (size_t o = 0; o < (size_t)1 << fold; o++) {
            const size_t s = o << (L - fold) | g;
            const unsigned hash = t->hash[s >> k] + t->top[k][s & ((1U << k) - 1)];
            const unsigned cost = add(t->cost[s >> k], r ? row_cost(r, hash) : 0);

            if (o == 0 || cost < best) {
                best = cost;
                best_hash = hash;
            }
        }
        const unsigned window = best_hash * t->inverse & 0xFFFF;
        t->next_cost[g] = (uint16_t)less_least(t, best);
        t->next_hash[g] = (uint16_t)((window >> fold) * t->multiplier);
        if (fold)
            decision[g] = (uint8_t)(window >> (16 - L) & ((1U << fold) - 1));
    }
    turn(t, fold);
}

static void drain(struct rbe_trellis *t, const struct rbe_trellis_row *r)
{
    const unsigned k = r->shift, fixed = k - r->free;

    for (size_t s = 0; s < (size_t)1 << t->bits; s++) {
        const size_t g = s >> r->free;
        const unsigned chosen =
            rbe_trellis_reverse((unsigned)s & ((1U << r->free) - 1), r->free);
        const unsigned left = (t->hash[g] * t->inverse & 0xFFFF) >> fixed;
        const unsigned window = left | chosen << (16 - k) | r->fixed << (16 - fixed);
        const unsigned hash = window * t->multiplier & 0xFFFF;

        t->next_cost[s] = (uint16_t)less_least(t, add(t->cost[g], row_cost(r, hash)));
        t->next_hash[s] = (uint16_t)hash;
    }
    turn(t, 0);
}

const struct rbe_trellis_ops rbe_trellis_scalar = {"scalar", 0, step, drain};

/*
 * trellis_scalar.c - the reference of trellis.h: one state after the other.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kernels/body/unroll.h"
#include "kernels/format/seedg.h"
#include "kernels/list.h"

enum { OUTPUT_LEAST = -256, OUTPUTS = 512 };

INLINE int output(unsigned h, const enum rbe_trellis_map map)
{
    return map == RBE_TRELLIS_NIBBLES
               ? (int)((h & 15) + (h >> 4 & 15) + (h >> 8 & 15) + (h >> 12 & 15))
           : map == RBE_TRELLIS_TABLE ? rbe_seedg_map((uint16_t)h)
                                      : (int8_t)(h & 0xFF) + (int8_t)(h >> 8 & 0xFF);
}

static int saturate(int v)
{
    return v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v;
}

/* What each output costs at this row; nothing without a row. */
static void fill_costs(const struct rbe_trellis_row *r, uint16_t cost[OUTPUTS])
{
    for (int i = 0; i < OUTPUTS; i++) {
        int e = r ? saturate((i + OUTPUT_LEAST) * r->factor - r->target) : 0;

        for (unsigned n = 0; r && n < r->doublings; n++)
            e = saturate(2 * e);
        cost[i] = (uint16_t)((unsigned)(e * e) >> 16);
    }
}

INLINE unsigned add(unsigned a, unsigned b)
{
    return a + b > RBE_TRELLIS_NEVER ? RBE_TRELLIS_NEVER : a + b;
}

/* The groups just written are those to read. */
static void turn(struct rbe_trellis_state *t, unsigned fold)
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

INLINE unsigned less_least(const struct rbe_trellis_state *t, unsigned cost)
{
    return cost == RBE_TRELLIS_NEVER ? cost : cost - t->least;
}

INLINE void step_by(struct rbe_trellis_state *t, const struct rbe_trellis_row *r, unsigned fold,
                    const enum rbe_trellis_map map, uint8_t *decision)
{
    const unsigned L = t->bits, k = r ? r->shift : 0, addend = r ? r->addend : 0;
    const size_t groups = (size_t)1 << (L - fold), states = (size_t)1 << L;
    const uint16_t *const cost = t->cost, *const hash = t->hash, *const top = t->top[k];
    uint16_t costs[OUTPUTS];

    fill_costs(r, costs);
    for (size_t g = 0; g < groups; g++) {
        unsigned best = RBE_TRELLIS_NEVER + 1, best_hash = 0;

        for (size_t s = g; s < states; s += groups) {
            const unsigned h = (unsigned)hash[s >> k] + top[s & ((1U << k) - 1)];
            const unsigned c =
                add(cost[s >> k], costs[output(h + addend, map) - OUTPUT_LEAST]);

            best_hash = c < best ? h : best_hash;
            best = c < best ? c : best;
        }
        const unsigned window = best_hash * t->inverse & 0xFFFF;
        t->next_cost[g] = (uint16_t)less_least(t, best);
        t->next_hash[g] = (uint16_t)((window >> fold) * t->multiplier);
        if (fold)
            decision[g] = (uint8_t)(window >> (16 - L) & ((1U << fold) - 1));
    }
    turn(t, fold);
}

static void step(struct rbe_trellis_state *t, const struct rbe_trellis_row *r, unsigned fold,
                 uint8_t *decision)
{
    if (r && r->map == RBE_TRELLIS_NIBBLES)
        step_by(t, r, fold, RBE_TRELLIS_NIBBLES, decision);
    else if (r && r->map == RBE_TRELLIS_TABLE)
        step_by(t, r, fold, RBE_TRELLIS_TABLE, decision);
    else
        step_by(t, r, fold, RBE_TRELLIS_BYTES, decision);
}

static void drain(struct rbe_trellis_state *t, const struct rbe_trellis_row *r)
{
    const unsigned k = r->shift, fixed = k - r->free;
    uint16_t costs[OUTPUTS];

    fill_costs(r, costs);
    for (size_t s = 0; s < (size_t)1 << t->bits; s++) {
        const size_t g = s >> r->free;
        const unsigned chosen =
            rbe_trellis_reverse((unsigned)s & ((1U << r->free) - 1), r->free);
        const unsigned left = ((unsigned)t->hash[g] * t->inverse & 0xFFFF) >> fixed;
        const unsigned window = left | chosen << (16 - k) | r->fixed << (16 - fixed);
        const unsigned hash = window * t->multiplier & 0xFFFF;

        const unsigned c = costs[output(hash + r->addend, r->map) - OUTPUT_LEAST];

        t->next_cost[s] = (uint16_t)less_least(t, add(t->cost[g], c));
        t->next_hash[s] = (uint16_t)hash;
    }
    turn(t, 0);
}

#define FUNCTIONS step, drain
RBE_TABLE(trellis, scalar)

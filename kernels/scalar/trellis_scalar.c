/*
 * trellis_scalar.c - the reference of trellis.h: one state after the other.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kernels/body/unroll.h"
#include "kernels/list.h"

enum { OUTPUT_LEAST = -256, OUTPUTS = 512 };

/* What each output costs at this row; nothing without a row. */
static void fill_costs(const struct rbe_trellis_row *r, uint16_t cost[OUTPUTS])
{
    for (int i = 0; i < OUTPUTS; i++)
        cost[i] = (uint16_t)(r ? rbe_trellis_cost(r, i + OUTPUT_LEAST) : 0);
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

INLINE unsigned less_least(unsigned cost, unsigned least)
{
    return cost == RBE_TRELLIS_NEVER ? cost : cost - least;
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
                add(cost[s >> k], costs[rbe_trellis_output(h + addend, map) - OUTPUT_LEAST]);

            best_hash = c < best ? h : best_hash;
            best = c < best ? c : best;
        }
        const unsigned window = best_hash * t->inverse & 0xFFFF;
        t->next_cost[g] = (uint16_t)less_least(best, t->least);
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

        const unsigned c = costs[rbe_trellis_output(hash + r->addend, r->map) - OUTPUT_LEAST];

        t->next_cost[s] = (uint16_t)less_least(add(t->cost[g], c), t->least);
        t->next_hash[s] = (uint16_t)hash;
    }
    turn(t, 0);
}

INLINE void sweep_by(struct rbe_trellis_sweep *t, const struct rbe_trellis_row *r,
                     const enum rbe_trellis_map map)
{
    const unsigned bits = t->bits, k = r->free;
    const unsigned left = bits - t->fold;
    const size_t groups = (size_t)1 << left;
    const unsigned fixed = (t->fixed << bits) * t->multiplier + r->addend;
    unsigned least = RBE_TRELLIS_NEVER, any = 0;
    uint16_t costs[OUTPUTS], oldest[1 << RBE_TRELLIS_MAX_SHIFT];

    fill_costs(r, costs);
    for (unsigned o = 0; o < 1U << t->fold; o++)
        oldest[o] = (uint16_t)(rbe_trellis_reverse(o, t->fold) * t->multiplier);
    for (size_t g = 0; g < groups; g++) {
        const unsigned window = rbe_trellis_reverse((unsigned)g, left) << t->fold;
        const unsigned newest = window * t->multiplier + fixed;
        unsigned best = RBE_TRELLIS_NEVER;

        for (unsigned o = 0; o < 1U << t->fold; o++) {
            const unsigned h = (newest + oldest[o]) & 0xFFFF;
            const unsigned c = add(t->from[(o << left | g) >> k],
                                   costs[rbe_trellis_output(h, map) - OUTPUT_LEAST]);

            best = c < best ? c : best;
        }
        best = less_least(best, t->least);
        least = best < least ? best : least;
        any |= best;
        t->to[g] = (uint16_t)best;
    }
    t->least = (uint16_t)least;
    t->any = (uint16_t)any;
}

static void sweep(struct rbe_trellis_sweep *t, const struct rbe_trellis_row *r)
{
    if (r->map == RBE_TRELLIS_NIBBLES)
        sweep_by(t, r, RBE_TRELLIS_NIBBLES);
    else if (r->map == RBE_TRELLIS_TABLE)
        sweep_by(t, r, RBE_TRELLIS_TABLE);
    else
        sweep_by(t, r, RBE_TRELLIS_BYTES);
}

#define FUNCTIONS step, drain, sweep
RBE_TABLE(trellis, scalar)

/*
 * trellis.h - the step of kernels/trellis.h, for any width of registers.
 *
 * SPDX-License-Identifier: MIT
 *
 * Written in the operations of an ISA's simd header, which the kernel file includes first.
 */
#ifndef RBE_KERNELS_BODY_TRELLIS_H
#define RBE_KERNELS_BODY_TRELLIS_H

#include <stdbool.h>

#include "kernels/body/unroll.h"
#include "kernels/format/seedg.h"
#include "kernels/trellis.h"

/* A row's numbers in all lanes. */
struct row_vectors {
    u16x factor, target, addend;
    unsigned doublings;
};

INLINE struct row_vectors vectors_of(const struct rbe_trellis_row *r)
{
    return (struct row_vectors){u16_factor(r->factor), u16_set((uint16_t)r->target),
                                u16_set(r->addend), r->doublings};
}

INLINE u16x output(const struct row_vectors *r, u16x hash, const enum rbe_trellis_map map)
{
    if (map == RBE_TRELLIS_NIBBLES)
        return u16_nibbles(u16_add(hash, r->addend), r->factor);
    if (map == RBE_TRELLIS_TABLE)
        hash = u16_entries(u16_table(rbe_seedg_base),
                           u16_mul_round(hash, u16_set(RBE_SEEDG_MULTIPLIER)));
    return u16_bytes(hash, r->factor);
}

INLINE u16x error_cost(const struct row_vectors *r, u16x hash, const enum rbe_trellis_map map,
                       const unsigned doublings)
{
    u16x e = u16_sub_signed(output(r, hash, map), r->target);

#pragma GCC unroll 8
    for (unsigned i = 0; i < doublings; i++)
        e = u16_add_signed(e, e);
    return u16_square_high(e);
}

/* The groups just written are those to read. */
INLINE void turn(struct rbe_trellis_state *t, unsigned fold, u16x least)
{
    uint16_t *const cost = t->cost, *const hash = t->hash;

    t->cost = t->next_cost;
    t->hash = t->next_hash;
    t->next_cost = cost;
    t->next_hash = hash;
    t->fold = fold;
    t->least = u16_least(least);
}

INLINE u16x less_least(u16x cost, u16x least)
{
    return u16_or(u16_sub(cost, least), u16_full(cost));
}

/*
 * k new bits, then a fold by `fold`.  Known at compile time, the k of a vector's groups and the
 * number of states of a group become shuffles and straight code.
 */
INLINE void step_by(struct rbe_trellis_state *t, const struct rbe_trellis_row *r,
                    const unsigned k, const unsigned fold, const bool add,
                    const enum rbe_trellis_map map, const unsigned doublings,
                    uint8_t *decision)
{
    const unsigned L = t->bits;
    const size_t groups = (size_t)1 << (L - fold), stride = groups >> k;
    /* A vector's own new bits stand in the first lanes of the table; the rest repeats them. */
    const size_t tops = k > U16_LOG ? ((size_t)1 << k) - 1 : 0;
    const uint16_t *const cost = t->cost, *const hash = t->hash, *const top = t->top[k];
    uint16_t *const next_cost = t->next_cost, *const next_hash = t->next_hash;
    const u16x before = u16_set(t->least), inverse = u16_set(t->inverse),
              multiplier = u16_set(t->multiplier), bits = u16_set((uint16_t)((1U << fold) - 1));
    struct row_vectors row = {0};
    u16x least = u16_set(RBE_TRELLIS_NEVER);

    if (add)
        row = vectors_of(r);
    for (size_t g = 0; g < groups; g += U16_LANES) {
        const u16x newest = u16_load(top + (g & tops));
        u16x best = before, best_hash = before;

#pragma GCC unroll 16
        for (unsigned o = 0; o < 1U << fold; o++) {
            const size_t from = o * stride + (g >> k);
            const u16x h = u16_add(u16_expand(hash + from, k), newest);
            u16x c = u16_expand(cost + from, k);

            if (add)
                c = u16_add_sat(c, error_cost(&row, h, map, doublings));
            if (o == 0) {
                best = c;
                best_hash = h;
            } else {
                u16_take(&best, &best_hash, c, h);
            }
        }
        best = less_least(best, before);
        least = u16_min(least, best);
        u16_store(next_cost + g, best);
        if (fold) {
            const u16x window = u16_mul(best_hash, inverse);
            u16_store_bytes(decision + g, u16_and(u16_shift(window, 16 - L), bits));
            best_hash = u16_mul(u16_shift(window, fold), multiplier);
        }
        u16_store(next_hash + g, best_hash);
    }
    turn(t, fold, least);
}

/*
 * Steps of seeds with 1 to 4 new bits a row, which is all of them at blocks of 28 to 128, have
 * functions of their own, with the doublings that those rates want (rbe/seed_search.c).
 */
#define EACH_PAIR(DO) DO(1, 1) DO(1, 2) DO(2, 1) DO(2, 2) DO(2, 3) DO(3, 2) DO(3, 3) DO(3, 4) \
                      DO(4, 3) DO(4, 4)
/* Bytes not doubled, doubled once; nibbles; the table not doubled, once, twice. */
enum { PAIR_K = 4, PAIR_KINDS = 6 };

typedef void step_fn(struct rbe_trellis_state *t, const struct rbe_trellis_row *r,
                     uint8_t *decision);

#define STEP_OF(name, k, fold, map, doublings)                                                 \
    static void name(struct rbe_trellis_state *t, const struct rbe_trellis_row *r,             \
                     uint8_t *decision)                                                        \
    {                                                                                          \
        step_by(t, r, k, fold, true, map, doublings, decision);                                \
    }
#define STEP(k, fold)                                                                          \
    STEP_OF(step_##k##fold##_bytes0, k, fold, RBE_TRELLIS_BYTES, 0)                            \
    STEP_OF(step_##k##fold##_bytes1, k, fold, RBE_TRELLIS_BYTES, 1)                            \
    STEP_OF(step_##k##fold##_nibbles, k, fold, RBE_TRELLIS_NIBBLES, r->doublings)              \
    STEP_OF(step_##k##fold##_table0, k, fold, RBE_TRELLIS_TABLE, 0)                            \
    STEP_OF(step_##k##fold##_table1, k, fold, RBE_TRELLIS_TABLE, 1)                            \
    STEP_OF(step_##k##fold##_table2, k, fold, RBE_TRELLIS_TABLE, 2)
EACH_PAIR(STEP)

static step_fn *const pairs[PAIR_K + 1][PAIR_K + 1][PAIR_KINDS] = {
#define PAIR(k, fold)                                                                          \
    [k][fold] = {step_##k##fold##_bytes0, step_##k##fold##_bytes1, step_##k##fold##_nibbles,   \
                 step_##k##fold##_table0, step_##k##fold##_table1, step_##k##fold##_table2},
    EACH_PAIR(PAIR)
};

static void step(struct rbe_trellis_state *t, const struct rbe_trellis_row *r, unsigned fold,
                 uint8_t *decision)
{
    if (!r) {
        step_by(t, NULL, 0, fold, false, RBE_TRELLIS_BYTES, 0, decision);
        return;
    }
    const unsigned k = r->shift, kind = r->map == RBE_TRELLIS_NIBBLES ? 2
                                        : r->map == RBE_TRELLIS_TABLE ? 3U + r->doublings
                                                                      : r->doublings;
    step_fn *const pair =
        k <= PAIR_K && fold <= PAIR_K && kind < PAIR_KINDS &&
                (r->map != RBE_TRELLIS_BYTES || kind < 2)
            ? pairs[k][fold][kind] : NULL;

    if (pair)
        pair(t, r, decision);
    else if (r->map == RBE_TRELLIS_NIBBLES)
        step_by(t, r, k, fold, true, RBE_TRELLIS_NIBBLES, r->doublings, decision);
    else if (r->map == RBE_TRELLIS_TABLE)
        step_by(t, r, k, fold, true, RBE_TRELLIS_TABLE, r->doublings, decision);
    else
        step_by(t, r, k, fold, true, RBE_TRELLIS_BYTES, r->doublings, decision);
}

static void drain(struct rbe_trellis_state *t, const struct rbe_trellis_row *r)
{
    const unsigned k = r->shift, free = r->free, fixed = k - free;
    const size_t states = (size_t)1 << t->bits, tops = ((size_t)1 << free) - 1;
    const u16x before = u16_set(t->least), inverse = u16_set(t->inverse),
              multiplier = u16_set(t->multiplier),
              last = u16_set((uint16_t)((r->fixed << (16 - fixed)) * t->multiplier));
    const struct row_vectors row = vectors_of(r);
    u16x least = u16_set(RBE_TRELLIS_NEVER);

    for (size_t s = 0; s < states; s += U16_LANES) {
        /* The chosen bits stand above the window's old ones, and below the fixed ones. */
        const u16x chosen = u16_load(t->top[free] + (free > U16_LOG ? s & tops : 0));
        const u16x window =
            u16_mul(u16_add(u16_expand(t->hash + (s >> free), free), chosen), inverse);
        const u16x hash = u16_add(u16_mul(u16_shift(window, fixed), multiplier), last);
        const u16x error =
            r->map == RBE_TRELLIS_NIBBLES
                ? error_cost(&row, hash, RBE_TRELLIS_NIBBLES, r->doublings)
            : r->map == RBE_TRELLIS_TABLE
                ? error_cost(&row, hash, RBE_TRELLIS_TABLE, r->doublings)
                : error_cost(&row, hash, RBE_TRELLIS_BYTES, r->doublings);
        const u16x cost = less_least(
            u16_add_sat(u16_expand(t->cost + (s >> free), free), error), before);

        least = u16_min(least, cost);
        u16_store(t->next_cost + s, cost);
        u16_store(t->next_hash + s, hash);
    }
    turn(t, 0, least);
}

#undef STEP
#undef STEP_OF
#undef PAIR

#define FUNCTIONS step, drain

#endif

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
#include "kernels/list.h"
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

/* Of a multiple of a window, the addend in it. */
INLINE u16x output(const struct row_vectors *r, u16x hash, const enum rbe_trellis_map map)
{
    if (map == RBE_TRELLIS_NIBBLES)
        return u16_nibbles(hash, r->factor);
    if (map == RBE_TRELLIS_TABLE)
        hash = u16_entries(u16_table(rbe_seedg_base),
                           u16_mul_round(hash, u16_set(RBE_SEEDG_MULTIPLIER)));
    return u16_bytes(hash, r->factor);
}

INLINE u16x error_cost(const struct row_vectors *r, u16x hash, const enum rbe_trellis_map map,
                       const unsigned doublings)
{
    /* Only nibbles have one. */
    const u16x h = map == RBE_TRELLIS_NIBBLES ? u16_add(hash, r->addend) : hash;
    u16x e = u16_sub_signed(output(r, h, map), r->target);

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

/* --- all bits of the window --------------------------------------------------------------- */

/*
 * How a row is added.  Where no cost is beyond CALM_MOST no sum saturates and none is NEVER;
 * where a row's differences fit 16 bits they need not saturate either.  Plain sums have more
 * ports than saturating ones.
 */
enum care { CAREFUL, CALM, PLAIN };
enum { CALM_MOST = 0x7FFF, SWEEP_K = 5, OUTPUT_MOST = 256, TWICE_MOST = 2 };

INLINE u16x sweep_cost(u16x cost, u16x hash, const struct row_vectors *r,
                       const enum rbe_trellis_map map, const unsigned doublings,
                       const enum care care)
{
    const u16x g = output(r, hash, map);
    u16x e = care == PLAIN ? u16_sub(g, r->target) : u16_sub_signed(g, r->target);

#pragma GCC unroll 8
    for (unsigned i = 0; i < doublings; i++)
        e = u16_add_signed(e, e);
    e = u16_square_high(e);
    return care == CAREFUL ? u16_add_sat(cost, e) : u16_add(cost, e);
}

/*
 * v[i] holds in lane l what belongs at l * count + i, count 1, 2, 4 or 8.  Afterwards v[i] has
 * in its q-th 16 bytes what belongs to the 8 places from (q * count + i) * 8 on.
 */
INLINE void interleave(u16x *v, const unsigned count)
{
    u16x t[8];

    if (count == 1)
        return;
    RBE_UNROLL
    for (unsigned i = 0; i < count; i += 2) {
        t[i] = u16_zip16_low(v[i], v[i + 1]);
        t[i + 1] = u16_zip16_high(v[i], v[i + 1]);
    }
    if (count == 2) {
        v[0] = t[0];
        v[1] = t[1];
        return;
    }
    RBE_UNROLL
    for (unsigned i = 0; i < count; i += 4) {
        v[i] = u16_zip32_low(t[i], t[i + 2]);
        v[i + 1] = u16_zip32_high(t[i], t[i + 2]);
        v[i + 2] = u16_zip32_low(t[i + 1], t[i + 3]);
        v[i + 3] = u16_zip32_high(t[i + 1], t[i + 3]);
    }
    if (count == 4)
        return;
    RBE_UNROLL
    for (unsigned i = 0; i < 4; i++) {
        t[2 * i] = u16_zip64_low(v[i], v[i + 4]);
        t[2 * i + 1] = u16_zip64_high(v[i], v[i + 4]);
    }
    RBE_UNROLL
    for (unsigned i = 0; i < 8; i++)
        v[i] = t[i];
}

/* Multiples of the windows whose bits highest, highest - 1, ... are those of n, the lowest
 * first, for n < 2^count; nothing else is in them. */
INLINE void multiples(uint16_t *to, unsigned count, unsigned highest, uint16_t multiplier)
{
    to[0] = 0;
    for (unsigned i = 0; i < count; i++)
        for (size_t n = 0; n < (size_t)1 << i; n++)
            to[n + ((size_t)1 << i)] =
                (uint16_t)(to[n] + ((unsigned)multiplier << (highest - i)));
}

/*
 * Lanes are groups, `count` new bits at a time are constants: no shuffle is needed before the
 * fold, and only what it leaves is interleaved.
 */
INLINE void sweep_by(struct rbe_trellis_sweep *t, const struct rbe_trellis_row *r,
                     const unsigned count, const enum rbe_trellis_map map,
                     const unsigned doublings, const enum care care)
{
    const unsigned k = r->free, fold = t->fold;
    const size_t news = (size_t)1 << k, olds = (size_t)1 << fold;
    const size_t stride = (size_t)1 << (t->bits - fold - k);
    const struct row_vectors row = vectors_of(r);
    const u16x before = u16_set(t->least);
    u16x least = u16_set(RBE_TRELLIS_NEVER), any = u16_set(0);
    u16x new_hash[1 << SWEEP_K], old_hash[1 << SWEEP_K];
    uint16_t hash[U16_LANES > 1 << SWEEP_K ? U16_LANES : 1 << SWEEP_K], jump[16], to_bit = 0;

    multiples(hash, k, t->bits - 1, t->multiplier);
    for (size_t n = 0; n < news; n++)
        new_hash[n] = u16_set(hash[n]);
    multiples(hash, fold, fold - 1, t->multiplier);
    for (size_t o = 0; o < olds; o++)
        old_hash[o] = u16_set(hash[o]);
    /* From one vector's groups to the next ones': a counter whose bits are reversed. */
    for (unsigned i = 0; k + U16_LOG + i < t->bits - fold; i++) {
        const uint16_t bit =
            (uint16_t)((unsigned)t->multiplier << (t->bits - 1 - k - U16_LOG - i));
        jump[i] = (uint16_t)(bit - to_bit);
        to_bit = (uint16_t)(to_bit + bit);
    }
    multiples(hash, U16_LOG, t->bits - 1 - k, t->multiplier);
    u16x base = u16_add(u16_load(hash), u16_set((uint16_t)((t->fixed << t->bits) *
                                                               t->multiplier + r->addend)));
    for (size_t x = 0; x < stride; x += U16_LANES) {
        for (size_t n = 0; n < news; n += count) {
            u16x best[8];
            uint16_t *const to = t->to + x * news + n;

            if (t->ahead)
                for (size_t i = 0; i < count * U16_LANES; i += 32)
                    __builtin_prefetch(t->ahead + x * news + n * U16_LANES + i, 1);

            RBE_UNROLL
            for (unsigned i = 0; i < count; i++)
                best[i] = u16_set(RBE_TRELLIS_NEVER);
            for (size_t o = 0; o < olds; o++) {
                const u16x cost = u16_load(t->from + o * stride + x);
                const u16x old = u16_add(base, old_hash[o]);

                RBE_UNROLL
                for (unsigned i = 0; i < count; i++)
                    best[i] = u16_min(best[i], sweep_cost(cost, u16_add(old, new_hash[n + i]),
                                                          &row, map, doublings, care));
            }
            RBE_UNROLL
            for (unsigned i = 0; i < count; i++) {
                best[i] = care == CAREFUL ? less_least(best[i], before)
                                          : u16_sub(best[i], before);
                least = u16_min(least, best[i]);
                any = u16_or(any, best[i]);
            }
            interleave(best, count);
            RBE_UNROLL
            for (unsigned i = 0; i < count; i++)
                u16_store_parts(to + i * (count < 8 ? 8 : news), 8 * news, best[i]);
        }
        if (x + U16_LANES < stride)
            base = u16_add(base,
                           u16_set(jump[__builtin_ctzll((x + U16_LANES) >> U16_LOG)]));
    }
    t->least = u16_least(least);
    t->any = u16_any(any);
}

typedef void sweep_fn(struct rbe_trellis_sweep *t, const struct rbe_trellis_row *r);

enum { SWEEP_KINDS = 7, SWEEP_COUNTS = 4 };

#define SWEEP(count, name, map, variant, doublings, care)                                      \
    static void sweep_##name##_##count##_##variant(struct rbe_trellis_sweep *t,                \
                                                   const struct rbe_trellis_row *r)            \
    {                                                                                          \
        sweep_by(t, r, count, map, doublings, care);                                           \
    }
#define SWEEPS(count, name, map)                                                               \
    SWEEP(count, name, map, 0, r->doublings, CAREFUL)                                          \
    SWEEP(count, name, map, 1, r->doublings, CALM)                                             \
    SWEEP(count, name, map, 2, 0, CALM)                                                        \
    SWEEP(count, name, map, 3, 1, CALM)                                                        \
    SWEEP(count, name, map, 4, 2, CALM)                                                        \
    SWEEP(count, name, map, 5, 0, PLAIN)                                                       \
    SWEEP(count, name, map, 6, 1, PLAIN)
#define SWEEPS_OF(name, map)                                                                   \
    SWEEP(1, name, map, 0, r->doublings, CAREFUL)                                              \
    SWEEPS(2, name, map)                                                                       \
    SWEEPS(4, name, map)                                                                       \
    SWEEPS(8, name, map)
SWEEPS_OF(bytes, RBE_TRELLIS_BYTES)
SWEEPS_OF(table, RBE_TRELLIS_TABLE)
#define SWEEPS_NIBBLES(count)                                                                  \
    SWEEP(count, nibbles, RBE_TRELLIS_NIBBLES, 0, r->doublings, CAREFUL)                       \
    SWEEP(count, nibbles, RBE_TRELLIS_NIBBLES, 1, r->doublings, CALM)
SWEEP(1, nibbles, RBE_TRELLIS_NIBBLES, 0, r->doublings, CAREFUL)
SWEEPS_NIBBLES(2)
SWEEPS_NIBBLES(4)
SWEEPS_NIBBLES(8)

#define LIST(count, name)                                                                      \
    {                                                                                          \
        sweep_##name##_##count##_0, sweep_##name##_##count##_1, sweep_##name##_##count##_2,    \
            sweep_##name##_##count##_3, sweep_##name##_##count##_4,                            \
            sweep_##name##_##count##_5, sweep_##name##_##count##_6                             \
    }
#define LISTS(name) {{sweep_##name##_1_0}, LIST(2, name), LIST(4, name), LIST(8, name)}
static sweep_fn *const sweeps[][SWEEP_COUNTS][SWEEP_KINDS] = {
    [RBE_TRELLIS_BYTES] = LISTS(bytes),
    [RBE_TRELLIS_NIBBLES] = {{sweep_nibbles_1_0},
                             {sweep_nibbles_2_0, sweep_nibbles_2_1},
                             {sweep_nibbles_4_0, sweep_nibbles_4_1},
                             {sweep_nibbles_8_0, sweep_nibbles_8_1}},
    [RBE_TRELLIS_TABLE] = LISTS(table),
};

static void sweep(struct rbe_trellis_sweep *t, const struct rbe_trellis_row *r)
{
    const unsigned k = r->free, counts = k < SWEEP_COUNTS ? k : SWEEP_COUNTS - 1;
    const int target = r->target < 0 ? -r->target : r->target;
    unsigned kind = 0;

    if (k > SWEEP_K || t->fold > SWEEP_K || t->bits < t->fold + k + U16_LOG) {
        rbe_trellis_scalar.sweep(t, r);
        return;
    }
    if (k && t->any <= CALM_MOST)
        kind = r->doublings > TWICE_MOST || r->map == RBE_TRELLIS_NIBBLES ? 1U
               : r->doublings < 2 && target + OUTPUT_MOST * r->factor <= INT16_MAX
                   ? 5U + r->doublings
                   : 2U + r->doublings;
    sweeps[r->map][counts][kind](t, r);
}

#undef STEP
#undef STEP_OF
#undef PAIR
#undef SWEEP
#undef SWEEPS
#undef SWEEPS_OF
#undef SWEEPS_NIBBLES
#undef LIST
#undef LISTS

#define FUNCTIONS step, drain, sweep

#endif

/*
 * trellis.h - the step of kernels/trellis.h; an ISA's file gives it vectors to work with.
 *
 * SPDX-License-Identifier: MIT
 *
 * The includer defines `vec`, of VEC_LANES = 2^VEC_LOG 16-bit lanes, and
 *   v_load, v_store, v_set      unaligned; one value in all lanes
 *   v_add, v_sub, v_mul         mod 2^16
 *   v_and, v_or, v_shift(v, n)  n >= 16 gives 0; zeros come in from above
 *   v_add_costs, v_min          of unsigned lanes, the sum saturates
 *   v_sub_sat, v_add_sat        of signed lanes, saturate
 *   v_square(e)                 (e * e) >> 16
 *   v_bytes(h, f)               f times the sum of the two signed bytes, f in all bytes
 *   v_nibbles(h, f)             f times the sum of the four nibbles
 *   v_factor(f)                 f as those two want it
 *   v_take(&m, &w, cost, h)     m, w = cost, h where cost < m
 *   v_never(v)                  all bits where v is RBE_TRELLIS_NEVER, else none
 *   v_expand(p, k)              lane i = p[i >> k]; reads no more
 *   v_store_bytes(p, v)         the low bytes of the lanes, all < 256
 *   v_least(v)                  of the unsigned lanes
 */
#ifndef RBE_KERNELS_BODY_TRELLIS_H
#define RBE_KERNELS_BODY_TRELLIS_H

#include "kernels/cpu.h"
#include "kernels/trellis.h"

#define INLINE static inline __attribute__((always_inline))

/* A row's numbers in all lanes. */
struct row_vectors {
    vec factor, target, addend;
    unsigned doublings;
};

INLINE struct row_vectors vectors_of(const struct rbe_trellis_row *r)
{
    return (struct row_vectors){v_factor(r->factor), v_set((uint16_t)r->target),
                                v_set(r->addend), r->doublings};
}

INLINE vec error_cost(const struct row_vectors *r, vec hash, const bool nibbles,
                      const unsigned doublings)
{
    const vec g = nibbles ? v_nibbles(v_add(hash, r->addend), r->factor)
                          : v_bytes(hash, r->factor);
    vec e = v_sub_sat(g, r->target);

#pragma GCC unroll 8
    for (unsigned i = 0; i < doublings; i++)
        e = v_add_sat(e, e);
    return v_square(e);
}

/* The groups just written are those to read. */
INLINE void turn(struct rbe_trellis *t, unsigned fold, vec least)
{
    uint16_t *const cost = t->cost, *const hash = t->hash;

    t->cost = t->next_cost;
    t->hash = t->next_hash;
    t->next_cost = cost;
    t->next_hash = hash;
    t->fold = fold;
    t->least = v_least(least);
}

INLINE vec less_least(vec cost, vec least)
{
    return v_or(v_sub(cost, least), v_never(cost));
}

/*
 * k new bits, then a fold by `fold`.  Known at compile time, the k of a vector's groups and the
 * number of states of a group become shuffles and straight code.
 */
INLINE void step_by(struct rbe_trellis *t, const struct rbe_trellis_row *r, const unsigned k,
                    const unsigned fold, const bool add, const bool nibbles,
                    const unsigned doublings, uint8_t *decision)
{
    const unsigned L = t->bits;
    const size_t groups = (size_t)1 << (L - fold), stride = groups >> k;
    /* A vector's own new bits stand in the first lanes of the table; the rest repeats them. */
    const size_t tops = k > VEC_LOG ? ((size_t)1 << k) - 1 : 0;
    const uint16_t *const cost = t->cost, *const hash = t->hash, *const top = t->top[k];
    uint16_t *const next_cost = t->next_cost, *const next_hash = t->next_hash;
    const vec before = v_set(t->least), inverse = v_set(t->inverse),
              multiplier = v_set(t->multiplier), bits = v_set((uint16_t)((1U << fold) - 1));
    struct row_vectors row = {0};
    vec least = v_set(RBE_TRELLIS_NEVER);

    if (add)
        row = vectors_of(r);
    for (size_t g = 0; g < groups; g += VEC_LANES) {
        const vec newest = v_load(top + (g & tops));
        vec best = before, best_hash = before;

#pragma GCC unroll 16
        for (unsigned o = 0; o < 1U << fold; o++) {
            const size_t from = o * stride + (g >> k);
            const vec h = v_add(v_expand(hash + from, k), newest);
            vec c = v_expand(cost + from, k);

            if (add)
                c = v_add_costs(c, error_cost(&row, h, nibbles, doublings));
            if (o == 0) {
                best = c;
                best_hash = h;
            } else {
                v_take(&best, &best_hash, c, h);
            }
        }
        best = less_least(best, before);
        least = v_min(least, best);
        v_store(next_cost + g, best);
        if (fold) {
            const vec window = v_mul(best_hash, inverse);
            v_store_bytes(decision + g, v_and(v_shift(window, 16 - L), bits));
            best_hash = v_mul(v_shift(window, fold), multiplier);
        }
        v_store(next_hash + g, best_hash);
    }
    turn(t, fold, least);
}

/*
 * Steps of seeds with 1 to 4 new bits a row, which is all of them at blocks of 28 to 128, have
 * functions of their own, with the doublings that those rates want (rbe/seed_search.c).
 */
#define EACH_PAIR(DO) DO(1, 1) DO(1, 2) DO(2, 1) DO(2, 2) DO(2, 3) DO(3, 2) DO(3, 3) DO(3, 4) \
                      DO(4, 3) DO(4, 4)
enum { PAIR_K = 4, PAIR_KINDS = 3 };    /* bytes not doubled, doubled once; nibbles */

typedef void step_fn(struct rbe_trellis *t, const struct rbe_trellis_row *r,
                     uint8_t *decision);

#define STEP(k, fold)                                                                          \
    static void step_##k##fold##_bytes0(struct rbe_trellis *t,                                 \
                                        const struct rbe_trellis_row *r, uint8_t *decision)    \
    {                                                                                          \
        step_by(t, r, k, fold, true, false, 0, decision);                                      \
    }                                                                                          \
    static void step_##k##fold##_bytes1(struct rbe_trellis *t,                                 \
                                        const struct rbe_trellis_row *r, uint8_t *decision)    \
    {                                                                                          \
        step_by(t, r, k, fold, true, false, 1, decision);                                      \
    }                                                                                          \
    static void step_##k##fold##_nibbles(struct rbe_trellis *t,                                \
                                         const struct rbe_trellis_row *r, uint8_t *decision)   \
    {                                                                                          \
        step_by(t, r, k, fold, true, true, r->doublings, decision);                            \
    }
EACH_PAIR(STEP)

static step_fn *const pairs[PAIR_K + 1][PAIR_K + 1][PAIR_KINDS] = {
#define PAIR(k, fold)                                                                          \
    [k][fold] = {step_##k##fold##_bytes0, step_##k##fold##_bytes1, step_##k##fold##_nibbles},
    EACH_PAIR(PAIR)
};

static void step(struct rbe_trellis *t, const struct rbe_trellis_row *r, unsigned fold,
                 uint8_t *decision)
{
    if (!r) {
        step_by(t, NULL, 0, fold, false, false, 0, decision);
        return;
    }
    const unsigned k = r->shift, kind = r->nibbles ? 2 : r->doublings;
    step_fn *const pair =
        k <= PAIR_K && fold <= PAIR_K && kind < PAIR_KINDS && (r->nibbles || kind < 2)
            ? pairs[k][fold][kind] : NULL;

    if (pair)
        pair(t, r, decision);
    else if (r->nibbles)
        step_by(t, r, k, fold, true, true, r->doublings, decision);
    else
        step_by(t, r, k, fold, true, false, r->doublings, decision);
}

static void drain(struct rbe_trellis *t, const struct rbe_trellis_row *r)
{
    const unsigned k = r->shift, free = r->free, fixed = k - free;
    const size_t states = (size_t)1 << t->bits, tops = ((size_t)1 << free) - 1;
    const vec before = v_set(t->least), inverse = v_set(t->inverse),
              multiplier = v_set(t->multiplier),
              last = v_set((uint16_t)((r->fixed << (16 - fixed)) * t->multiplier));
    const struct row_vectors row = vectors_of(r);
    vec least = v_set(RBE_TRELLIS_NEVER);

    for (size_t s = 0; s < states; s += VEC_LANES) {
        /* The chosen bits stand above the window's old ones, and below the fixed ones. */
        const vec chosen = v_load(t->top[free] + (free > VEC_LOG ? s & tops : 0));
        const vec window = v_mul(v_add(v_expand(t->hash + (s >> free), free), chosen), inverse);
        const vec hash = v_add(v_mul(v_shift(window, fixed), multiplier), last);
        const vec error = r->nibbles ? error_cost(&row, hash, true, r->doublings)
                                     : error_cost(&row, hash, false, r->doublings);
        const vec cost = less_least(
            v_add_costs(v_expand(t->cost + (s >> free), free), error), before);

        least = v_min(least, cost);
        v_store(t->next_cost + s, cost);
        v_store(t->next_hash + s, hash);
    }
    turn(t, 0, least);
}

#undef STEP
#undef PAIR

#endif

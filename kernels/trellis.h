/*
 * trellis.h - one row of the search for a column of seeds, for every ISA.
 *
 * SPDX-License-Identifier: MIT
 *
 * A state is the newest L bits of the generator's 16-bit window; the 16 - L older ones, the
 * carry, are those of the best path into the state.  Going down a row the window drops its k
 * oldest bits and takes in k new ones.  States are numbered with the newest bit lowest: the
 * window's bits in reverse.  So state s comes from one of the 2^k states
 * (o << (L - k)) | (s >> k), which lie far apart: to take the best of them (fold) no lane of a
 * vector meets another.  And the 2^k states that share it are neighbours: its cost is spread
 * over lanes by one shuffle.  A step adds the errors of a row to its states and folds them for
 * the next row in registers; only groups live in memory, 2^(L - k) of them, and stay in cache.
 *
 * Costs are 16-bit integers that saturate, with the least one subtracted at each step.  The
 * caller chooses their unit (rbe/seed_search.c).  Every version gives the same bits.
 */
#ifndef RBE_KERNELS_TRELLIS_H
#define RBE_KERNELS_TRELLIS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/format/seedg.h"

enum {
    RBE_TRELLIS_MIN_BITS = 8,
    RBE_TRELLIS_MAX_BITS = 16,
    RBE_TRELLIS_MAX_SHIFT = 8,      /* new bits of a row */
    RBE_TRELLIS_LANES = 32,         /* states of the widest vector, of 2^5 */
    RBE_TRELLIS_NEVER = 0xFFFF,     /* cost of a path that nothing can save; it stays so */
};

/*
 * Between steps the states stand in groups of 2^fold, those that differ only in the bits that
 * the next row drops: cost[i] is the least cost of group i's states, hash[i] the multiple of
 * the window of the one that has it, shifted down by `fold`.
 */
struct rbe_trellis_state {
    unsigned bits;              /* L; at least 2 k and k + 5 for the k of every row and fold */
    unsigned fold;
    uint16_t *cost, *hash;      /* [2^(L - fold)] */
    uint16_t *next_cost, *next_hash;    /* being written; all four have room for 2^L */
    uint16_t least;             /* of cost */
    uint16_t multiplier, inverse;       /* odd; their product is 1 mod 2^16 */
    /* top[k][n]: multiple of the window whose k newest bits are those of n, the lowest of n
     * the newest; repeated up to RBE_TRELLIS_LANES. */
    uint16_t top[RBE_TRELLIS_MAX_SHIFT + 1][1 << RBE_TRELLIS_MAX_SHIFT];
};

/*
 * From h = window * multiplier + addend to an output g: the sum of h's two signed bytes; of its
 * four nibbles; or what `seedg` makes of a window (kernels/format/seedg.h): then the multiplier
 * is 1.
 */
enum rbe_trellis_map { RBE_TRELLIS_BYTES, RBE_TRELLIS_NIBBLES, RBE_TRELLIS_TABLE };

/*
 * A row to be generated.  An output costs (e * e) >> 16, e = (g * factor - target), doubled
 * `doublings` times, all in 16 bits that saturate.
 */
struct rbe_trellis_row {
    unsigned shift;             /* k: bits new in this row's window */
    unsigned free;              /* of them, this many lowest ones may be chosen ... */
    unsigned fixed;             /* ... and the others are these */
    uint16_t addend;
    enum rbe_trellis_map map;   /* one for all rows of a search */
    uint8_t factor;             /* 1..127 */
    uint8_t doublings;          /* 0..RBE_TRELLIS_MAX_DOUBLINGS */
    int16_t target;
};
enum { RBE_TRELLIS_MAX_DOUBLINGS = 7 };

/*
 * A search of all 16 bits of the window needs no more of a path than its cost: a state is its
 * window.  Where the window's newest bits are fixed, states are the others, `bits` of them.
 * Which state of a group is its best is found again, where it is asked for, from the costs
 * that a sweep began with.
 */
struct rbe_trellis_sweep {
    unsigned bits;              /* of the window that differ between states, the oldest */
    unsigned fixed;             /* the others */
    unsigned fold;              /* bits that the next row drops */
    uint16_t multiplier;
    const uint16_t *from;       /* [2^(bits - r->free)] costs of groups */
    uint16_t *to;               /* [2^(bits - fold)] */
    uint16_t *ahead;            /* brought near meanwhile, as many: the next `to`; or NULL */
    uint16_t least, any;        /* of the costs: the least, and all of them or'ed; those of
                                 * `from` become those of `to` */
};

struct rbe_trellis {
    const char *name;
    uint32_t isa;               /* RBE_ISA_* bits it needs */

    /*
     * Adds row r to groups of 2^r->shift (t->fold) and folds its states by `fold`.  decision
     * [2^(L - fold)] gets the dropped bits of each group's best state, the oldest lowest;
     * untouched when fold is 0.  r->free is r->shift.  NULL r: no row is added, only folded;
     * t->fold is 0.
     */
    void (*step)(struct rbe_trellis_state *t, const struct rbe_trellis_row *r, unsigned fold,
                 uint8_t *decision);
    /*
     * A row with fixed bits; all later ones have nothing else, for it is the end of a span.
     * From there on a state is the newest L bits that were chosen, so that no choice is lost
     * to a carry: hash [2^L] is of each state's whole window, and fold stays 0.  The first
     * such row finds groups of 2^r->free (t->fold), later ones have r->free 0.
     */
    void (*drain)(struct rbe_trellis_state *t, const struct rbe_trellis_row *r);
    /*
     * Adds row r to groups and folds its states by `fold`, as a step does; r->free of its bits
     * are new, r->shift and r->fixed are not read.  bits >= r->free + fold.
     */
    void (*sweep)(struct rbe_trellis_sweep *t, const struct rbe_trellis_row *r);
};

/* Fills multiplier, inverse and top. */
void rbe_trellis_init(struct rbe_trellis_state *t, unsigned bits, uint16_t multiplier);

/* The version at i, narrowest first; NULL past the end. */
const struct rbe_trellis *rbe_trellis_at(size_t i);

/* The widest that `isa` can run. */
const struct rbe_trellis *rbe_trellis_best(uint32_t isa);

/* The output of a multiple of a window, its addend in it. */
static inline int rbe_trellis_output(unsigned h, enum rbe_trellis_map map)
{
    return map == RBE_TRELLIS_NIBBLES
               ? (int)((h & 15) + (h >> 4 & 15) + (h >> 8 & 15) + (h >> 12 & 15))
           : map == RBE_TRELLIS_TABLE ? rbe_seedg_map((uint16_t)h)
                                      : (int8_t)(h & 0xFF) + (int8_t)(h >> 8 & 0xFF);
}

static inline int rbe_trellis_saturate(int v)
{
    return v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v;
}

/* What output g costs at this row. */
static inline unsigned rbe_trellis_cost(const struct rbe_trellis_row *r, int g)
{
    int e = rbe_trellis_saturate(g * r->factor - r->target);

    for (unsigned n = 0; n < r->doublings; n++)
        e = rbe_trellis_saturate(2 * e);
    return (unsigned)(e * e) >> 16;
}

/* The lowest `count` bits of v in reverse order, count <= 16. */
static inline unsigned rbe_trellis_reverse(unsigned v, unsigned count)
{
    unsigned r = 0;

    for (unsigned i = 0; i < count; i++)
        r |= (v >> i & 1) << (count - 1 - i);
    return r;
}

#endif

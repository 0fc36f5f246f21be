/*
 * trellis.h - one step of the search for a column of seeds.
 *
 * SPDX-License-Identifier: MIT
 *
 * A state is the newest L bits of the 16-bit window; the 16 - L older ones, the carry, are
 * those of the best path into the state.  Going down a row the window drops its k oldest bits
 * and takes in k new ones: state s' = (s >> k) | (new << (L - k)).  So the 2^k predecessors
 * of s' are neighbours, and all 2^k states that differ only in `new` share the best of them:
 * a step first takes the least cost of each group of 2^k (fold), then adds each new window's
 * error (spread).
 *
 * All implementations do the same float operations in the same order: same codes everywhere.
 */
#ifndef RBE_RBE_TRELLIS_H
#define RBE_RBE_TRELLIS_H

#include <stdint.h>

struct rbe_trellis {
    unsigned bits;              /* L, 8..16, at least shift + 4 */
    unsigned shift;             /* k of the last step */
    int draining;               /* window is [2^L], each state's whole window */
    float *cost;                /* [2^L], of the states; at least 0 */
    float *group;               /* [2^(L - shift)], the best of each group, least one 0 */
    uint16_t *window;           /* [2^(L - shift)], its window, shifted down by `shift` */
    uint16_t *next_window;      /* being written; both have room for 2^L */
};

/* A row to be generated. */
struct rbe_trellis_row {
    unsigned shift;             /* k: bits new in this row's window */
    unsigned free;              /* of them, this many lowest ones may be chosen ... */
    unsigned fixed;             /* ... and the others are these */
    float target, weight;       /* the cost of output g: weight * (target - g)^2 */
    unsigned multiplier, addend;        /* h = window * multiplier + addend, mod 2^16 */
    int only;                   /* start: the one window allowed, or -1 for all */
    int nibbles;                /* g: four nibbles less 30, or two signed bytes */
};

/*
 * Once a row has fixed bits, all later ones have nothing but: the end of a span.  From there
 * on a state is the newest L bits that were chosen, and no choice is lost to a carry.
 *
 * start: the first row; decision [2^L] gets the carry chosen for each
 * state.  step: a later row; decision [2^(L - k)] gets the lowest k bits of each group's best
 * state, k = free here (untouched when that is 0).
 */
struct rbe_trellis_ops {
    void (*start)(struct rbe_trellis *t, const struct rbe_trellis_row *r, float *scratch,
                  uint8_t *decision);
    void (*step)(struct rbe_trellis *t, const struct rbe_trellis_row *r, uint8_t *decision);
};

extern const struct rbe_trellis_ops rbe_trellis_generic, rbe_trellis_avx2, rbe_trellis_avx512;

/* The fastest this CPU runs. */
const struct rbe_trellis_ops *rbe_trellis_best(uint32_t isa);

#endif

/*
 * seed_map.h - from windows to weights, in vectors: the map of `seed`, of `seed4` where
 * MAP_SEED4 is 1, or of `seedg` where MAP_SEEDG is.
 *
 * SPDX-License-Identifier: MIT
 *
 * With BYTE_WEIGHTS a weight is left as two bytes, which the dot product adds; the ISA's seed
 * header defines nibble_bytes(h), whose two bytes are the sums of those nibbles that stand in
 * each byte of h.
 */
#ifndef RBE_KERNELS_BODY_SEED_MAP_H
#define RBE_KERNELS_BODY_SEED_MAP_H

#include "kernels/format/seed.h"

#ifndef MAP_SEEDG
#define MAP_SEEDG 0
#endif
#if MAP_SEEDG
#include "kernels/format/seedg.h"
#endif

enum {
    OFFSET = MAP_SEED4 ? 30 : 0,        /* weights are g + OFFSET */
    ROW_TERM = MAP_SEED4,               /* they depend on the row and not on the window alone */
};

/* What one row needs. */
struct row_const {
    struct shifts shifts;
#if MAP_SEED4
    u16x term;
#endif
};

/* For row i of a strip, whose windows start at bit `shift` of a word. */
static inline void set_row(struct row_const *k, unsigned shift, unsigned i)
{
    k->shifts = shifts_of(shift);
#if MAP_SEED4
    k->term = u16_set((uint16_t)(i * RBE_SEED4_STEP));
#else
    (void)i;
#endif
}

/* The integer weights g, plus OFFSET; with BYTE_WEIGHTS, two bytes whose sum that is. */
static inline u16x map(u16x u, const struct row_const *k)
{
#if MAP_SEED4
    const u16x h = u16_add(u16_mul(u, u16_set(RBE_SEED4_MULTIPLIER)), k->term);
#ifdef BYTE_WEIGHTS
    return nibble_bytes(h);
#else
    return u16_nibbles(h, u16_factor(1));
#endif
#elif MAP_SEEDG
    const u16x h = u16_mul_round(u, u16_set(RBE_SEEDG_MULTIPLIER));
    const u16x g = u16_entries(u16_table(rbe_seedg_base), h);
    (void)k;
#ifdef BYTE_WEIGHTS
    return g;
#else
    return u16_bytes(g, u16_factor(1));
#endif
#else
    const u16x h = u16_mul(u, u16_set(RBE_SEED_MULTIPLIER));
    (void)k;
#ifdef BYTE_WEIGHTS
    return h;
#else
    return u16_bytes(h, u16_factor(1));
#endif
#endif
}

#endif

/*
 * seed_search.h - the best seeds for one column of weights.
 *
 * SPDX-License-Identifier: MIT
 *
 * A Viterbi search down the rows (kernels/trellis.h).  Its memory does not grow with the
 * rows: of RBE_SEED_DEPTH decisions the oldest quarter becomes final whenever they are full.
 * Paths of a white source have all merged some 200 rows back at 14 bits, later at 16.
 *
 * A column is a ring of bits (kernels/format/seed.h).  It is searched in spans of strips
 * whose joints are fixed beforehand: the 16 bits at the joint are those of the best path
 * through the rows around it.
 */
#ifndef RBE_RBE_SEED_SEARCH_H
#define RBE_RBE_SEED_SEARCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/kernel.h"
#include "kernels/trellis.h"

enum { RBE_SEED_DEPTH = 2048, RBE_SEED_ANY = -1 };

struct rbe_seed_search;

/* Standard deviation of the outputs of a format of seeds: RBE_SEED, RBE_SEED4, RBE_SEEDG. */
float rbe_seed_sigma(enum rbe_format format);

/*
 * format: one of seeds; block 16..4096; bits: newest bits of the window that are
 * searched, 8..16 (raised where a row brings so many that a trellis takes more).  ops: NULL:
 * the widest that rbe_cpu_isa() allows.  One for each thread.
 */
enum rbe_status rbe_seed_search_open(struct rbe_seed_search **out, enum rbe_format format,
                                     unsigned block, unsigned bits,
                                     const struct rbe_trellis *ops, struct rbe_diag *d);
void rbe_seed_search_close(struct rbe_seed_search **s);

/* Bytes that open allocates for these arguments, at most. */
size_t rbe_seed_search_bytes(unsigned block, unsigned bits);

/* Consecutive rows of a column. */
struct rbe_seed_span {
    const float *target;        /* [count], what the outputs g shall come near */
    const float *weight;        /* [count], cost of (target - g)^2; NULL: all ones */
    size_t first, count;        /* rows first .. first + count - 1 of the column */
    size_t turn;                /* this row and later ones are 0, 1, ... of the ring's next
                                 * turn, which begins at bit turn_bit; 0: no such row */
    size_t turn_bit;            /* 0 without */
    size_t end;                 /* bits of the column from here on are not the span's */
    int start;                  /* window of the first row, or RBE_SEED_ANY */
    int tail;                   /* the 16 bits at `end`, or RBE_SEED_ANY: chosen freely */
};

/* Writes the span's strips [8 words each], from the one that holds `first` to `end`.  Bits
 * that no row reads are 0. */
void rbe_seed_search_run(struct rbe_seed_search *s, const struct rbe_seed_span *p,
                         uint16_t *words);

/*
 * The 16 bits to fix at a joint: those with which strip `strip` of a column of `rows` rows
 * begins, 0 for the joint of the ring.  target and weight as in a span, of the whole column.
 */
uint16_t rbe_seed_search_join(struct rbe_seed_search *s, const float *target,
                              const float *weight, size_t rows, size_t strip);

/* Outputs g [rows] of a whole column, words [rbe_seed_column_words()]. */
void rbe_seed_decode_column(enum rbe_format format, unsigned block, const uint16_t *words,
                            size_t rows, int16_t *g);

#endif

/*
 * data.h - encoded matrices to measure on: views into one arena of random codes.
 *
 * SPDX-License-Identifier: MIT
 *
 * Speed does not depend on what the codes decode to, so no encoder is needed.  Cold matrices
 * are cut one after the other out of an arena larger than the last-level cache and start
 * over at its end; hot ones are always the same place.
 */
#ifndef RBE_BENCH_DATA_H
#define RBE_BENCH_DATA_H

#include "base/status.h"
#include "kernels/kernel.h"

struct rbe_data;

/* cold_bytes: what is read before a place is read again. */
enum rbe_status rbe_data_open(struct rbe_data **out, size_t cold_bytes, struct rbe_diag *d);
void rbe_data_close(struct rbe_data **d);

size_t rbe_data_cold_bytes(const struct rbe_data *d);

/* Where the next matrix begins, one for each arena; start with zeros. */
struct rbe_cursor {
    size_t codes, scales;
};

/*
 * Fills w in with the next matrix of this shape, from c on; moves c unless !cold.  The arena
 * of a kind of codes is made when it is first asked for.  RBE_ERR_ARG: the format has no
 * such shape.
 */
enum rbe_status rbe_data_next(struct rbe_data *data, struct rbe_cursor *c, bool cold,
                              enum rbe_format f, uint32_t rows, uint32_t cols, uint32_t block,
                              uint32_t aux, struct rbe_matrix *w, struct rbe_diag *d);

/* The same for a matrix that _next() has made before: cannot fail, allocates nothing. */
void rbe_data_move(struct rbe_data *data, struct rbe_cursor *c, bool cold,
                   const struct rbe_matrix_size *size, struct rbe_matrix *w);

/* Share of the arena in huge pages, from the system; -1 when it does not say. */
double rbe_data_huge_share(const struct rbe_data *d);

#endif

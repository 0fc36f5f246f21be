/*
 * feedback.h - error feedback from input column to input column, and down a column.
 *
 * SPDX-License-Identifier: MIT
 *
 * The cost of an error E [rows][cols] of a layer's weights is tr(E H E^T), H the second
 * moment of its inputs.  With H^-1 = U^T U, U upper triangular, rounding column after column
 * and taking E_n U[n][k] / U[n][n] off every later column k makes each later column repair
 * what it can of the errors before it (Frantar et al. 2022, "GPTQ"; Chee et al. 2023, "QuIP",
 * call it LDLQ).  H gets a damping on its diagonal first.  Rows do not touch one another.
 *
 * Where errors of different rows have a common cost, tr(G E H E^T) with G of the outputs, that
 * is, column after column, a multiple of n^T G n, n the column's error.  Rows are cut into
 * chunks, and each chunk repairs what it can of the errors of those before it: G = A^T S A, A
 * unit lower triangular by chunks, S of one block for each chunk, and the targets of chunk b
 * move by the sum over earlier c of A[b][c] n[c].  Within a chunk the diagonal of S is taken
 * for the whole: what an error of one row costs (Tseng et al. 2025, "YAQA", round so by both
 * sides).
 */
#ifndef RBE_RBE_FEEDBACK_H
#define RBE_RBE_FEEDBACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"

struct rbe_feedback;

/* moment [n][n]; damping: of the mean of its diagonal, 0: 0.01.  Columns are taken in the
 * order of falling diagonal.  pool may be NULL; the bits do not depend on it.
 * RBE_ERR_NUMERIC: not positive definite even so. */
enum rbe_status rbe_feedback_open(struct rbe_feedback **out, const float *moment, size_t n,
                                  size_t rows, float damping, struct rbe_pool *pool,
                                  struct rbe_diag *d);
/* Bytes that open takes, at its height. */
size_t rbe_feedback_bytes(size_t n, size_t rows);
void rbe_feedback_close(struct rbe_feedback **f);

/* root [n][n], lower: with the damping as above, moment^-1 = root^T root.  Likewise. */
enum rbe_status rbe_inverse_root(float *root, const float *moment, size_t n, float damping,
                                 struct rbe_pool *pool, struct rbe_diag *d);
/* Bytes that takes. */
size_t rbe_inverse_root_bytes(size_t n);

/* Which column is the i-th. */
size_t rbe_feedback_column(const struct rbe_feedback *f, size_t i);

/*
 * Before the i-th column is rounded: brings w's column up to date, w [n][rows], rows first to
 * end.  After: its error, w - step * g.  Both are to be called for every i in turn, and rows
 * may be given in pieces, by several threads.
 */
void rbe_feedback_before(const struct rbe_feedback *f, size_t i, float *w, size_t rows,
                         size_t first, size_t end);
void rbe_feedback_after(struct rbe_feedback *f, size_t i, float *w, const int16_t *g,
                        float step, size_t rows, size_t first, size_t end);

struct rbe_row_feedback;

/*
 * metric [rows][ld], the upper left part of a matrix with longer rows: G in units of the
 * weights; scale [rows]: an error of 1 is one of so much of the weight; of rows of scale 0
 * nothing is passed on or taken over.  cost [rows], out: what an error of 1 costs.  chunk: rows
 * of each but the last, which may have half as many more, or down to half of them.
 * RBE_ERR_NUMERIC: not positive definite.
 */
enum rbe_status rbe_row_feedback_open(struct rbe_row_feedback **out, const float *metric,
                                      size_t ld, const float *scale, size_t rows, size_t chunk,
                                      float *cost, struct rbe_pool *pool, struct rbe_diag *d);
/* Bytes that open takes, at its height. */
size_t rbe_row_feedback_bytes(size_t rows);
void rbe_row_feedback_close(struct rbe_row_feedback **f);

/* Where chunk i begins; `rows` for the one past the last. */
size_t rbe_row_feedback_chunk(const struct rbe_row_feedback *f, size_t i);

/* Takes the errors error[first..end - 1] of a whole chunk over into the targets of later
 * chunks, both in the unit of `scale`.  error: of what was wanted first, not of targets. */
void rbe_row_feedback_pass(const struct rbe_row_feedback *f, size_t first, size_t end,
                           const float *error, float *target);

#endif

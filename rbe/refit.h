/*
 * refit.h - row and column scales of least error for codes already found.
 *
 * SPDX-License-Identifier: MIT
 *
 * With w about row[m] * col[n] * g[n][m], rows and columns are fitted by turns, each by least
 * squares of what the search minimised: sum over m of importance[m] * e_m H e_m^T, e_m the
 * error of row m.  A row's best scale is a quotient; the columns' are the solution of one
 * linear system, which H couples.
 */
#ifndef RBE_RBE_REFIT_H
#define RBE_RBE_REFIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"

struct rbe_refit {
    size_t rows, cols;
    const float *w;             /* [rows][cols] */
    const int16_t *g;           /* [cols][rows] */
    const float *moment;        /* [cols][cols], H, symmetric; NULL: the identity */
    const float *importance;    /* [rows], positive; NULL: ones */
    float *scratch;             /* [rows][cols], overwritten; may be NULL without a moment */
    float *row, *col;           /* [rows], [cols]: in and out; 0: of zeros, stays 0 */
    float col_unit;             /* columns are stored as f16 of col * col_unit; 0: they stay */
};

/*
 * Scales that cannot be fitted (of codes that are all zero; that would turn negative) stay as
 * they are.  Columns come out as they will be read from f16, and rows fitted to those.  The
 * result does not depend on the number of threads; pool may be NULL.
 */
enum rbe_status rbe_refit_scales(const struct rbe_refit *f, struct rbe_pool *pool,
                                 struct rbe_diag *d);

#endif

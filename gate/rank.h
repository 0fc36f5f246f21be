/*
 * rank.h - rank tests: they ask nothing of how times are distributed.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_GATE_RANK_H
#define RBE_GATE_RANK_H

#include <stddef.h>

/*
 * Mann-Whitney: two-sided p that a [n] and b [m] come from one distribution.  Exact when
 * there are no ties and n, m <= 25, else the normal approximation with corrections for ties
 * and continuity.  NaN when a side is empty or memory is out.
 */
double rbe_mann_whitney(const double *a, size_t n, const double *b, size_t m);

/*
 * Wilcoxon's signed ranks W of n values symmetric around 0: the number of sums w, counted from
 * 0 up, that are in the lower tail: the largest c with P(W < c) <= alpha.  0: no sum is rare
 * enough.  Exact for n <= 250, above by the normal approximation.
 */
size_t rbe_signed_rank_tail(size_t n, double alpha);

/*
 * The centre of x [n], assumed symmetric around it: the Hodges-Lehmann estimate (median of
 * the means of all pairs), and an interval that excludes the true centre on the low side
 * with probability <= alpha_low, on the high side with <= alpha_high; an end is infinite
 * when n is too small for it.  NaN when n is 0 or memory is out.
 */
struct rbe_centre {
    double value, low, high;
};
struct rbe_centre rbe_signed_rank_centre(const double *x, size_t n, double alpha_low,
                                         double alpha_high);

#endif

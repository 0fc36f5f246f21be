/*
 * stats.h - robust statistics of a few samples.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BENCH_STATS_H
#define RBE_BENCH_STATS_H

#include <stddef.h>

/* All sort v [n] in place.  n == 0 gives NaN. */

/* The middle sample, or the mean of the two middle ones. */
double rbe_median(double *v, size_t n);

/* The median of |v - median(v)|: not scaled to a standard deviation. */
double rbe_mad(double *v, size_t n);

/* Linear between the order statistics, q in [0, 1]. */
double rbe_quantile(double *v, size_t n, double q);

#endif

/*
 * stats.h - means over windows, their errors, bootstrap intervals, percentiles.
 *
 * SPDX-License-Identifier: MIT
 *
 * Tokens of one window are correlated, so every error here is over windows (or turns,
 * items), never over tokens.  Sums run in index order: the same samples give the same bits.
 */
#ifndef RBE_BASE_STATS_H
#define RBE_BASE_STATS_H

#include <stddef.h>
#include <stdint.h>

enum { RBE_BOOTSTRAP = 2000 };          /* resamples, unless asked otherwise */
#define RBE_BOOTSTRAP_SEED 20250131u

/* sum(num) / sum(den) and its standard error over the n samples (ratio estimator with
 * n / (n - 1); NaN for n < 2). */
struct rbe_ratio {
    double value, se;
};
struct rbe_ratio rbe_ratio_of_sums(const double *num, const double *den, size_t n);

/* The same with den all ones: a mean and its standard error. */
struct rbe_ratio rbe_mean_se(const double *x, size_t n);

struct rbe_interval {
    double low, high;           /* NaN when there are fewer than two samples */
};

/*
 * 95 % percentile interval of stat over `resamples` draws of n sample indices with
 * replacement; seeded.  stat(arg, index, n) sees the drawn indices.
 */
typedef double rbe_stat_fn(const void *arg, const uint32_t *index, size_t n);
struct rbe_interval rbe_bootstrap(rbe_stat_fn *stat, const void *arg, size_t n,
                                  unsigned resamples, uint64_t seed);

/* The interval of sum(num)/sum(den). */
struct rbe_interval rbe_bootstrap_ratio(const double *num, const double *den, size_t n,
                                        unsigned resamples, uint64_t seed);

/* Sorts ascending, NaN last. */
void rbe_sort(double *x, size_t n);
/* q-quantile (0..1) of sorted x by linear interpolation between order statistics (the
 * definition of numpy's default); NaN when n is 0. */
double rbe_quantile(const double *sorted, size_t n, double q);
/* The same, or NaN when fewer than one sample is expected beyond q: a p99 needs 100. */
double rbe_percentile_if_enough(const double *sorted, size_t n, double q);
double rbe_median(const double *sorted, size_t n);
/* Median of |x - median|; needs scratch of n doubles. */
double rbe_mad(const double *sorted, size_t n, double *scratch);

/* splitmix64: one step of a seeded sequence. */
uint64_t rbe_random_next(uint64_t *state);
/* Uniform in 0..n-1. */
uint32_t rbe_random_below(uint64_t *state, uint32_t n);

#endif

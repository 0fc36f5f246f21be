/*
 * stats.c - means over windows, their errors, bootstrap intervals, percentiles.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/stats.h"

#include <math.h>
#include <stdlib.h>

#include "base/status.h"

uint64_t rbe_random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

uint32_t rbe_random_below(uint64_t *state, uint32_t n)
{
    /* The bias of the multiply is below n / 2^32: nothing for a bootstrap. */
    return (uint32_t)((rbe_random_next(state) >> 32) * n >> 32);
}

struct rbe_ratio rbe_ratio_of_sums(const double *num, const double *den, size_t n)
{
    struct rbe_ratio r = {NAN, NAN};
    double sn = 0, sd = 0, s2 = 0;

    for (size_t i = 0; i < n; i++) {
        sn += num[i];
        sd += den[i];
    }
    if (!(sd > 0))
        return r;
    r.value = sn / sd;
    for (size_t i = 0; i < n; i++) {
        const double e = num[i] - r.value * den[i];
        s2 += e * e;
    }
    if (n > 1)
        r.se = sqrt(s2 * (double)n / (double)(n - 1)) / sd;
    return r;
}

struct rbe_ratio rbe_mean_se(const double *x, size_t n)
{
    struct rbe_ratio r = {NAN, NAN};
    double s = 0, s2 = 0;

    if (!n)
        return r;
    for (size_t i = 0; i < n; i++)
        s += x[i];
    r.value = s / (double)n;
    for (size_t i = 0; i < n; i++)
        s2 += (x[i] - r.value) * (x[i] - r.value);
    if (n > 1)
        r.se = sqrt(s2 / (double)(n - 1) / (double)n);
    return r;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

void rbe_sort(double *x, size_t n)
{
    if (n)
        qsort(x, n, sizeof *x, compare);
}

double rbe_quantile(const double *sorted, size_t n, double q)
{
    if (!n)
        return NAN;
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;

    if (i + 1 >= n)
        return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

double rbe_percentile_if_enough(const double *sorted, size_t n, double q)
{
    /* A hair of slack: (1 - 0.99) * 100 is a little below 1 in doubles. */
    return (1 - q) * (double)n >= 1 - 1e-9 ? rbe_quantile(sorted, n, q) : NAN;
}

double rbe_median(const double *sorted, size_t n)
{
    return rbe_quantile(sorted, n, 0.5);
}

double rbe_mad(const double *sorted, size_t n, double *scratch)
{
    const double m = rbe_median(sorted, n);

    for (size_t i = 0; i < n; i++)
        scratch[i] = fabs(sorted[i] - m);
    rbe_sort(scratch, n);
    return rbe_median(scratch, n);
}

struct rbe_interval rbe_bootstrap(rbe_stat_fn *stat, const void *arg, size_t n,
                                  unsigned resamples, uint64_t seed)
{
    struct rbe_interval r = {NAN, NAN};
    uint32_t *index = n > 1 && resamples ? calloc(n, sizeof *index) : NULL;
    double *value = index ? calloc(resamples, sizeof *value) : NULL;

    if (value) {
        for (unsigned b = 0; b < resamples; b++) {
            for (size_t i = 0; i < n; i++)
                index[i] = rbe_random_below(&seed, (uint32_t)n);
            value[b] = stat(arg, index, n);
        }
        rbe_sort(value, resamples);
        r.low = rbe_quantile(value, resamples, 0.025);
        r.high = rbe_quantile(value, resamples, 0.975);
    }
    if (!value && n > 1 && resamples)
        rbe_shortage_note();
    free(value);
    free(index);
    return r;
}

struct two_columns {
    const double *num, *den;
};

static double ratio_stat(const void *arg, const uint32_t *index, size_t n)
{
    const struct two_columns *c = arg;
    double num = 0, den = 0;

    for (size_t i = 0; i < n; i++) {
        num += c->num[index[i]];
        den += c->den[index[i]];
    }
    return num / den;
}

struct rbe_interval rbe_bootstrap_ratio(const double *num, const double *den, size_t n,
                                        unsigned resamples, uint64_t seed)
{
    const struct two_columns c = {num, den};

    return rbe_bootstrap(ratio_stat, &c, n, resamples, seed);
}

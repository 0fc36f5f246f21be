/*
 * stats.c - robust statistics of a few samples.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/stats.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double rbe_quantile(double *v, size_t n, double q)
{
    if (!n)
        return NAN;
    qsort(v, n, sizeof *v, ascending);
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    if (i + 1 >= n)
        return v[n - 1];
    return v[i] + (at - (double)i) * (v[i + 1] - v[i]);
}

double rbe_median(double *v, size_t n)
{
    return rbe_quantile(v, n, 0.5);
}

double rbe_mad(double *v, size_t n)
{
    const double m = rbe_median(v, n);

    for (size_t i = 0; i < n; i++)
        v[i] = fabs(v[i] - m);
    return rbe_median(v, n);
}

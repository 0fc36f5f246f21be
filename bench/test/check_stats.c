/*
 * check_stats.c - median, median absolute deviation and quantiles against values by hand.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>

#include "bench/stats.h"
#include "kernels/test/check.h"

int main(void)
{
    /* Sorted: 1 1 2 2 4 6 9.  Median 2; deviations 1 1 0 0 2 4 7, sorted 0 0 1 1 2 4 7. */
    double a[] = {1, 1, 2, 2, 4, 6, 9}, b[] = {9, 2, 1, 6, 4, 1, 2};
    CHECK_NEAR(rbe_median(b, 7), 2, 0);
    CHECK_NEAR(rbe_mad(a, 7), 1, 0);

    /* Even count: median (3 + 5) / 2 = 4; deviations 3 1 1 4, sorted 1 1 3 4: 2. */
    double c[] = {5, 1, 8, 3}, d[] = {5, 1, 8, 3};
    CHECK_NEAR(rbe_median(c, 4), 4, 0);
    CHECK_NEAR(rbe_mad(d, 4), 2, 0);

    double one[] = {7};
    CHECK_NEAR(rbe_median(one, 1), 7, 0);
    CHECK_NEAR(rbe_mad(one, 1), 0, 0);
    CHECK(isnan(rbe_median(one, 0)));
    CHECK(isnan(rbe_mad(one, 0)));

    /* One wild sample in nine moves neither. */
    double e[] = {10, 11, 10, 11, 10, 11, 10, 1e9, 10}, f[9];
    for (int i = 0; i < 9; i++)
        f[i] = e[i];
    CHECK_NEAR(rbe_median(e, 9), 10, 0);
    CHECK_NEAR(rbe_mad(f, 9), 0, 0);

    double q[] = {40, 10, 30, 20, 50};
    CHECK_NEAR(rbe_quantile(q, 5, 0), 10, 0);
    CHECK_NEAR(rbe_quantile(q, 5, 1), 50, 0);
    CHECK_NEAR(rbe_quantile(q, 5, 0.25), 20, 0);
    CHECK_NEAR(rbe_quantile(q, 5, 0.9), 46, 1e-12);
    return check_done();
}

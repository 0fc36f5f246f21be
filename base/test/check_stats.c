/*
 * check_stats.c - means, errors and quantiles against values worked out by hand.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>

#include "base/stats.h"
#include "kernels/test/check.h"

static void check_means(void)
{
    /* Windows of 2, 2 and 4 tokens with sums 2, 4 and 10: mean 16/8 = 2; deviations
     * 2-4 = -2, 4-4 = 0, 10-8 = 2; variance of the ratio 3/2 * 8 / 64 = 0.1875. */
    const double num[] = {2, 4, 10}, den[] = {2, 2, 4};
    struct rbe_ratio r = rbe_ratio_of_sums(num, den, 3);
    CHECK_NEAR(r.value, 2, 1e-15);
    CHECK_NEAR(r.se, sqrt(0.1875), 1e-15);
    CHECK(isnan(rbe_ratio_of_sums(num, den, 1).se));
    CHECK(isnan(rbe_ratio_of_sums(num, den, 0).value));
    /* 1, 2, 3, 4: mean 2.5, variance 5/3, standard error sqrt(5/12). */
    const double x[] = {1, 2, 3, 4};
    r = rbe_mean_se(x, 4);
    CHECK_NEAR(r.value, 2.5, 1e-15);
    CHECK_NEAR(r.se, sqrt(5.0 / 12), 1e-15);
    double y[] = {4, 1, NAN, 3, 2}, scratch[4];
    rbe_sort(y, 5);
    CHECK(y[0] == 1 && y[3] == 4 && isnan(y[4]));
    CHECK_NEAR(rbe_median(y, 4), 2.5, 1e-15);
    CHECK_NEAR(rbe_quantile(y, 4, 0.9), 3.7, 1e-12);
    CHECK_NEAR(rbe_quantile(y, 4, 1), 4, 0);
    CHECK_NEAR(rbe_mad(y, 4, scratch), 1, 1e-15);       /* |..| = 1.5 .5 .5 1.5 */
    CHECK(isnan(rbe_quantile(y, 0, 0.5)));
    double many[100];
    for (int i = 0; i < 100; i++)
        many[i] = i;
    CHECK(isnan(rbe_percentile_if_enough(many, 99, 0.99)));
    CHECK_NEAR(rbe_percentile_if_enough(many, 100, 0.99), 98.01, 1e-9);
}

static void check_order_statistics(void)
{
    /* Sorted: 1 1 2 2 4 6 9.  Median 2; deviations 1 1 0 0 2 4 7, sorted 0 0 1 1 2 4 7. */
    double a[] = {9, 2, 1, 6, 4, 1, 2}, scratch[9];
    rbe_sort(a, 7);
    CHECK_NEAR(rbe_median(a, 7), 2, 0);
    CHECK_NEAR(rbe_mad(a, 7, scratch), 1, 0);

    /* Even count: median (3 + 5) / 2 = 4; deviations 3 1 1 4, sorted 1 1 3 4: 2. */
    double b[] = {5, 1, 8, 3};
    rbe_sort(b, 4);
    CHECK_NEAR(rbe_median(b, 4), 4, 0);
    CHECK_NEAR(rbe_mad(b, 4, scratch), 2, 0);

    const double one[] = {7};
    CHECK_NEAR(rbe_median(one, 1), 7, 0);
    CHECK_NEAR(rbe_mad(one, 1, scratch), 0, 0);
    CHECK(isnan(rbe_median(one, 0)));
    CHECK(isnan(rbe_mad(one, 0, scratch)));

    /* One wild sample in nine moves neither. */
    double c[] = {10, 11, 10, 11, 10, 11, 10, 1e9, 10};
    rbe_sort(c, 9);
    CHECK_NEAR(rbe_median(c, 9), 10, 0);
    CHECK_NEAR(rbe_mad(c, 9, scratch), 0, 0);

    double q[] = {40, 10, 30, 20, 50};
    rbe_sort(q, 5);
    CHECK_NEAR(rbe_quantile(q, 5, 0), 10, 0);
    CHECK_NEAR(rbe_quantile(q, 5, 1), 50, 0);
    CHECK_NEAR(rbe_quantile(q, 5, 0.25), 20, 0);
    CHECK_NEAR(rbe_quantile(q, 5, 0.9), 46, 1e-12);
}

static double mean_of(const void *arg, const uint32_t *index, size_t n)
{
    const double *x = arg;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[index[i]];
    return sum / (double)n;
}

/* Rows say the seed: the same draws of it, whoever asks. */
static void check_seeds(void)
{
    const double x[] = {3, 1, 4, 1, 5, 9, 2, 6}, one[] = {1, 1, 1, 1, 1, 1, 1, 1};

    for (uint64_t seed = 1; seed < 4; seed++) {
        const struct rbe_interval a = rbe_bootstrap_ratio(x, one, 8, 50, seed);
        const struct rbe_interval b = rbe_bootstrap(mean_of, x, 8, 50, seed);
        CHECK(a.low == b.low && a.high == b.high && a.low < a.high);
    }
    /* The first draw of seed 1 as splitmix64 makes it. */
    uint64_t state = 1;
    CHECK(rbe_random_next(&state) == 0x910A2DEC89025CC1u);
}

static void check_bootstrap(struct check_rng *rng)
{
    /* The interval of a mean of 400 uniform values in [-1, 1): half-width about
     * 1.96 * sqrt(1/3/400) = 0.0566; symmetric about the mean; the same again. */
    double x[400], one[400];
    for (int i = 0; i < 400; i++) {
        x[i] = (double)check_unit(rng);
        one[i] = 1;
    }
    const double mean = rbe_mean_se(x, 400).value;
    const struct rbe_interval a = rbe_bootstrap_ratio(x, one, 400, 2000, 1);
    const struct rbe_interval b = rbe_bootstrap_ratio(x, one, 400, 2000, 1);
    CHECK(a.low == b.low && a.high == b.high);
    CHECK(a.low < mean && mean < a.high);
    CHECK_NEAR((a.high - a.low) / 2, 0.0566, 0.009);
    CHECK(isnan(rbe_bootstrap_ratio(x, one, 1, 2000, 1).low));
    /* Constant samples: no width. */
    const struct rbe_interval c = rbe_bootstrap_ratio(one, one, 50, 100, 1);
    CHECK(c.low == 1 && c.high == 1);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);

    check_means();
    check_order_statistics();
    check_seeds();
    check_bootstrap(&rng);
    return check_done();
}

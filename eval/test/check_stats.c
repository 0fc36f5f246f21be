/*
 * check_stats.c - means, errors, quantiles and softmax against values worked out by hand.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>

#include "eval/softmax.h"
#include "eval/stats.h"
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

static double exact_lse(const float *x, size_t n)
{
    double max = (double)x[0], s = 0;

    for (size_t i = 0; i < n; i++)
        max = fmax(max, (double)x[i]);
    for (size_t i = 0; i < n; i++)
        s += exp((double)x[i] - max);
    return max + log(s);
}

static void check_softmax(struct check_rng *rng)
{
    static const size_t sizes[] = {1, 3, 4, 5, 63, 64, 65, 1000, 8192};
    static float p[8192], q[8192];

    /* p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): KL = 1/2 ln 2 - 1/4 ln 2 = ln(2)/4. */
    const float a[] = {logf(2), 0, 0}, b[] = {0, 0, logf(2)};
    const double la = rbe_log_sum_exp(a, 3), lb = rbe_log_sum_exp(b, 3);
    CHECK_NEAR(la, log(4), 3e-7);
    CHECK_NEAR(rbe_kl_divergence(a, la, b, lb, 3), log(2) / 4, 1e-6);
    CHECK(rbe_argmax(a, 3) == 0 && rbe_argmax(b, 3) == 2);
    CHECK(rbe_kl_divergence(a, la, a, la, 3) == 0);
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        const size_t n = sizes[k];
        for (size_t i = 0; i < n; i++) {
            p[i] = 12 * check_unit(rng) - 40;
            q[i] = p[i] + check_unit(rng);
        }
        const double want = exact_lse(p, n), lq = exact_lse(q, n);
        double kl = 0;
        CHECK_NEAR(rbe_log_sum_exp(p, n), want, 1e-6);
        for (size_t i = 0; i < n; i++) {
            const double lp = (double)p[i] - want;
            kl += exp(lp) * (lp - ((double)q[i] - lq));
        }
        CHECK_NEAR(rbe_kl_divergence(p, rbe_log_sum_exp(p, n), q, rbe_log_sum_exp(q, n), n),
                   kl, 2e-6);
        CHECK(rbe_kl_divergence(p, want, p, want, n) < 1e-7);
        size_t top = 0;
        for (size_t i = 1; i < n; i++)
            if (p[i] > p[top])
                top = i;
        CHECK(rbe_argmax(p, n) == top);
    }
    /* Far apart: exp underflows, the sum is the one large value. */
    const float far[] = {0, -200, -1000, -90, 100, -3};
    CHECK_NEAR(rbe_log_sum_exp(far, 6), 100, 1e-9);
    const float bad[] = {0, 1, NAN, 2, 3};
    CHECK(isnan(rbe_log_sum_exp(bad, 5)));
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);

    check_means();
    check_bootstrap(&rng);
    check_softmax(&rng);
    return check_done();
}

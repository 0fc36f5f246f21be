/*
 * check_softmax.c - log-probabilities and divergence against double precision.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>

#include "eval/softmax.h"
#include "kernels/test/check.h"

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
        double shared = 0;
        for (size_t i = 0; i < n; i++)
            shared += fmin(exp((double)p[i] - want), exp((double)q[i] - lq));
        CHECK_NEAR(rbe_shared_mass(p, want, q, lq, n), shared, 2e-6);
        CHECK(rbe_shared_mass(p, want, p, want, n) == 1);
        uint32_t most[5];
        const size_t count = n < 5 ? n : 5;
        rbe_largest(most, count, p, n);
        for (size_t c = 0; c < count; c++) {
            size_t larger = 0;
            for (size_t i = 0; i < n; i++)
                larger += p[i] > p[most[c]] || (p[i] == p[most[c]] && i < most[c]);
            CHECK(larger == c);
        }
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

    check_softmax(&rng);
    return check_done();
}

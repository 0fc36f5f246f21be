/*
 * check_compare.c - rank tests against tables, intervals and the gate's rule by simulation.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "gate/compare.h"
#include "gate/gate.h"
#include "gate/rank.h"
#include "kernels/test/check.h"

static void check_mann_whitney(void)
{
    /* Fully apart: 2 of the C(6,3) = 20, C(8,4) = 70, C(8,3) = 56 orders are as extreme. */
    const double low[] = {1, 2, 3, 4}, high[] = {11, 12, 13, 14, 15};
    CHECK_NEAR(rbe_mann_whitney(low, 3, high, 3), 0.1, 1e-12);
    CHECK_NEAR(rbe_mann_whitney(low, 4, high, 4), 2.0 / 70, 1e-12);
    CHECK_NEAR(rbe_mann_whitney(high, 5, low, 3), 2.0 / 56, 1e-12);
    /* n = m = 5: U = 2, the critical value at 5 %: 1 + 1 + 2 of 252 orders a side; U = 3: 7. */
    const double a[] = {1, 2, 3, 4, 7}, b[] = {5, 6, 8, 9, 10}, c[] = {1, 2, 3, 4, 8};
    const double e[] = {5, 6, 7, 9, 10};
    CHECK_NEAR(rbe_mann_whitney(a, 5, b, 5), 8.0 / 252, 1e-12);
    CHECK_NEAR(rbe_mann_whitney(c, 5, e, 5), 14.0 / 252, 1e-12);
    CHECK_NEAR(rbe_mann_whitney(b, 5, a, 5), 8.0 / 252, 1e-12);
    /* Ties: U = 3, mean 8, variance 16/12 (9 - 48/56), z = 4.5 / 3.295: 0.172005. */
    const double t[] = {1, 2, 2, 3}, u[] = {2, 3, 3, 4}, same[] = {5, 5, 5};
    CHECK_NEAR(rbe_mann_whitney(t, 4, u, 4), 0.1720, 5e-5);
    CHECK(rbe_mann_whitney(same, 3, same, 3) == 1);
    CHECK(isnan(rbe_mann_whitney(t, 4, u, 0)));
    /* Exact and normal agree where both are good: U = 19 * 20 / 2 = 190 of 25 and 25, mean
     * 312.5, variance 625 * 51 / 12, z = 122 / 51.54: near 0.0179; counted by
     * another recurrence: 0.0169822. */
    double x[26], y[26];
    for (int i = 0; i < 26; i++) {
        x[i] = i;
        y[i] = i + 5.5;
    }
    CHECK_NEAR(rbe_mann_whitney(x, 25, y, 25), 0.016982216353508, 1e-12);
    /* U = 20 * 21 / 2 of 26 and 26, beyond the exact: z = 127.5 / sqrt(26 * 26 * 53 / 12) */
    CHECK_NEAR(rbe_mann_whitney(x, 26, y, 26), erfc(127.5 / sqrt(676.0 * 53 / 12) / sqrt(2)),
               1e-12);
}

static void check_signed_ranks(void)
{
    /* Critical values of W at 2.5 % a side, as tables have them: 3, 8, 52, 89. */
    CHECK(rbe_signed_rank_tail(8, 0.025) == 4);
    CHECK(rbe_signed_rank_tail(10, 0.025) == 9);
    CHECK(rbe_signed_rank_tail(20, 0.025) == 53);
    CHECK(rbe_signed_rank_tail(25, 0.025) == 90);
    CHECK(rbe_signed_rank_tail(5, 0.025) == 0 && rbe_signed_rank_tail(5, 1.0 / 32) == 1);
    const double exact = (double)rbe_signed_rank_tail(250, 0.001);
    CHECK_NEAR((double)rbe_signed_rank_tail(251, 0.001) / exact, 1.0085, 0.004);
    /* Means of pairs of 1, 2, 4, 9: 1 1.5 2 2.5 3 4 5 5.5 6.5 9; the middle is 3.5. */
    const double x[] = {4, 1, 9, 2};
    struct rbe_centre r = rbe_signed_rank_centre(x, 4, 1.0 / 16, 2.0 / 16);
    CHECK_NEAR(r.value, 3.5, 1e-15);
    CHECK(r.low == 1 && r.high == 6.5);
    r = rbe_signed_rank_centre(x, 4, 0.01, 0.01);
    CHECK(r.low == -INFINITY && r.high == INFINITY);
    CHECK(isnan(rbe_signed_rank_centre(x, 0, 0.1, 0.1).value));
}

static double normal(struct check_rng *rng)
{
    double s = -6;

    for (int i = 0; i < 12; i++)
        s += 0.5 + (double)check_unit(rng) / 2;
    return s;
}

static void check_bootstrap(struct check_rng *rng)
{
    enum { N = 40, TRIALS = 300 };
    double a[N], b[N];
    int covered = 0;

    for (int t = 0; t < TRIALS; t++) {
        for (int i = 0; i < N; i++) {
            a[i] = exp(0.1 * normal(rng));
            b[i] = 1.25 * exp(0.1 * normal(rng));
        }
        const struct rbe_interval ci = rbe_bootstrap_medians(a, N, b, N, 400, (uint64_t)t);
        covered += ci.low <= 1.25 && 1.25 <= ci.high;
    }
    printf("bootstrap: 95 %% intervals cover the truth %d of %d times\n", covered, TRIALS);
    CHECK(covered >= 0.91 * TRIALS && covered <= 0.99 * TRIALS);
    /* Seeded: the same twice; constant samples: no width; one sample: no interval. */
    const struct rbe_interval p = rbe_bootstrap_medians(a, N, b, N, 200, 7);
    const struct rbe_interval q = rbe_bootstrap_medians(a, N, b, N, 200, 7);
    CHECK(p.low == q.low && p.high == q.high);
    const double two[] = {2, 2, 2}, three[] = {3, 3, 3, 3};
    const struct rbe_interval r = rbe_bootstrap_medians(two, 3, three, 4, 50, 1);
    CHECK(r.low == 1.5 && r.high == 1.5);
    CHECK(isnan(rbe_bootstrap_medians(two, 1, three, 4, 50, 1).low));
}

/* One decision on made-up rounds; one in twelve is far off. */
static enum rbe_gate_verdict decide(const struct rbe_gate_rule *rule, double shift, double sd,
                                    size_t *rounds, struct check_rng *rng)
{
    static double x[1024];
    unsigned look = 0;

    for (size_t n = 1;; n++) {
        const size_t at = rbe_gate_look_at(rule, look);
        const double wild = check_unit(rng) > 0.83F ? 6 : 1;
        x[n - 1] = shift + wild * sd * normal(rng);
        if (n < at)
            continue;
        const bool last = !rbe_gate_look_at(rule, ++look);
        const struct rbe_gate_figure f = rbe_gate_judge(rule, x, n, last);
        *rounds = n;
        if (f.verdict != RBE_GATE_GO_ON)
            return f.verdict;
    }
}

static unsigned share(const struct rbe_gate_rule *rule, double percent, double sd,
                      struct check_rng *rng)
{
    unsigned counts[4] = {0};
    size_t rounds, sum = 0;

    for (int t = 0; t < 200; t++) {
        counts[decide(rule, log1p(percent / 100), sd, &rounds, rng)]++;
        sum += rounds;
    }
    printf("gate: %+.1f %%, noise %.1f %%: %u regression, %u pass, %u too noisy of 200; %.0f "
           "rounds\n", percent, 100 * sd, counts[RBE_GATE_REGRESSION], counts[RBE_GATE_PASS],
           counts[RBE_GATE_NOISY], (double)sum / 200);
    return counts[RBE_GATE_REGRESSION];
}

static void check_gate(struct check_rng *rng)
{
    const struct rbe_gate_rule rule = rbe_gate_defaults(4);
    size_t last = 0, n;

    /* 2^-n <= 0.01 / (12 looks * 4 metrics) at the first look; each later, 12 in all. */
    CHECK(rbe_gate_look_at(&rule, 0) == 13);
    unsigned k = 0;
    for (; (n = rbe_gate_look_at(&rule, k)); k++) {
        CHECK(n > last);
        last = n;
    }
    CHECK(k == 12);
    CHECK_NEAR(rbe_gate_cut(&rule), 2 * log(1.03) / 3, 1e-12);
    CHECK(share(&rule, 0, 0.01, rng) == 0);
    CHECK(share(&rule, -5, 0.01, rng) == 0);
    CHECK(share(&rule, 5, 0.01, rng) == 200);
    CHECK(share(&rule, 3, 0.01, rng) >= 190);
    /* At the cut itself the first promise of the rule is put to the test: 1 in 100, and what
     * the last look decides by its estimate. */
    const double cut = 100 * expm1(rbe_gate_cut(&rule));
    CHECK(share(&rule, cut - 0.3, 0.01, rng) <= 6);
    CHECK(share(&rule, 0, 0.05, rng) <= 1);
    /* Two of 0, 1, 2, 3 rounds of one block each way: (1 + 1 - 0 - 0) / 2 in log2. */
    const double base[] = {1, 1, 4, 4, 1, 1}, fresh[] = {2, 2, 4, 4, 8, 8};
    CHECK_NEAR(rbe_gate_round(base, fresh, 3), log(2), 1e-12);
    CHECK_NEAR(rbe_gate_round(base, fresh, 1), log(2), 1e-12);
    CHECK_NEAR(rbe_gate_round(base, fresh, 2), log(2) / 2, 1e-12);
    /* Too few rounds say nothing, however clear they look. */
    const double clear[] = {0.5, 0.5, 0.5};
    CHECK(rbe_gate_judge(&rule, clear, 3, false).verdict == RBE_GATE_GO_ON);
    CHECK(rbe_gate_judge(&rule, clear, 3, true).verdict == RBE_GATE_NOISY);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);

    check_mann_whitney();
    check_signed_ranks();
    check_bootstrap(&rng);
    check_gate(&rng);
    return check_done();
}

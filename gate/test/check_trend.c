/*
 * check_trend.c - a creep is found in time, chance is not taken for one.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "gate/trend.h"
#include "kernels/test/check.h"

enum { HISTORIES = 1000, RUNS = 60, BEFORE = 30, CREEP = 10, WITHIN = 20 };

static double normal(struct check_rng *rng)
{
    const double u = (check_below(rng, 1U << 30) + 1.0) / (1U << 30);
    const double v = check_below(rng, 1U << 30) / (double)(1U << 30);

    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979 * v);
}

/* Of a run: 0.35 %; wild: one in twenty is five times off. */
static double noise(struct check_rng *rng, int wild)
{
    return 0.0035 * normal(rng) * (wild && !check_below(rng, 20) ? 5 : 1);
}

/* The history is looked at after every run: one alarm anywhere is one. */
static void check_false_alarms(struct check_rng *rng, int wild)
{
    unsigned alarms = 0;

    for (int h = 0; h < HISTORIES; h++) {
        double x[RUNS];
        struct rbe_drift d;
        size_t found = 0;
        for (size_t n = 0; n < RUNS; n++) {
            x[n] = noise(rng, wild);
            found += rbe_trend_drifts(&d, 1, x, n + 1, 0.03);
        }
        alarms += found > 0;
    }
    printf("%u of %d histories without change gave an alarm%s\n", alarms, HISTORIES,
           wild ? ", some runs wild" : "");
    CHECK(alarms < HISTORIES / 100);
}

/* 1 % a commit, ten times; no step is beyond the gate's 2 %. */
static void check_creep(struct check_rng *rng, int wild)
{
    unsigned found = 0, late = 0, misplaced = 0;

    for (int h = 0; h < 200; h++) {
        double x[BEFORE + WITHIN];
        struct rbe_drift d = {0, 0, 0};
        size_t n;
        for (n = 0; n < BEFORE + WITHIN; n++) {
            x[n] = noise(rng, wild) + (n >= BEFORE && n < BEFORE + CREEP ? log(1.01) : 0);
            if (n >= BEFORE && rbe_trend_drifts(&d, 1, x, n + 1, 0.03))
                break;
        }
        found += n < BEFORE + WITHIN;
        late += n >= BEFORE + CREEP;
        misplaced += d.first + 6 < BEFORE || d.change < 0.02;
    }
    printf("%u of 200 creeps found, %u of them after their end\n", found - late, late);
    CHECK(found >= (wild ? 186 : 194));
    CHECK(misplaced <= 20);
}

static void check_places(void)
{
    double x[40];
    struct rbe_drift d[4];

    /* Two drifts, up and down, on the quietest ground. */
    for (int i = 0; i < 40; i++)
        x[i] = (i % 2 ? 1e-3 : -1e-3) +
               (i >= 5 && i < 15 ? 0.01 : i >= 25 && i < 33 ? -0.01 : 0);
    const size_t n = rbe_trend_drifts(d, 4, x, 40, 0.03);
    CHECK(n == 2);
    CHECK(d[0].first >= 4 && d[0].first <= 6 && d[0].last >= 13 && d[0].last <= 15);
    CHECK_NEAR(d[0].change, 0.1, 0.01);
    CHECK(d[1].first >= 24 && d[1].last <= 33 && d[1].change < -0.06);
    CHECK(rbe_trend_drifts(d, 1, x, 40, 0.03) == 1);
    /* Too small to matter, however clear; too short a history; one wild run. */
    CHECK(rbe_trend_drifts(d, 4, x, 40, 0.2) == 0);
    CHECK(rbe_trend_drifts(d, 4, x + 5, RBE_TREND_LEAST - 1, 0.03) == 0);
    CHECK(isnan(rbe_trend_scatter(x, RBE_TREND_LEAST - 1)));
    for (int i = 0; i < 40; i++)
        x[i] = i % 2 ? 1e-3 : -1e-3;
    x[20] = 0.5;
    CHECK(rbe_trend_drifts(d, 4, x, 40, 0.03) == 0);
    /* Figures without noise: every step of a creep is there. */
    memset(x, 0, sizeof x);
    for (int i = 10; i < 20; i++)
        x[i] = 0.005;
    CHECK(rbe_trend_drifts(d, 4, x, 40, 0.03) == 1 && d[0].first == 10 && d[0].last == 19);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);

    check_places();
    check_creep(&rng, 0);
    check_creep(&rng, 1);
    check_false_alarms(&rng, 0);
    check_false_alarms(&rng, 1);
    return check_done();
}

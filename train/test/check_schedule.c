/*
 * check_schedule.c - learning rates against values computed by hand.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/test/check.h"
#include "train/schedule.h"

#include <math.h>

static void check_curves(void)
{
    const enum rbe_schedule c = RBE_SCHEDULE_COSINE, l = RBE_SCHEDULE_LINEAR;

    /* Four steps of warm-up: 1/4, 2/4, 3/4, 1; then nine steps, the first of them at 1. */
    for (unsigned i = 0; i < 4; i++)
        CHECK_NEAR(rbe_schedule_factor(c, i, 13, 4, 0), 0.25 * (i + 1), 0);
    CHECK_NEAR(rbe_schedule_factor(c, 4, 13, 4, 0), 1, 1e-15);
    /* Two of eight steps on: (1 + cos 45 degrees) / 2. */
    CHECK_NEAR(rbe_schedule_factor(c, 6, 13, 4, 0), 0.8535533905932737, 1e-15);
    CHECK_NEAR(rbe_schedule_factor(c, 8, 13, 4, 0), 0.5, 1e-15);
    CHECK_NEAR(rbe_schedule_factor(c, 12, 13, 4, 0), 0, 1e-15);
    CHECK_NEAR(rbe_schedule_factor(c, 8, 13, 4, 0.1), 0.55, 1e-15);
    CHECK_NEAR(rbe_schedule_factor(c, 12, 13, 4, 0.1), 0.1, 1e-15);
    CHECK_NEAR(rbe_schedule_factor(l, 6, 13, 4, 0), 0.75, 1e-15);
    CHECK_NEAR(rbe_schedule_factor(l, 12, 13, 4, 0.2), 0.2, 1e-15);
    CHECK_NEAR(rbe_schedule_factor(RBE_SCHEDULE_CONSTANT, 12, 13, 4, 0.2), 1, 0);
    /* Nothing but warm-up, one step, no warm-up. */
    CHECK_NEAR(rbe_schedule_factor(c, 0, 1, 0, 0), 1, 0);
    CHECK_NEAR(rbe_schedule_factor(c, 2, 3, 3, 0), 1, 0);
    CHECK_NEAR(rbe_schedule_factor(c, 0, 3, 0, 0), 1, 0);
    CHECK_NEAR(rbe_schedule_factor(c, 1, 3, 0, 0), 0.5, 1e-15);
}

static void check_adaptive(void)
{
    struct rbe_adaptive a = {{0}, 0};

    /* Five epochs fill the history: 60 58 56 54 52, mean 56. */
    for (unsigned i = 0; i < 5; i++)
        CHECK_NEAR(rbe_adaptive_factor(&a, 60 - 2.0 * i), 1, 0);
    /* 54.8 is below 56 * 0.98 = 54.88: better, the rate stays.  Then 58 56 54 52 54.8, mean
     * 54.96: 56.1 is above 56.0592, half the rate.  Then 56 54 52 54.8 56.1, mean 54.58:
     * 54.6 is between, a tenth more. */
    CHECK_NEAR(rbe_adaptive_factor(&a, 54.8), 1, 0);
    CHECK_NEAR(rbe_adaptive_factor(&a, 56.1), 0.5, 0);
    CHECK_NEAR(rbe_adaptive_factor(&a, 54.6), 1.1, 0);
    CHECK(a.count == RBE_ADAPTIVE_HISTORY);
    CHECK_NEAR(a.history[0], 54, 0);
    CHECK_NEAR(a.history[4], 54.6, 0);
}

int main(void)
{
    check_curves();
    check_adaptive();
    for (int s = 0; s < RBE_SCHEDULE_COUNT; s++)
        CHECK(rbe_schedule_by_name(rbe_schedule_name((enum rbe_schedule)s)) ==
              (enum rbe_schedule)s);
    CHECK(rbe_schedule_by_name("cosin") == RBE_SCHEDULE_COUNT);
    return check_done();
}

/*
 * check_progress.c - the time left, also where work was done before.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/test/check.h"
#include "rbe/progress.h"

int main(void)
{
    struct rbe_progress p;

    rbe_progress_silence();
    rbe_progress_start(&p, "test", "units", 100);
    CHECK_NEAR(rbe_progress_left(&p, 5), 0, 0);         /* nothing tells yet */
    rbe_progress_update(&p, 20, NULL);
    CHECK_NEAR(rbe_progress_left(&p, 5), 20, 1e-9);     /* 20 in 5 s */
    /* 40 units taken over from an earlier run: not a rate of 60 in 5 s. */
    rbe_progress_skip(&p, 40);
    rbe_progress_update(&p, 60, NULL);
    CHECK_NEAR(rbe_progress_left(&p, 5), 10, 1e-9);
    rbe_progress_update(&p, 100, NULL);
    CHECK_NEAR(rbe_progress_left(&p, 5), 0, 0);
    rbe_progress_end(&p);
    return check_done();
}

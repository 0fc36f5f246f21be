/*
 * trend.h - slow changes in a history of comparisons, each of which passed.
 *
 * SPDX-License-Identifier: MIT
 *
 * A history gives one log ratio (new over base) a run, each run's base being what the run
 * before measured: where nothing changes they scatter around 0, independent of each other.
 * A drift is a stretch of runs whose sum is too large for that.  How much they scatter is taken
 * from the differences of neighbours, which a drift leaves alone, and single runs are held to
 * three of it: one wild run is no drift (the gate judges steps).
 */
#ifndef RBE_GATE_TREND_H
#define RBE_GATE_TREND_H

#include <stddef.h>

struct rbe_drift {
    size_t first, last;         /* runs, from 0 */
    double change;              /* sum of their log ratios */
};

/* How many runs there must be at least. */
enum { RBE_TREND_LEAST = 12 };

/* The scatter (standard deviation) of n log ratios; NaN when n is below RBE_TREND_LEAST or
 * memory is out. */
double rbe_trend_scatter(const double *x, size_t n);

/*
 * The stretches of x [n] whose sum is beyond +-log(1 + threshold), and larger than chance gives
 * any stretch in one of 100 histories: the clearest first, none within another, at most `most`
 * of them.  Returns how many.
 */
size_t rbe_trend_drifts(struct rbe_drift *out, size_t most, const double *x, size_t n,
                        double threshold);

#endif

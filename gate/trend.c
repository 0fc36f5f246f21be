/*
 * trend.c - stretches of a history that drift.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gate/trend.h"

#include <math.h>
#include <stdlib.h>

#include "base/stats.h"

/* What is an outlier; what is no scatter, but rounding; the two numbers of limit(), by which
 * fewer than one history in 100 gives an alarm (gate/test/check_trend.c). */
static const double clip = 3, least_scatter = 2e-4, alpha = 0.02, few = 6;
/* Of the squared differences so many count, the smallest; of normal ones their mean is then
 * this share of the variance. */
static const double kept = 0.75, kept_variance = 0.3684;

double rbe_trend_scatter(const double *x, size_t n)
{
    double *d = n >= RBE_TREND_LEAST ? malloc(n * sizeof *d) : NULL;

    if (!d)
        return NAN;
    /* Neighbours share what drifts: it is not in their difference. */
    for (size_t i = 0; i + 1 < n; i++)
        d[i] = (x[i + 1] - x[i]) * (x[i + 1] - x[i]) / 2;
    rbe_sort(d, n - 1);
    const size_t count = (size_t)ceil(kept * (double)(n - 1));
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += d[i];
    const double sd = sqrt(sum / (double)count / kept_variance);
    free(d);
    return sd > least_scatter ? sd : least_scatter;
}

/* The sum over its scatter that chance gives some stretch of n runs in alpha of all histories
 * at most, by the union of all stretches; more where few runs tell the scatter. */
static double limit(size_t n)
{
    const double k = (double)n;

    return sqrt(2 * log(k * (k + 1) / 2 / alpha)) * (1 + few / k);
}

struct search {
    const double *x;
    double scatter, least, change;      /* least: score; change: log */
};

static double clipped(const struct search *s, size_t i)
{
    return fmax(-clip, fmin(clip, s->x[i] / s->scatter));
}

/* The clearest stretch within [from, to); false: none. */
static int clearest(struct rbe_drift *out, const struct search *s, size_t from, size_t to)
{
    double best = s->least;
    int found = 0;

    for (size_t i = from; i < to; i++) {
        double sum = 0, change = 0;
        for (size_t j = i; j < to; j++) {
            sum += clipped(s, j);
            change += s->x[j];
            const double score = fabs(sum) / sqrt((double)(j - i + 1));
            if (score > best && fabs(change) > s->change && (sum > 0) == (change > 0)) {
                best = score;
                *out = (struct rbe_drift){i, j, change};
                found = 1;
            }
        }
    }
    return found;
}

static size_t search(struct rbe_drift *out, size_t most, const struct search *s, size_t from,
                     size_t to)
{
    size_t n = 0;

    if (!most || from >= to || !clearest(out, s, from, to))
        return 0;
    const struct rbe_drift d = *out;
    n = 1;
    n += search(out + n, most - n, s, from, d.first);
    n += search(out + n, most - n, s, d.last + 1, to);
    return n;
}

size_t rbe_trend_drifts(struct rbe_drift *out, size_t most, const double *x, size_t n,
                        double threshold)
{
    const struct search s = {x, rbe_trend_scatter(x, n), limit(n), log1p(threshold)};

    return isnan(s.scatter) ? 0 : search(out, most, &s, 0, n);
}

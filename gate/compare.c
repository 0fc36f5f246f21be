/*
 * compare.c - intervals, tests and verdicts for matched rows.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gate/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gate/rank.h"

enum { FEWEST_FOR_RUNS = 50 };

const char *rbe_change_name(enum rbe_change c)
{
    static const char *const names[] = {"same", "better", "worse", "too noisy"};

    return names[c];
}

struct rbe_compare_options rbe_compare_defaults(void)
{
    return (struct rbe_compare_options){.threshold = RBE_THRESHOLD / 100.0,
                                        .exact = 0.001, .alpha = 0.01,
                                        .resamples = RBE_BOOTSTRAP,
                                        .seed = RBE_BOOTSTRAP_SEED};
}

/* The k-th smallest (from 0) by partitioning; x is reordered. */
static double select_kth(double *x, size_t n, size_t k)
{
    size_t low = 0, high = n - 1;

    while (low < high) {
        const double pivot = x[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (x[i] < pivot)
                i++;
            while (x[j] > pivot)
                j--;
            if (i >= j)
                break;
            const double t = x[i];
            x[i++] = x[j];
            x[j--] = t;
        }
        /* Everything up to j is at most the pivot, everything after it at least. */
        if (k <= j)
            high = j;
        else
            low = j + 1;
    }
    return x[k];
}

static double median_by_selection(double *x, size_t n)
{
    const double upper = select_kth(x, n, n / 2);
    double lower = upper;

    if (n % 2 == 0) {
        lower = x[0];
        for (size_t i = 1; i < n / 2; i++)
            lower = x[i] > lower ? x[i] : lower;
    }
    return (lower + upper) / 2;
}

/* n samples of x into out, in runs of neighbours. */
static void draw(double *out, const double *x, size_t n, uint64_t *seed)
{
    const size_t run = n < FEWEST_FOR_RUNS ? 1 : (size_t)cbrt((double)n);

    for (size_t i = 0, at = 0; i < n; i++, at++) {
        if (i % run == 0)
            at = rbe_random_below(seed, (uint32_t)n);
        out[i] = x[at % n];
    }
}

struct rbe_interval rbe_bootstrap_medians(const double *a, size_t n, const double *b, size_t m,
                                          unsigned resamples, uint64_t seed)
{
    struct rbe_interval r = {NAN, NAN};
    const size_t most = n > m ? n : m;
    double *x = n > 1 && m > 1 && resamples ? calloc(most + resamples, sizeof *x) : NULL;

    if (!x) {
        if (n > 1 && m > 1 && resamples)
            rbe_shortage_note();
        return r;
    }
    double *ratio = x + most;
    for (unsigned i = 0; i < resamples; i++) {
        draw(x, a, n, &seed);
        const double base = median_by_selection(x, n);
        draw(x, b, m, &seed);
        ratio[i] = median_by_selection(x, m) / base;
    }
    rbe_sort(ratio, resamples);
    r.low = rbe_quantile(ratio, resamples, 0.025);
    r.high = rbe_quantile(ratio, resamples, 0.975);
    free(x);
    return r;
}

/* --- verdicts ----------------------------------------------------------------------- */

static enum rbe_change towards(const struct rbe_figure *f, bool larger)
{
    return larger == f->higher ? RBE_BETTER : RBE_WORSE;
}

static enum rbe_change judge_exact(const struct rbe_comparison_row *r,
                                   const struct rbe_compare_options *o)
{
    const double limit = r->base->coarse ? o->threshold : o->exact;
    const double a = r->base->value, b = r->fresh->value;

    if (fabs(b - a) <= limit * fabs(a))
        return RBE_SAME;
    return towards(r->base, b > a);
}

static enum rbe_change judge_timed(const struct rbe_comparison_row *r,
                                   const struct rbe_compare_options *o, double p_limit)
{
    const double ms = r->base->value / (strcmp(r->base->unit, "ns") ? 1 : 1e6);
    const double up = 1 + fmax(o->threshold, o->floor_ms / ms), down = 1 / up;

    if (r->p <= p_limit && r->ratio > up && r->ci.low > 1)
        return towards(r->base, true);
    if (r->p <= p_limit && r->ratio < down && r->ci.high < 1)
        return towards(r->base, false);
    return r->ci.low > down && r->ci.high < up ? RBE_SAME : RBE_TOO_NOISY;
}

/* Benjamini-Hochberg: the largest p that counts. */
static double p_limit(const struct rbe_comparison *c, double alpha)
{
    double *p = calloc(c->count + 1, sizeof *p), limit = 0;
    size_t n = 0;

    if (!p) {
        rbe_shortage_note();
        return 0;
    }
    for (size_t i = 0; i < c->count; i++)
        if (!isnan(c->rows[i].p))
            p[n++] = c->rows[i].p;
    rbe_sort(p, n);
    for (size_t i = 0; i < n; i++)
        if (p[i] <= alpha * (double)(i + 1) / (double)n)
            limit = p[i];
    free(p);
    return limit;
}

double rbe_median_error(double sd, size_t n)
{
    const double k = (double)n;

    /* sqrt(pi / 2) times the error of the mean; the last factor makes up for what a deviation
     * of few samples misses: with it, 99 % of the differences of two medians of n normal
     * samples lie within 2.58 errors from n = 4 on. */
    return n < 5 ? NAN : 1.2533 * sd / sqrt(k) * (1 + 4 / (k - 1));
}

/* Of the median, by its samples where there are any. */
static double error_of(const struct rbe_figure *f)
{
    double *x = f->samples ? malloc(2 * f->count * sizeof *x) : NULL, mad = NAN;

    if (!f->samples)
        return f->error;
    if (x) {
        memcpy(x, f->samples, f->count * sizeof *x);
        rbe_sort(x, f->count);
        mad = rbe_mad(x, f->count, x + f->count);
    }
    free(x);
    return rbe_median_error(RBE_MAD_TO_SD * mad, f->count);
}

/* Interval and test of a ratio whose logarithm has a normal error. */
static void fill_normal(struct rbe_comparison_row *r)
{
    const double e = hypot(error_of(r->base) / r->base->value,
                           error_of(r->fresh) / r->fresh->value);

    r->ci = (struct rbe_interval){r->ratio * exp(-1.96 * e), r->ratio * exp(1.96 * e)};
    if (e > 0)
        r->p = erfc(fabs(log(r->ratio)) / e / sqrt(2));
    else if (e == 0)
        r->p = r->ratio == 1 ? 1 : 0;
}

static void fill(struct rbe_comparison_row *r, const struct rbe_compare_options *o)
{
    r->ratio = r->fresh->value / r->base->value;
    r->ci = (struct rbe_interval){NAN, NAN};
    r->p = NAN;
    if (r->base->exact)
        return;
    if (!r->base->samples || !r->fresh->samples) {
        fill_normal(r);
        return;
    }
    r->ci = rbe_bootstrap_medians(r->base->samples, r->base->count, r->fresh->samples,
                                  r->fresh->count, o->resamples, o->seed);
    r->p = rbe_mann_whitney(r->base->samples, r->base->count, r->fresh->samples,
                            r->fresh->count);
}

/* Both are sorted: one pass. */
static void match(struct rbe_comparison *c, const struct rbe_figures *a,
                  const struct rbe_figures *b, const struct rbe_compare_options *o)
{
    size_t i = 0, j = 0;

    while (i < a->count || j < b->count) {
        const int order = i == a->count ? 1 : j == b->count ? -1
                          : strcmp(a->v[i].key, b->v[j].key);
        const struct rbe_figure *base = order <= 0 ? &a->v[i++] : NULL;
        const struct rbe_figure *fresh = order >= 0 ? &b->v[j++] : NULL;
        const bool was = base && base->count, is = fresh && fresh->count;
        if (was && is) {
            struct rbe_comparison_row *r = &c->rows[c->count++];
            *r = (struct rbe_comparison_row){.base = base, .fresh = fresh};
            fill(r, o);
        } else if (was && fresh) {
            c->counts[RBE_WORSE]++;
        } else if (was) {
            c->first_missing = c->first_missing ? c->first_missing : base->key;
            c->missing++;
        } else if (is) {
            c->added++;
        }
    }
}

enum rbe_status rbe_compare(struct rbe_comparison *c, const struct rbe_figures *a,
                            const struct rbe_figures *b, const struct rbe_compare_options *o,
                            struct rbe_diag *d)
{
    memset(c, 0, sizeof *c);
    const bool unknown = !a->machine[0] || !b->machine[0];
    c->machines_differ = unknown || strcmp(a->machine, b->machine);
    if (unknown && !o->other_machine)
        return rbe_fail(d, RBE_ERR_MISMATCH, "the rows of the %s do not say on which machine "
                        "they were measured: --other-machine compares them anyway",
                        a->machine[0] ? "new file" : "base");
    if (c->machines_differ && !o->other_machine)
        return rbe_fail(d, RBE_ERR_MISMATCH, "measured on different machines (%s; %s): "
                        "--other-machine compares them anyway", a->machine, b->machine);
    if (!(c->rows = calloc(a->count + 1, sizeof *c->rows)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    match(c, a, b, o);
    if (!c->count)
        return rbe_fail(d, RBE_ERR_MISMATCH, "the files have no row in common (base has '%s')",
                        a->v[0].key);
    if (c->missing && !o->missing)
        return rbe_fail(d, RBE_ERR_MISMATCH,
                        "%zu rows of the base are missing in the new file, first '%s': "
                        "--missing compares the others", c->missing, c->first_missing);
    const double limit = p_limit(c, o->alpha);
    for (size_t i = 0; i < c->count; i++) {
        struct rbe_comparison_row *r = &c->rows[i];
        r->change = r->base->exact ? judge_exact(r, o) : judge_timed(r, o, limit);
        c->counts[r->change]++;
    }
    return RBE_OK;
}

void rbe_comparison_free(struct rbe_comparison *c)
{
    free(c->rows);
    memset(c, 0, sizeof *c);
}

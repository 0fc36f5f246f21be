/*
 * quality.c - texts judged by the original model.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/quality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum rbe_status rbe_log_p(struct rbe_scorer *s, uint32_t eos, const uint32_t *before, size_t nb,
                          const uint32_t *text, size_t n, double *log_p, struct rbe_diag *d)
{
    const size_t most = (size_t)s->r->n_ctx + 1;
    uint32_t *ids;
    bool greedy;

    *log_p = 0;
    if (!n)
        return RBE_OK;
    if (n >= most)
        return rbe_fail(d, RBE_ERR_LIMIT, "a text of %zu tokens does not fit the context", n);
    if (!nb) {
        before = &eos;
        nb = 1;
    }
    if (nb + n > most) {
        before += nb + n - most;
        nb = most - n;
    }
    if (!(ids = malloc((nb + n) * sizeof *ids)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for a text");
    memcpy(ids, before, nb * sizeof *ids);
    memcpy(ids + nb, text, n * sizeof *ids);
    const struct rbe_choice c = {.tokens = ids, .count = (uint32_t)(nb + n),
                                 .first = (uint32_t)nb};
    const enum rbe_status err = rbe_score(s, &c, log_p, &greedy, d);
    free(ids);
    return err;
}

/* --- what is retained -------------------------------------------------------------------- */

double rbe_fluency(const struct rbe_judged *by, const uint32_t *index, size_t n)
{
    double log_p = 0, tokens = 0;

    for (size_t i = 0; i < n; i++) {
        log_p += by->alone[index[i]];
        tokens += (double)by->length[index[i]];
    }
    return exp(-log_p / tokens);
}

double rbe_coherence(const struct rbe_judged *by, const uint32_t *index, size_t n)
{
    double gain = 0;

    for (size_t i = 0; i < n; i++)
        gain += (by->after[index[i]] - by->alone[index[i]]) / (double)by->length[index[i]];
    return gain / (double)n;
}

static double mean_of(const double *x, const uint32_t *index, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[index[i]];
    return sum / (double)n;
}

double rbe_relevance(const struct rbe_judged *by, const uint32_t *index, size_t n)
{
    return mean_of(by->relevant, index, n);
}

double rbe_novelty(const struct rbe_judged *by, const uint32_t *index, size_t n)
{
    return 1 - mean_of(by->repeated, index, n);
}

double rbe_posterior(const double *log_p, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += exp(log_p[i] - log_p[0]);
    return 1 / sum;
}

double rbe_two_sided(double ratio)
{
    return ratio > 1 ? 1 / ratio : ratio;
}

struct rbe_interval rbe_two_sided_interval(struct rbe_interval ratio)
{
    const double a = rbe_two_sided(ratio.low), b = rbe_two_sided(ratio.high);

    if (!(ratio.low <= ratio.high))
        return (struct rbe_interval){NAN, NAN};
    return (struct rbe_interval){
        fmin(a, b), ratio.low <= 1 && ratio.high >= 1 ? 1 : fmax(a, b)};
}

double rbe_retained(const void *two_judged, const uint32_t *index, size_t n)
{
    const struct rbe_two_judged *t = two_judged;
    const double a = t->measure(t->original, index, n), b = t->measure(t->model, index, n);

    return t->smaller_is_better ? a / b : b / a;
}

/* --- n-grams ----------------------------------------------------------------------------- */

struct gram {
    const uint32_t *at;
    size_t n, text;             /* tokens; index of the text it is in */
};

static int compare(const void *a, const void *b)
{
    const struct gram *x = a, *y = b;

    for (size_t i = 0; i < x->n; i++)
        if (x->at[i] != y->at[i])
            return x->at[i] < y->at[i] ? -1 : 1;
    return 0;
}

/* All n-grams of the texts, sorted, *all of them; NULL: none, or out of memory. */
static struct gram *sorted_grams(const uint32_t *const *texts, const size_t *n, size_t count,
                                 size_t gram, size_t *all)
{
    size_t k = 0;

    *all = 0;
    for (size_t i = 0; i < count; i++)
        *all += n[i] >= gram ? n[i] - gram + 1 : 0;
    struct gram *g = *all ? malloc(*all * sizeof *g) : NULL;
    if (!g)
        return NULL;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j + gram <= n[i]; j++)
            g[k++] = (struct gram){texts[i] + j, gram, i};
    qsort(g, *all, sizeof *g, compare);
    return g;
}

double rbe_distinct(const uint32_t *const *texts, const size_t *n, size_t count, size_t gram)
{
    size_t all, distinct = 0;
    struct gram *g = sorted_grams(texts, n, count, gram, &all);

    if (!g) {
        if (all)
            rbe_shortage_note();
        return NAN;
    }
    for (size_t i = 0; i < all; i++)
        distinct += !i || compare(&g[i - 1], &g[i]);
    free(g);
    return (double)distinct / (double)all;
}

enum rbe_status rbe_distinct_without(double *without, const uint32_t *const *texts,
                                     const size_t *n, size_t count, size_t gram)
{
    size_t all, distinct = 0;
    struct gram *g = sorted_grams(texts, n, count, gram, &all);

    if (!g && all)
        return RBE_ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        without[i] = 0;
    /* Of each text first the n-grams that no other has. */
    for (size_t i = 0, end; i < all; i = end) {
        bool own = true;
        for (end = i; end < all && !compare(&g[i], &g[end]); end++)
            own = own && g[end].text == g[i].text;
        without[g[i].text] += own;
        distinct++;
    }
    for (size_t i = 0; i < count; i++) {
        const size_t mine = n[i] >= gram ? n[i] - gram + 1 : 0;
        without[i] = ((double)distinct - without[i]) / (double)(all - mine);
    }
    free(g);
    return RBE_OK;
}

struct rbe_interval rbe_jackknife_ratio(double ratio, const double *a, const double *b,
                                        size_t n)
{
    double sum = 0, squares = 0;

    if (n < 2 || !(ratio > 0))
        return (struct rbe_interval){NAN, NAN};
    for (size_t i = 0; i < n; i++)
        sum += log(b[i] / a[i]);
    for (size_t i = 0; i < n; i++) {
        const double e = log(b[i] / a[i]) - sum / (double)n;
        squares += e * e;
    }
    const double se = sqrt(squares * (double)(n - 1) / (double)n);
    return (struct rbe_interval){ratio * exp(-1.96 * se), ratio * exp(1.96 * se)};
}

double rbe_repetition(const uint32_t *text, size_t n, size_t gram)
{
    if (n < gram)
        return 0;
    return 1 - rbe_distinct(&text, &n, 1, gram);
}

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

double rbe_relevance(const struct rbe_judged *by, const uint32_t *index, size_t n)
{
    double right = 0;

    for (size_t i = 0; i < n; i++)
        right += by->relevant[index[i]];
    return right / (double)n;
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
    size_t n;
};

static int compare(const void *a, const void *b)
{
    const struct gram *x = a, *y = b;

    for (size_t i = 0; i < x->n; i++)
        if (x->at[i] != y->at[i])
            return x->at[i] < y->at[i] ? -1 : 1;
    return 0;
}

double rbe_distinct(const uint32_t *const *texts, const size_t *n, size_t count, size_t gram)
{
    size_t all = 0, k = 0, distinct = 0;

    for (size_t i = 0; i < count; i++)
        all += n[i] >= gram ? n[i] - gram + 1 : 0;
    struct gram *g = all ? malloc(all * sizeof *g) : NULL;
    if (!g) {
        if (all)
            rbe_shortage_note();
        return NAN;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j + gram <= n[i]; j++)
            g[k++] = (struct gram){texts[i] + j, gram};
    qsort(g, all, sizeof *g, compare);
    for (size_t i = 0; i < all; i++)
        distinct += !i || compare(&g[i - 1], &g[i]);
    free(g);
    return (double)distinct / (double)all;
}

double rbe_repetition(const uint32_t *text, size_t n, size_t gram)
{
    if (n < gram)
        return 0;
    return 1 - rbe_distinct(&text, &n, 1, gram);
}

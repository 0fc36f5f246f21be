/*
 * perplexity.c - perplexity of windows, and the difference of two models on the same ones.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/perplexity.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/result.h"
#include "base/rows.h"
#include "base/stats.h"

enum rbe_status rbe_perplexity_window(struct rbe_runner *r, const struct rbe_windows *w,
                                      size_t i, double *scratch, double *nll, double *scored,
                                      struct rbe_diag *d)
{
    const struct rbe_window *x = &w->w[i];
    const uint32_t *tokens = w->tokens + x->start;
    const size_t n = x->length - x->first;
    enum rbe_status err;
    double sum = 0;

    if ((err = rbe_runner_forward(r, 0, tokens, x->length - 1, d)) ||
        (err = rbe_runner_nll(r, x->first - 1, n, tokens + x->first, scratch, NULL, d)))
        return err;
    for (size_t t = 0; t < n; t++)
        sum += scratch[t];
    *nll = sum;
    *scored = (double)n;
    return RBE_OK;
}

struct lane_job {
    struct rbe_runner *lanes;
    unsigned lane_count;
    const struct rbe_windows *w;
    size_t first, count;
    double *nll, *scored;
    double *scratch;            /* [lane][context] */
    enum rbe_status *err;       /* [lane] */
    struct rbe_diag *diag;      /* [lane] */
    atomic_size_t next;
};

/* Whoever is free takes the next window. */
static void run_lane(void *arg, unsigned i, unsigned n)
{
    struct lane_job *j = arg;
    size_t k;

    (void)n;
    while (i < j->lane_count && !j->err[i] && (k = atomic_fetch_add(&j->next, 1)) < j->count)
        j->err[i] = rbe_perplexity_window(
            &j->lanes[i], j->w, j->first + k, j->scratch + (size_t)i * j->w->context,
            &j->nll[k], &j->scored[k], &j->diag[i]);
}

enum rbe_status rbe_perplexity_windows(struct rbe_runner *lanes, unsigned lane_count,
                                       struct rbe_pool *pool, const struct rbe_windows *w,
                                       size_t first, size_t count, double *nll,
                                       double *scored, struct rbe_diag *d)
{
    struct lane_job j = {.lanes = lanes, .lane_count = lane_count, .w = w, .first = first,
                         .count = count, .nll = nll, .scored = scored};
    enum rbe_status err = RBE_ERR_NOMEM;

    if ((j.scratch = calloc((size_t)lane_count * w->context, sizeof *j.scratch)) &&
        (j.err = calloc(lane_count, sizeof *j.err)) &&
        (j.diag = calloc(lane_count, sizeof *j.diag))) {
        rbe_pool_run(pool, run_lane, &j);
        err = RBE_OK;
        for (unsigned i = 0; i < lane_count && !err; i++)
            if ((err = j.err[i]))
                *d = j.diag[i];
    }
    free(j.scratch);
    free(j.err);
    free(j.diag);
    return err;
}

int rbe_perplexity_describe(json_t *record, const struct rbe_windows *w)
{
    int bad = 0;

    bad |= RBE_SET(record, RBE_WORD(protocol, rbe_protocol_name(w->protocol)),
                   RBE_WORD(protocol_name, rbe_protocol_alias(w->protocol)),
                   RBE_INT(context, w->context), RBE_INT(stride, w->stride),
                   RBE_INT(tokens, w->text_tokens), RBE_INT(windows_total, w->count),
                   RBE_INT(words, w->words), RBE_INT(white_space_words, w->space_words),
                   RBE_INT(text_bytes, w->bytes));
    if (w->protocol == RBE_P4)
        bad |= RBE_SET(record, RBE_INT(pages, w->pages));
    if (w->begins)
        bad |= RBE_SET(record, RBE_INT(begin_token, w->begin));
    return bad;
}

static json_t *real_array(const double *x, size_t n)
{
    json_t *a = json_array();

    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(a, rbe_result_real(x[i]))) {
            json_decref(a);
            return NULL;
        }
    return a;
}

static json_t *count_array(const double *x, size_t n)
{
    json_t *a = json_array();

    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(a, json_integer((json_int_t)x[i]))) {
            json_decref(a);
            return NULL;
        }
    return a;
}

static json_t *bootstrap_json(unsigned resamples)
{
    return RBE_OBJECT(RBE_INT(resamples, resamples), RBE_INT(seed, RBE_BOOTSTRAP_SEED));
}

int rbe_perplexity_summarise(json_t *record, const double *nll, const double *scored,
                             size_t count, size_t first_window, double seconds,
                             unsigned resamples)
{
    const char *protocol = json_string_value(RBE_VALUE_AT(record, protocol));
    const bool every_token = protocol && !strcmp(protocol, "P4");
    const struct rbe_ratio mean = rbe_ratio_of_sums(nll, scored, count);
    const unsigned draws = resamples ? resamples : RBE_BOOTSTRAP;
    const struct rbe_interval ci =
        rbe_bootstrap_ratio(nll, scored, count, draws, RBE_BOOTSTRAP_SEED);
    const double total = RBE_NUMBER_AT(record, windows_total);
    const double tokens = RBE_NUMBER_AT(record, tokens);
    const double words = RBE_NUMBER_AT(record, words);
    const double space_words = RBE_NUMBER_AT(record, white_space_words);
    const double bytes = RBE_NUMBER_AT(record, text_bytes);
    double sum = 0, n = 0;
    int bad = 0;

    for (size_t i = 0; i < count; i++) {
        sum += nll[i];
        n += scored[i];
    }
    const bool complete = (double)count == total && !first_window;
    /* Where a part was scored, the mean stands for the tokens that were not. */
    const double whole = every_token && complete ? sum : mean.value * tokens;
    bad |= RBE_SET(record, RBE_FLAG(complete, complete), RBE_INT(first_window, first_window),
                   RBE_INT(windows, count), RBE_INT(scored, n), RBE_REAL(nll_sum, sum),
                   RBE_REAL(nll_mean, mean.value), RBE_REAL(nll_se, mean.se),
                   RBE_REAL(perplexity, exp(mean.value)),
                   RBE_PAIR(perplexity_ci95, exp(ci.low), exp(ci.high)),
                   RBE_JSON(bootstrap, bootstrap_json(draws)),
                   RBE_REAL(word_perplexity, exp(whole / words)),
                   RBE_REAL(white_space_word_perplexity, exp(whole / space_words)),
                   RBE_REAL(byte_perplexity, exp(whole / bytes)),
                   RBE_REAL(bits_per_byte, whole / bytes / log(2)), RBE_REAL(seconds, seconds),
                   RBE_REAL(tokens_per_s, seconds > 0 ? n / seconds : NAN),
                   RBE_JSON(samples, RBE_OBJECT(RBE_JSON(nll, real_array(nll, count)),
                                                RBE_JSON(scored, count_array(scored, count)))));
    return bad;
}

enum rbe_status rbe_perplexity_samples(const json_t *record, double **nll, double **scored,
                                       size_t *count, struct rbe_diag *d)
{
    const json_t *s = RBE_VALUE_AT(record, samples);
    const json_t *a = RBE_VALUE_AT(s, nll), *b = RBE_VALUE_AT(s, scored);
    const size_t n = json_array_size(a);

    *nll = *scored = NULL;
    *count = 0;
    if (!json_is_array(a) || !json_is_array(b) || json_array_size(b) != n)
        return rbe_fail(d, RBE_ERR_FORMAT, "a %s record without samples",
                        json_string_value(RBE_VALUE_AT(record, kind)));
    *nll = calloc(n + 1, sizeof **nll);
    *scored = calloc(n + 1, sizeof **scored);
    enum rbe_status err = *nll && *scored ? RBE_OK : RBE_ERR_NOMEM;
    for (size_t i = 0; i < n && !err; i++) {
        const json_t *x = json_array_get(a, i), *y = json_array_get(b, i);
        if (!json_is_number(x) || !json_is_number(y))
            err = rbe_fail(d, RBE_ERR_FORMAT, "sample %zu is not a number", i);
        (*nll)[i] = json_number_value(x);
        (*scored)[i] = json_number_value(y);
    }
    if (err) {
        free(*nll);
        free(*scored);
        *nll = *scored = NULL;
        return err;
    }
    *count = n;
    return RBE_OK;
}

static bool same(const json_t *a, const json_t *b, const char *key)
{
    return json_equal(json_object_get(a, key), json_object_get(b, key));
}

/* Fields that a paired record takes over from the perplexity record of the base. */
static const char *const shared[] = {
    RBE_KEY(text),   RBE_KEY(protocol), RBE_KEY(protocol_name), RBE_KEY(context),
    RBE_KEY(stride), RBE_KEY(windows),  RBE_KEY(windows_total), RBE_KEY(first_window),
    RBE_KEY(scored), RBE_KEY(complete)};

static int fill_pair(json_t *out, const json_t *base, const json_t *model, const double *change,
                     const double *scored, size_t n, unsigned resamples)
{
    const struct rbe_ratio mean = rbe_ratio_of_sums(change, scored, n);
    const struct rbe_interval ci =
        rbe_bootstrap_ratio(change, scored, n, resamples, RBE_BOOTSTRAP_SEED);
    const double base_s = RBE_NUMBER_AT(base, seconds);
    int bad = RBE_SET(out, RBE_SHARED(base, RBE_VALUE_AT(base, model)));

    bad |= RBE_SET(out, RBE_SHARED(model, RBE_VALUE_AT(model, model)));
    for (size_t k = 0; k < sizeof shared / sizeof shared[0]; k++)
        bad |= json_object_set(out, shared[k], json_object_get(base, shared[k]));
    if (RBE_VALUE_AT(base, special)) /* rows of before do not say it */
        bad |= RBE_SET(out, RBE_SHARED(special, RBE_VALUE_AT(base, special)));
    if (RBE_VALUE_AT(base, begin_token))
        bad |= RBE_SET(out, RBE_SHARED(begin_token, RBE_VALUE_AT(base, begin_token)));
    if (RBE_VALUE_AT(base, limited_total))
        bad |= RBE_SET(out, RBE_SHARED(limited_total, RBE_VALUE_AT(base, limited_total)));
    bad |=
        RBE_SET(out, RBE_REAL(nll_change, mean.value), RBE_REAL(nll_change_se, mean.se),
                RBE_REAL(percent_change, 100 * expm1(mean.value)),
                RBE_PAIR(percent_change_ci95, 100 * expm1(ci.low), 100 * expm1(ci.high)),
                RBE_SHARED(base_perplexity, RBE_VALUE_AT(base, perplexity)),
                RBE_SHARED(perplexity, RBE_VALUE_AT(model, perplexity)),
                RBE_REAL(time_ratio, base_s > 0 ? RBE_NUMBER_AT(model, seconds) / base_s : NAN),
                RBE_JSON(bootstrap, bootstrap_json(resamples)));
    return bad;
}

enum rbe_status rbe_perplexity_pair(json_t *out, const json_t *base, const json_t *model,
                                    unsigned resamples, struct rbe_diag *d)
{
    double *a = NULL, *na = NULL, *b = NULL, *nb = NULL;
    size_t n, m;
    enum rbe_status err;

    if (!same(base, model, RBE_KEY(text)) || !same(base, model, RBE_KEY(protocol)) ||
        !same(base, model, RBE_KEY(context)) || !same(base, model, RBE_KEY(first_window)))
        return rbe_fail(d, RBE_ERR_MISMATCH, "cannot pair records of different texts, "
                        "protocols or windows");
    if ((err = rbe_perplexity_samples(base, &a, &na, &n, d)) ||
        (err = rbe_perplexity_samples(model, &b, &nb, &m, d)))
        goto out;
    if (n != m || (n && memcmp(na, nb, n * sizeof *na))) {
        err = rbe_fail(d, RBE_ERR_MISMATCH, "cannot pair %zu windows with %zu", n, m);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        b[i] -= a[i];
    if (fill_pair(out, base, model, b, na, n, resamples ? resamples : RBE_BOOTSTRAP))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
out:
    free(a);
    free(na);
    free(b);
    free(nb);
    return err;
}

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

#include "base/json.h"
#include "base/result.h"
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

    bad |= json_object_set_new(record, "protocol", json_string(rbe_protocol_name(w->protocol)));
    bad |= json_object_set_new(record, "protocol_name",
                               json_string(rbe_protocol_alias(w->protocol)));
    bad |= json_object_set_new(record, "context", json_integer(w->context));
    bad |= json_object_set_new(record, "stride", json_integer(w->stride));
    bad |= json_object_set_new(record, "tokens", json_integer((json_int_t)w->text_tokens));
    bad |= json_object_set_new(record, "windows_total", json_integer((json_int_t)w->count));
    bad |= json_object_set_new(record, "words", json_integer((json_int_t)w->words));
    bad |= json_object_set_new(record, "white_space_words",
                               json_integer((json_int_t)w->space_words));
    bad |= json_object_set_new(record, "text_bytes", json_integer((json_int_t)w->bytes));
    if (w->protocol == RBE_P4)
        bad |= json_object_set_new(record, "pages", json_integer((json_int_t)w->pages));
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
    return json_pack("{s:I, s:i}", "resamples", (json_int_t)resamples, "seed",
                     (int)RBE_BOOTSTRAP_SEED);
}

int rbe_perplexity_summarise(json_t *record, const double *nll, const double *scored,
                             size_t count, size_t first_window, double seconds,
                             unsigned resamples)
{
    const char *protocol = json_string_value(json_object_get(record, "protocol"));
    const bool every_token = protocol && !strcmp(protocol, "P4");
    const struct rbe_ratio mean = rbe_ratio_of_sums(nll, scored, count);
    const unsigned draws = resamples ? resamples : RBE_BOOTSTRAP;
    const struct rbe_interval ci =
        rbe_bootstrap_ratio(nll, scored, count, draws, RBE_BOOTSTRAP_SEED);
    const double total = rbe_number_at(record, "windows_total");
    const double tokens = rbe_number_at(record, "tokens");
    const double words = rbe_number_at(record, "words");
    const double space_words = rbe_number_at(record, "white_space_words");
    const double bytes = rbe_number_at(record, "text_bytes");
    double sum = 0, n = 0;
    int bad = 0;

    for (size_t i = 0; i < count; i++) {
        sum += nll[i];
        n += scored[i];
    }
    const bool complete = (double)count == total && !first_window;
    /* Where a part was scored, the mean stands for the tokens that were not. */
    const double whole = every_token && complete ? sum : mean.value * tokens;
    bad |= json_object_set_new(record, "complete", json_boolean(complete));
    bad |= json_object_set_new(record, "first_window", json_integer((json_int_t)first_window));
    bad |= json_object_set_new(record, "windows", json_integer((json_int_t)count));
    bad |= json_object_set_new(record, "scored", json_integer((json_int_t)n));
    bad |= rbe_result_set_real(record, "nll_sum", sum);
    bad |= rbe_result_set_real(record, "nll_mean", mean.value);
    bad |= rbe_result_set_real(record, "nll_se", mean.se);
    bad |= rbe_result_set_real(record, "perplexity", exp(mean.value));
    bad |= json_object_set_new(record, "perplexity_ci95",
                               json_pack("[o, o]", rbe_result_real(exp(ci.low)),
                                         rbe_result_real(exp(ci.high))));
    bad |= json_object_set_new(record, "bootstrap", bootstrap_json(draws));
    bad |= rbe_result_set_real(record, "word_perplexity", exp(whole / words));
    bad |= rbe_result_set_real(record, "white_space_word_perplexity",
                               exp(whole / space_words));
    bad |= rbe_result_set_real(record, "byte_perplexity", exp(whole / bytes));
    bad |= rbe_result_set_real(record, "bits_per_byte", whole / bytes / log(2));
    bad |= rbe_result_set_real(record, "seconds", seconds);
    bad |= rbe_result_set_real(record, "tokens_per_s", seconds > 0 ? n / seconds : NAN);
    bad |= json_object_set_new(record, "samples",
                               json_pack("{s:o, s:o}", "nll", real_array(nll, count), "scored",
                                         count_array(scored, count)));
    return bad;
}

enum rbe_status rbe_perplexity_samples(const json_t *record, double **nll, double **scored,
                                       size_t *count, struct rbe_diag *d)
{
    const json_t *s = json_object_get(record, "samples");
    const json_t *a = json_object_get(s, "nll"), *b = json_object_get(s, "scored");
    const size_t n = json_array_size(a);

    *nll = *scored = NULL;
    *count = 0;
    if (!json_is_array(a) || !json_is_array(b) || json_array_size(b) != n)
        return rbe_fail(d, RBE_ERR_FORMAT, "a %s record without samples",
                        json_string_value(json_object_get(record, "kind")));
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
static const char *const shared[] = {"text", "protocol", "protocol_name", "context", "stride",
                                     "windows", "windows_total", "first_window", "scored",
                                     "complete"};

static int fill_pair(json_t *out, const json_t *base, const json_t *model, const double *change,
                     const double *scored, size_t n, unsigned resamples)
{
    const struct rbe_ratio mean = rbe_ratio_of_sums(change, scored, n);
    const struct rbe_interval ci =
        rbe_bootstrap_ratio(change, scored, n, resamples, RBE_BOOTSTRAP_SEED);
    const double base_s = rbe_number_at(base, "seconds");
    int bad = json_object_set(out, "base", json_object_get(base, "model"));

    bad |= json_object_set(out, "model", json_object_get(model, "model"));
    for (size_t k = 0; k < sizeof shared / sizeof shared[0]; k++)
        bad |= json_object_set(out, shared[k], json_object_get(base, shared[k]));
    if (json_object_get(base, "special"))       /* rows of before do not say it */
        bad |= json_object_set(out, "special", json_object_get(base, "special"));
    bad |= rbe_result_set_real(out, "nll_change", mean.value);
    bad |= rbe_result_set_real(out, "nll_change_se", mean.se);
    bad |= rbe_result_set_real(out, "percent_change", 100 * expm1(mean.value));
    bad |= json_object_set_new(out, "percent_change_ci95",
                               json_pack("[o, o]", rbe_result_real(100 * expm1(ci.low)),
                                         rbe_result_real(100 * expm1(ci.high))));
    bad |= json_object_set(out, "base_perplexity", json_object_get(base, "perplexity"));
    bad |= json_object_set(out, "perplexity", json_object_get(model, "perplexity"));
    bad |= rbe_result_set_real(out, "time_ratio",
                               base_s > 0 ? rbe_number_at(model, "seconds") / base_s : NAN);
    bad |= json_object_set_new(out, "bootstrap", bootstrap_json(resamples));
    return bad;
}

enum rbe_status rbe_perplexity_pair(json_t *out, const json_t *base, const json_t *model,
                                    unsigned resamples, struct rbe_diag *d)
{
    double *a = NULL, *na = NULL, *b = NULL, *nb = NULL;
    size_t n, m;
    enum rbe_status err;

    if (!same(base, model, "text") || !same(base, model, "protocol") ||
        !same(base, model, "context") || !same(base, model, "first_window"))
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

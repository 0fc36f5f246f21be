/*
 * divergence.c - how far a model's predictions are from the original's, token by token.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/divergence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/result.h"
#include "base/rows.h"
#include "base/stats.h"
#include "eval/softmax.h"

static const char *const sum_names[RBE_DIV_SUMS] = {[RBE_DIV_KL] = RBE_KEY(kl),
                                                    [RBE_DIV_TOP1] = RBE_KEY(top1),
                                                    [RBE_DIV_TOP5] = RBE_KEY(top5),
                                                    [RBE_DIV_ACCEPTANCE] =
                                                        RBE_KEY(acceptance),
                                                    [RBE_DIV_DP] = RBE_KEY(dp),
                                                    [RBE_DIV_DP2] = RBE_KEY(dp2),
                                                    [RBE_DIV_NLL_BASE] = RBE_KEY(nll_base),
                                                    [RBE_DIV_NLL_MODEL] = RBE_KEY(nll_model),
                                                    [RBE_DIV_TOKENS] = RBE_KEY(tokens)};

/* --- histograms -------------------------------------------------------------------------- */

void rbe_histogram_add(struct rbe_histogram *h, double x)
{
    double at = x > 0 ? (log2(x) - RBE_HIST_LOW) * RBE_HIST_OCTAVE + 1 : 0;

    at = at < 0 ? 0 : at > RBE_HIST_BINS - 1 ? RBE_HIST_BINS - 1 : at;
    h->n[(size_t)at]++;
}

/* Adds the counts of b to h. */
static void histogram_join(struct rbe_histogram *h, const struct rbe_histogram *b)
{
    for (int i = 0; i < RBE_HIST_BINS; i++)
        h->n[i] += b->n[i];
}

double rbe_histogram_quantile(const struct rbe_histogram *h, double q)
{
    uint64_t total = 0, seen = 0;

    for (int i = 0; i < RBE_HIST_BINS; i++)
        total += h->n[i];
    if (!total)
        return NAN;
    /* The order statistic that a quantile without interpolation takes. */
    const uint64_t want = (uint64_t)(q * (double)(total - 1));
    int i = 0;
    while ((seen += h->n[i]) <= want)
        i++;
    return i ? exp2((i - 0.5) / RBE_HIST_OCTAVE + RBE_HIST_LOW) : 0;
}

static json_t *histogram_json(const struct rbe_histogram *h)
{
    json_t *a = json_array();

    for (int i = 0; i < RBE_HIST_BINS; i++)
        if (h->n[i])
            json_array_append_new(a, json_pack("[i, I]", i, (json_int_t)h->n[i]));
    return a;
}

static enum rbe_status histogram_read(struct rbe_histogram *h, const json_t *a,
                                      struct rbe_diag *d)
{
    const json_t *pair;
    size_t k;

    json_array_foreach(a, k, pair) {
        const json_int_t i = json_integer_value(json_array_get(pair, 0));
        const json_int_t n = json_integer_value(json_array_get(pair, 1));
        if (i < 0 || i >= RBE_HIST_BINS || n < 1)
            return rbe_fail(d, RBE_ERR_FORMAT, "histogram entry %zu is out of range", k);
        h->n[i] += (uint64_t)n;
    }
    return RBE_OK;
}

/* --- measuring --------------------------------------------------------------------------- */

enum rbe_status rbe_divergence_init(struct rbe_divergence *v, size_t windows,
                                    struct rbe_diag *d)
{
    memset(v, 0, sizeof *v);
    const enum rbe_status err = rbe_divergence_reserve(v, windows, d);
    if (err)
        rbe_divergence_free(v);
    else
        v->windows = windows;
    return err;
}

enum rbe_status rbe_divergence_reserve(struct rbe_divergence *v, size_t more,
                                       struct rbe_diag *d)
{
    for (int i = 0; i < RBE_DIV_SUMS; i++) {
        double *sum = realloc(v->sum[i], (v->windows + more + 1) * sizeof *sum);
        if (!sum)
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for %zu windows",
                            v->windows + more);
        memset(sum + v->windows, 0, (more + 1) * sizeof *sum);
        v->sum[i] = sum;
    }
    return RBE_OK;
}

void rbe_divergence_free(struct rbe_divergence *v)
{
    for (int i = 0; i < RBE_DIV_SUMS; i++)
        free(v->sum[i]);
    memset(v, 0, sizeof *v);
}

/* What one token contributes; filled by many threads, summed by one in order. */
struct token {
    double kl, dp, nll_base, nll_model, acceptance;
    bool top1;
    unsigned top5;
};

static bool is_count(int sum)
{
    return sum == RBE_DIV_TOP1 || sum == RBE_DIV_TOP5 || sum == RBE_DIV_TOKENS;
}

/* How many of the most likely tokens of one row are among those of the other, and whether they
 * have the same first one. */
static void compare_tops(struct token *t, const float *base, const float *model, size_t vocab)
{
    const size_t count = vocab < RBE_DIV_TOP ? vocab : RBE_DIV_TOP;
    uint32_t a[RBE_DIV_TOP], b[RBE_DIV_TOP];

    rbe_largest(a, count, base, vocab);
    rbe_largest(b, count, model, vocab);
    t->top1 = a[0] == b[0];
    /* Of a vocabulary smaller than that all are. */
    t->top5 = (unsigned)(RBE_DIV_TOP - count);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++)
            t->top5 += a[i] == b[k];
}

static void compare_rows(struct token *t, const float *base, const float *model, size_t vocab,
                         uint32_t target)
{
    const double lb = rbe_log_sum_exp(base, vocab), lm = rbe_log_sum_exp(model, vocab);

    t->kl = rbe_kl_divergence(base, lb, model, lm, vocab);
    t->acceptance = rbe_shared_mass(base, lb, model, lm, vocab);
    compare_tops(t, base, model, vocab);
    t->nll_base = lb - (double)base[target];
    t->nll_model = lm - (double)model[target];
    t->dp = exp(-t->nll_model) - exp(-t->nll_base);
}

static void add_token(struct rbe_divergence *v, size_t k, const struct token *t)
{
    v->sum[RBE_DIV_KL][k] += t->kl;
    v->sum[RBE_DIV_TOP1][k] += t->top1;
    v->sum[RBE_DIV_TOP5][k] += t->top5;
    v->sum[RBE_DIV_ACCEPTANCE][k] += t->acceptance;
    v->sum[RBE_DIV_DP][k] += t->dp;
    v->sum[RBE_DIV_DP2][k] += t->dp * t->dp;
    v->sum[RBE_DIV_NLL_BASE][k] += t->nll_base;
    v->sum[RBE_DIV_NLL_MODEL][k] += t->nll_model;
    v->sum[RBE_DIV_TOKENS][k] += 1;
    if (t->kl > v->max_kl)
        v->max_kl = t->kl;
    rbe_histogram_add(&v->kl, t->kl);
    rbe_histogram_add(&v->dp, fabs(t->dp));
}

void rbe_divergence_token(struct rbe_divergence *v, size_t k, const float *base,
                          const float *model, size_t vocab, uint32_t target)
{
    struct token t;

    compare_rows(&t, base, model, vocab, target);
    add_token(v, k, &t);
}

struct comparing {
    const struct rbe_runner *base, *model;
    const uint32_t *targets;
    struct token *out;
    size_t count;
};

static void compare_part(void *arg, unsigned i, unsigned n)
{
    const struct comparing *c = arg;
    const size_t vocab = c->base->vocab;
    size_t begin, end;

    rbe_split(c->count, 1, i, n, &begin, &end);
    for (size_t t = begin; t < end; t++)
        compare_rows(&c->out[t], c->base->logits + t * vocab, c->model->logits + t * vocab,
                     vocab, c->targets[t]);
}

enum rbe_status rbe_divergence_window(struct rbe_runner *r, size_t count,
                                      const struct rbe_windows *w, size_t i, size_t k,
                                      struct rbe_divergence *v,
                                      struct rbe_recording *recording, struct rbe_diag *d)
{
    const bool recorded = recording && !recording->writing;
    const struct rbe_window *x = &w->w[i];
    const uint32_t *tokens = w->tokens + x->start;
    const size_t total = x->length - x->first;
    struct token *out = malloc(r[0].rows * sizeof *out);
    enum rbe_status err = out ? RBE_OK : RBE_ERR_NOMEM;

    for (size_t m = recorded; m < count && !err; m++)
        err = rbe_runner_forward(&r[m], 0, tokens, x->length - 1, d);
    for (size_t at = 0; at < total && !err; at += r[0].rows) {
        const size_t n = total - at < r[0].rows ? total - at : r[0].rows;
        for (size_t m = 0; m < count && !err; m++) {
            if (m || !recorded)
                err = rbe_runner_logits(&r[m], x->first - 1 + at, n, d);
            if (!m && !err && recording)
                err = rbe_recording_rows(recording, r[0].logits, n, d);
            if (err || !m)
                continue;
            struct comparing c = {&r[0], &r[m], tokens + x->first + at, out, n};
            rbe_pool_run(r[0].pool, compare_part, &c);
            for (size_t t = 0; t < n && !err; t++) {
                if (!isfinite(out[t].kl))
                    err = rbe_fail(d, RBE_ERR_NUMERIC, "%s or %s: logits are not finite",
                                   r[0].name, r[m].name);
                else
                    add_token(&v[m - 1], k, &out[t]);
            }
        }
    }
    free(out);
    return err;
}

void rbe_divergence_join(struct rbe_divergence *v, const struct rbe_divergence *b)
{
    histogram_join(&v->kl, &b->kl);
    histogram_join(&v->dp, &b->dp);
    if (b->max_kl > v->max_kl)
        v->max_kl = b->max_kl;
}

/* --- records ----------------------------------------------------------------------------- */

static struct rbe_ratio mean_of(const struct rbe_divergence *v, enum rbe_divergence_sum what,
                                size_t n)
{
    return rbe_ratio_of_sums(v->sum[what], v->sum[RBE_DIV_TOKENS], n);
}

int rbe_divergence_summarise(json_t *record, const struct rbe_divergence *v, size_t windows,
                             size_t first_window)
{
    const size_t n = windows;
    const struct rbe_ratio kl = mean_of(v, RBE_DIV_KL, n), top1 = mean_of(v, RBE_DIV_TOP1, n);
    const struct rbe_ratio top5 = mean_of(v, RBE_DIV_TOP5, n);
    const struct rbe_ratio accepted = mean_of(v, RBE_DIV_ACCEPTANCE, n);
    const struct rbe_ratio dp = mean_of(v, RBE_DIV_DP, n), dp2 = mean_of(v, RBE_DIV_DP2, n);
    const double rms = sqrt(dp2.value);
    const double total = RBE_NUMBER_AT(record, windows_total);
    double tokens = 0;
    json_t *samples = json_object();
    int bad = 0;

    for (int i = 0; i < RBE_DIV_SUMS; i++) {
        json_t *a = json_array();
        for (size_t k = 0; k < n; k++)
            json_array_append_new(a, is_count(i)
                                         ? json_integer((json_int_t)v->sum[i][k])
                                         : rbe_result_real(v->sum[i][k]));
        bad |= json_object_set_new(samples, sum_names[i], a);
    }
    for (size_t k = 0; k < n; k++)
        tokens += v->sum[RBE_DIV_TOKENS][k];
    bad |= RBE_SET(
        record, RBE_INT(windows, n), RBE_INT(first_window, first_window),
        RBE_FLAG(complete, (double)n == total && !first_window), RBE_INT(tokens, tokens),
        RBE_JSON(kl, RBE_OBJECT(RBE_REAL(mean, kl.value), RBE_REAL(mean_se, kl.se),
                                RBE_REAL(p50, rbe_histogram_quantile(&v->kl, 0.5)),
                                RBE_REAL(p90, rbe_histogram_quantile(&v->kl, 0.9)),
                                RBE_REAL(p99, rbe_histogram_quantile(&v->kl, 0.99)),
                                RBE_REAL(p999, rbe_histogram_quantile(&v->kl, 0.999)),
                                RBE_REAL(max, v->max_kl))));
    bad |= RBE_SET(record,
                   RBE_JSON(top1, RBE_OBJECT(RBE_REAL(agreement, top1.value),
                                             RBE_REAL(agreement_se, top1.se))),
                   RBE_JSON(top5, RBE_OBJECT(RBE_REAL(agreement, top5.value / RBE_DIV_TOP),
                                             RBE_REAL(agreement_se, top5.se / RBE_DIV_TOP))),
                   RBE_JSON(acceptance, RBE_OBJECT(RBE_REAL(rate, accepted.value),
                                                   RBE_REAL(rate_se, accepted.se))));
    /* d sqrt(x) = dx / (2 sqrt(x)). */
    bad |=
        RBE_SET(record,
                RBE_JSON(true_token,
                         RBE_OBJECT(RBE_REAL(mean, dp.value), RBE_REAL(mean_se, dp.se),
                                    RBE_REAL(rms, rms), RBE_REAL(rms_se, dp2.se / (2 * rms)),
                                    RBE_REAL(p50_abs, rbe_histogram_quantile(&v->dp, 0.5)),
                                    RBE_REAL(p99_abs, rbe_histogram_quantile(&v->dp, 0.99)))),
                RBE_REAL(perplexity_ratio, exp(mean_of(v, RBE_DIV_NLL_MODEL, n).value -
                                               mean_of(v, RBE_DIV_NLL_BASE, n).value)),
                RBE_JSON(samples, samples), RBE_JSON(kl_histogram, histogram_json(&v->kl)),
                RBE_JSON(true_token_histogram, histogram_json(&v->dp)));
    return bad;
}

enum rbe_status rbe_divergence_read(struct rbe_divergence *v, const json_t *record,
                                    struct rbe_diag *d)
{
    const json_t *samples = RBE_VALUE_AT(record, samples);
    const size_t n = json_array_size(RBE_VALUE_AT(samples, tokens));
    const double max = RBE_NUMBER_AT(record, kl, max);
    enum rbe_status err = rbe_divergence_reserve(v, n, d);

    if (err)
        return err;
    for (int i = 0; i < RBE_DIV_SUMS; i++) {
        const json_t *a = json_object_get(samples, sum_names[i]);
        if (!json_is_array(a) || json_array_size(a) != n)
            return rbe_fail(d, RBE_ERR_FORMAT, "a divergence record without its samples");
        for (size_t k = 0; k < n; k++)
            v->sum[i][v->windows + k] = json_number_value(json_array_get(a, k));
    }
    if ((err = histogram_read(&v->kl, RBE_VALUE_AT(record, kl_histogram), d)) ||
        (err = histogram_read(&v->dp, RBE_VALUE_AT(record, true_token_histogram), d)))
        return err;
    v->windows += n;
    if (max > v->max_kl)
        v->max_kl = max;
    return RBE_OK;
}

/*
 * sensitivity.c - divergence of predictions when a matrix is changed (sensitivity.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/sensitivity.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/elementwise.h"
#include "model/weights.h"

enum { WINDOW = 512, WINDOWS = 4, WINDOW_SHORT = 256, LOGITS = 64 };
#define KEPT_FLOATS ((size_t)64 << 20)

struct rbe_sensitivity {
    struct rbe_model *model;
    struct rbe_session *session;
    struct rbe_pool *pool;
    uint32_t *tokens;           /* [windows][length] */
    size_t windows, length;
    float *base;                /* [windows][length][vocab], probabilities */
    double *base_log;           /* [windows][length], mean of their logarithms */
    float *logits;              /* [LOGITS][vocab] */
    double kl[LOGITS];
    float *trace;               /* [windows][n_layer][length][n_embd], the residual stream */
};

/* Sum of p (logit - lse), in lanes of a fixed order. */
static double mean_log(const float *p, const float *logits, double lse, size_t vocab)
{
    double sum[8] = {0}, total = 0;
    size_t k = 0;

    for (; k + 8 <= vocab; k += 8)
        for (size_t l = 0; l < 8; l++)
            sum[l] += (double)p[k + l] * ((double)logits[k + l] - lse);
    for (size_t l = 0; l < 8; l++)
        total += sum[l];
    for (; k < vocab; k++)
        total += (double)p[k] * ((double)logits[k] - lse);
    return total;
}

double rbe_prediction(float *p, const float *logits, size_t vocab)
{
    const struct rbe_elementwise *e = rbe_elementwise_best(rbe_cpu_isa());

    memcpy(p, logits, vocab * sizeof *p);
    e->softmax(p, vocab);
    return mean_log(p, logits, e->log_sum_exp(logits, vocab), vocab);
}

/* The weights p are rounded, the difference of the logarithms that they weigh is not: what is
 * lost is a part in ten million of each term. */
double rbe_prediction_divergence(const float *p, double log_p, const float *logits,
                                 size_t vocab)
{
    const struct rbe_elementwise *e = rbe_elementwise_best(rbe_cpu_isa());
    const double kl = log_p - mean_log(p, logits, e->log_sum_exp(logits, vocab), vocab);

    return kl < 0 ? 0 : kl;
}

static size_t trace_floats(const struct rbe_sensitivity *s, const struct rbe_model_config *c)
{
    return c->n_layer * s->length * c->n_embd;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Rows of logits that become the base, or are compared with it. */
struct rows {
    struct rbe_sensitivity *s;
    size_t first, count, vocab;     /* of the base */
    bool compare;
};

static void work(void *arg, unsigned i, unsigned n)
{
    const struct rows *r = arg;
    struct rbe_sensitivity *s = r->s;

    for (size_t t = r->count * i / n; t < r->count * (i + 1) / n; t++) {
        float *p = s->base + (r->first + t) * r->vocab;
        const float *logits = s->logits + t * r->vocab;

        if (r->compare)
            s->kl[t] = rbe_prediction_divergence(p, s->base_log[r->first + t], logits,
                                                 r->vocab);
        else
            s->base_log[r->first + t] = rbe_prediction(p, logits, r->vocab);
    }
}

/* Predictions of window w, LOGITS at a time: kept in base, or compared with it, when nothing
 * below `layer` has changed. */
static enum rbe_status run(struct rbe_sensitivity *s, size_t w, int layer, double *kl,
                           struct rbe_diag *d)
{
    const struct rbe_model_config *c = rbe_model_config(s->model);
    float *trace = s->trace + w * trace_floats(s, c);
    enum rbe_status err;

    rbe_session_truncate(s->session, 0);
    const int from = kl && layer > 0 ? layer : 0;
    rbe_session_trace(s->session, !kl || from ? trace : NULL, (uint32_t)from);
    err = rbe_forward(s->session, s->tokens + w * s->length, s->length, d);
    for (size_t at = 0; at < s->length && !err; at += LOGITS) {
        struct rows r = {s, w * s->length + at, least(LOGITS, s->length - at), c->vocab, kl};

        if ((err = rbe_logits(s->session, at, r.count, s->logits, d)))
            break;
        rbe_pool_run(s->pool, work, &r);
        for (size_t t = 0; kl && t < r.count; t++)
            *kl += s->kl[t];
    }
    return err;
}

static void set_windows(struct rbe_sensitivity *s, const struct rbe_model_config *c,
                        size_t tokens)
{
    s->length = least(c->n_ctx, tokens ? least(tokens, WINDOW_SHORT) : WINDOW);
    s->windows = least(tokens ? tokens / s->length : WINDOWS,
                       KEPT_FLOATS / (c->vocab * s->length));
    s->windows = s->windows < 1 ? 1 : s->windows;
}

static struct rbe_session_limits session_limits(const struct rbe_sensitivity *s)
{
    return (struct rbe_session_limits){.max_tokens = (uint32_t)s->length,
                                       .max_batch = (uint32_t)s->length,
                                       .max_logits = LOGITS};
}

size_t rbe_sensitivity_bytes(const struct rbe_model_config *c, size_t tokens)
{
    struct rbe_sensitivity s = {0};

    set_windows(&s, c, tokens);
    return sizeof s + s.windows * s.length * (sizeof *s.tokens + sizeof *s.base_log +
                                              c->vocab * sizeof *s.base) +
           LOGITS * (size_t)c->vocab * sizeof *s.logits +
           s.windows * trace_floats(&s, c) * sizeof *s.trace +
           (size_t)rbe_model_config_params(c) * sizeof(float) +
           rbe_session_plain_bytes(c, session_limits(&s));
}

enum rbe_status rbe_sensitivity_open(struct rbe_sensitivity **out, const char *model_path,
                                     const struct rbe_calibration *c, size_t tokens,
                                     struct rbe_pool *pool, struct rbe_diag *d)
{
    struct rbe_sensitivity *s = calloc(1, sizeof *s);
    enum rbe_status err;

    *out = NULL;
    if (!s)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    s->pool = pool;
    if ((err = rbe_model_open(&s->model, model_path, d)))
        goto out;
    if (rbe_model_is_rbe(s->model)) {
        err = rbe_fail(d, RBE_ERR_ARG, "%s: already an RBE model", model_path);
        goto out;
    }
    const struct rbe_model_config *config = rbe_model_config(s->model);
    const size_t vocab = config->vocab, total = rbe_calibration_tokens(c);
    set_windows(s, config, tokens);
    s->tokens = malloc(s->windows * s->length * sizeof *s->tokens);
    s->base = malloc(s->windows * s->length * vocab * sizeof *s->base);
    s->base_log = malloc(s->windows * s->length * sizeof *s->base_log);
    s->logits = malloc(LOGITS * vocab * sizeof *s->logits);
    s->trace = malloc(s->windows * trace_floats(s, config) * sizeof *s->trace);
    if (!s->tokens || !s->base || !s->base_log || !s->logits || !s->trace) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    for (size_t w = 0; w < s->windows; w++)     /* spread over the text */
        memcpy(s->tokens + w * s->length,
               rbe_calibration_text(c) + total / s->windows * w,
               s->length * sizeof *s->tokens);
    err = rbe_session_open(&s->session, s->model, session_limits(s), pool, d);
    for (size_t w = 0; w < s->windows && !err; w++)
        err = run(s, w, -1, NULL, d);
out:
    if (err)
        rbe_sensitivity_close(&s);
    *out = s;
    return err;
}

void rbe_sensitivity_close(struct rbe_sensitivity **ps)
{
    struct rbe_sensitivity *s = *ps;

    if (!s)
        return;
    rbe_session_close(&s->session);
    rbe_model_close(&s->model);
    free(s->tokens);
    free(s->base);
    free(s->base_log);
    free(s->logits);
    free(s->trace);
    free(s);
    *ps = NULL;
}

static const struct rbe_weight *find(const struct rbe_model *m, const char *name)
{
    for (size_t i = 0; i < m->own_count; i++)
        if (!strcmp(name, m->own_weights[i].name))
            return &m->own_weights[i];
    return NULL;
}

enum rbe_status rbe_sensitivity_measure(struct rbe_sensitivity *s, const char *name,
                                        size_t row0, size_t rows, const float *change,
                                        double *kl, struct rbe_diag *d)
{
    const struct rbe_weight *m = find(s->model, name);
    enum rbe_status err = RBE_OK;
    int layer;

    *kl = 0;
    if (!m || row0 + rows > m->rows)
        return rbe_fail(d, RBE_ERR_ARG, "the model has no rows %zu to %zu of '%s'", row0,
                        row0 + rows, name);
    /* A plain checkpoint's weights are f32 in memory the model owns. */
    float *at = (float *)(uintptr_t)m->parts[0].m.codes + row0 * m->cols;
    const size_t n = rows * m->cols;
    float *keep = malloc(n * sizeof *keep);
    if (!keep)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    memcpy(keep, at, n * sizeof *keep);
    for (size_t i = 0; i < n; i++)
        at[i] += change[i];
    rbe_arch_by_name(name, &layer);
    for (size_t i = 0; i < s->windows && !err; i++)
        err = run(s, i, layer, kl, d);
    *kl /= (double)(s->windows * s->length);
    memcpy(at, keep, n * sizeof *at);
    free(keep);
    return err;
}

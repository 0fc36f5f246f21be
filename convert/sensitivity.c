/*
 * sensitivity.c - divergence of predictions when a matrix is changed (sensitivity.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grad/product.h"
#include "kernels/cpu.h"
#include "kernels/elementwise.h"
#include "kernels/vector.h"
#include "model/weights.h"

enum { WINDOW = 512, WINDOWS = 4, WINDOW_SHORT = 256, LOGITS = 64 };
#define KEPT_FLOATS ((size_t)64 << 20)

/* Logits whose moves a thread has at hand, and of which it takes a share: moves, and the
 * weights behind them, are to stay in the second-level cache. */
enum { COLUMNS = 256, SHARE = 4 * COLUMNS };

struct rbe_sensitivity {
    struct rbe_model *model;
    struct rbe_session *session;
    struct rbe_pool *pool;
    struct rbe_product **products;      /* [threads] */
    uint32_t *tokens;           /* [windows][length] */
    size_t windows, length;
    float *base;                /* [windows][length][vocab], probabilities */
    uint32_t *top;              /* [windows][length], the most likely */
    float *hidden;              /* [windows][length][n_embd], what gave them */
    float *trace;               /* [windows][n_layer][length][n_embd], the residual stream */
    float *by;                  /* [length][n_embd]: how hidden has moved */
    float *from;                /* [length], and the logit of `top`: moves count from there, or
                                 * one that is common to all would drown the others */
    float *moves;               /* [threads][length][COLUMNS], of logits */
    double (*tilt)[2];          /* [shares][length] */
};

double rbe_prediction_divergence(const double tilt[2])
{
    const double kl = log1p(tilt[0] + tilt[1]) - tilt[0];

    /* Rounding can bring it below 0; NaN stays. */
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

static size_t shares_of(const struct rbe_model_config *c)
{
    return (c->vocab + SHARE - 1) / SHARE;
}

/* Logits become probabilities. */
struct logits {
    float *p;
    uint32_t *top;
    size_t count, vocab;
};

static void normalise(void *arg, unsigned i, unsigned n)
{
    const struct logits *l = arg;
    const struct rbe_elementwise *e = rbe_elementwise_best(rbe_cpu_isa());

    for (size_t t = l->count * i / n; t < l->count * (i + 1) / n; t++) {
        l->top[t] = (uint32_t)e->largest(l->p + t * l->vocab, l->vocab);
        e->softmax(l->p + t * l->vocab, l->vocab);
    }
}

/* The original's predictions of window w, LOGITS at a time. */
static enum rbe_status keep(struct rbe_sensitivity *s, size_t w, struct rbe_diag *d)
{
    const struct rbe_model_config *c = rbe_model_config(s->model);
    float *p = s->base + w * s->length * c->vocab;
    enum rbe_status err;

    rbe_session_truncate(s->session, 0);
    rbe_session_trace(s->session, s->trace + w * trace_floats(s, c), 0);
    err = rbe_forward(s->session, s->tokens + w * s->length, s->length, d);
    for (size_t at = 0; at < s->length && !err; at += LOGITS) {
        struct logits l = {p + at * c->vocab, s->top + w * s->length + at,
                           least(LOGITS, s->length - at), c->vocab};

        if (!(err = rbe_logits(s->session, at, l.count, l.p, d)))
            rbe_pool_run(s->pool, normalise, &l);
    }
    if (!err)
        memcpy(s->hidden + w * s->length * c->n_embd, rbe_session_hidden(s->session),
               s->length * c->n_embd * sizeof *s->hidden);
    return err;
}

/* What a window's logits move by. */
struct move {
    struct rbe_sensitivity *s;
    const float *base;          /* [length][vocab] */
    const uint32_t *top;        /* [length] */
    const float *hidden;        /* [length][n_embd], the original's */
    const float *output;        /* [vocab][n_embd], as it is now */
    const float *change;        /* [rows][n_embd] what was added to it from row0 on */
    size_t row0, rows;
    size_t vocab, cols;
    struct rbe_taken taken;
};

/* tilt[t] += that of the moves of logits first .. first + count - 1. */
static void add_moves(const struct move *m, struct rbe_product *product, float *moves,
                      double (*tilt)[2], size_t first, size_t count)
{
    const struct rbe_vector *v = rbe_vector_best(rbe_cpu_isa());
    const size_t length = m->s->length, cols = m->cols;
    const size_t from = first > m->row0 ? first : m->row0;
    const size_t end = least(first + count, m->row0 + m->rows);

    rbe_product_run(product, length, count, cols, 1,
                    (struct rbe_factor){.v = m->s->by, .ld = cols},
                    (struct rbe_factor){.v = m->output + first * cols, .ld = cols, .t = true},
                    0, moves, COLUMNS);
    if (from < end)
        rbe_product_run(product, length, end - from, cols, 1,
                        (struct rbe_factor){.v = m->hidden, .ld = cols},
                        (struct rbe_factor){.v = m->change + (from - m->row0) * cols,
                                            .ld = cols, .t = true},
                        1, moves + from - first, COLUMNS);
    for (size_t t = 0; t < length; t++)
        v->tilt(tilt[t], m->base + t * m->vocab + first, moves + t * COLUMNS, count,
                m->s->from[t]);
}

static double dot(const float *a, const float *b, size_t n)
{
    double s = 0;

    for (size_t i = 0; i < n; i++)
        s += (double)a[i] * (double)b[i];
    return s;
}

/* Sets `by` and `from`. */
static void set_moves(const struct move *m, const float *hidden)
{
    struct rbe_sensitivity *s = m->s;
    const size_t cols = m->cols;

    for (size_t i = 0; i < s->length * cols; i++)
        s->by[i] = hidden[i] - m->hidden[i];
    for (size_t t = 0; t < s->length; t++) {
        const size_t top = m->top[t];
        double from = dot(m->output + top * cols, s->by + t * cols, cols);

        if (top >= m->row0 && top < m->row0 + m->rows)
            from += dot(m->change + (top - m->row0) * cols, m->hidden + t * cols, cols);
        s->from[t] = (float)from;
    }
}

static void compare_shares(void *arg, unsigned i, unsigned n)
{
    struct move *m = arg;
    struct rbe_sensitivity *s = m->s;
    float *moves = s->moves + i * s->length * COLUMNS;
    size_t share, end;

    while (rbe_take(&m->taken, (m->vocab + SHARE - 1) / SHARE, i, n, &share, &end))
        for (; share < end; share++) {
            const size_t stop = least((share + 1) * SHARE, m->vocab);
            double (*tilt)[2] = s->tilt + share * s->length;

            memset(tilt, 0, s->length * sizeof *tilt);
            for (size_t at = share * SHARE; at < stop; at += COLUMNS)
                add_moves(m, s->products[i], moves, tilt, at, least(COLUMNS, stop - at));
        }
}

/* Adds the divergences of window w's predictions, when nothing below `layer` has changed, and
 * of the output layer's rows those of m. */
static enum rbe_status compare(struct rbe_sensitivity *s, size_t w, int layer,
                               struct move m, double *kl, struct rbe_diag *d)
{
    const struct rbe_model_config *c = rbe_model_config(s->model);
    const int from = layer > 0 ? layer : 0;
    enum rbe_status err;

    m.base = s->base + w * s->length * c->vocab;
    m.top = s->top + w * s->length;
    m.hidden = s->hidden + w * s->length * c->n_embd;
    rbe_session_truncate(s->session, 0);
    rbe_session_trace(s->session, from ? s->trace + w * trace_floats(s, c) : NULL,
                      (uint32_t)from);
    if ((err = rbe_forward(s->session, s->tokens + w * s->length, s->length, d)))
        return err;
    set_moves(&m, rbe_session_hidden(s->session));
    rbe_pool_run(s->pool, compare_shares, &m);
    for (size_t t = 0; t < s->length; t++) {
        double tilt[2] = {0};

        for (size_t k = 0; k < shares_of(c); k++)
            for (int i = 0; i < 2; i++)
                tilt[i] += s->tilt[k * s->length + t][i];
        *kl += rbe_prediction_divergence(tilt);
    }
    return isfinite(*kl) ? RBE_OK
                         : rbe_fail(d, RBE_ERR_NUMERIC, "%s: logits are not finite",
                                    rbe_model_path(s->model));
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

size_t rbe_sensitivity_bytes(const struct rbe_model_config *c, size_t tokens, bool bf16,
                             unsigned threads)
{
    struct rbe_sensitivity s = {0};

    set_windows(&s, c, tokens);
    return sizeof s + s.windows * s.length * (sizeof *s.tokens + c->vocab * sizeof *s.base +
                                              sizeof *s.top + c->n_embd * sizeof *s.hidden) +
           s.windows * trace_floats(&s, c) * sizeof *s.trace +
           s.length * (c->n_embd * sizeof *s.by + sizeof *s.from +
                       threads * COLUMNS * sizeof *s.moves + shares_of(c) * sizeof *s.tilt) +
           threads * (sizeof *s.products + rbe_product_bytes(bf16)) +
           (size_t)rbe_model_config_params(c) * sizeof(float) +
           rbe_session_plain_bytes(c, session_limits(&s));
}

enum rbe_status rbe_sensitivity_open(struct rbe_sensitivity **out, const char *model_path,
                                     const struct rbe_calibration *c, size_t tokens, bool bf16,
                                     struct rbe_pool *pool, struct rbe_diag *d)
{
    const unsigned threads = rbe_pool_threads(pool);
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
    s->top = malloc(s->windows * s->length * sizeof *s->top);
    s->hidden = malloc(s->windows * s->length * config->n_embd * sizeof *s->hidden);
    s->trace = malloc(s->windows * trace_floats(s, config) * sizeof *s->trace);
    s->by = malloc(s->length * config->n_embd * sizeof *s->by);
    s->from = malloc(s->length * sizeof *s->from);
    s->moves = malloc(threads * s->length * COLUMNS * sizeof *s->moves);
    s->tilt = malloc(shares_of(config) * s->length * sizeof *s->tilt);
    s->products = calloc(threads, sizeof *s->products);
    if (!s->tokens || !s->base || !s->top || !s->hidden || !s->trace || !s->by || !s->from ||
        !s->moves || !s->tilt || !s->products) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    for (unsigned i = 0; i < threads; i++)
        if ((err = rbe_product_open(&s->products[i], bf16, d)))
            goto out;
    for (size_t w = 0; w < s->windows; w++)     /* spread over the text */
        memcpy(s->tokens + w * s->length,
               rbe_calibration_text(c) + total / s->windows * w,
               s->length * sizeof *s->tokens);
    if ((err = rbe_session_open(&s->session, s->model, session_limits(s), pool, d)))
        goto out;
    for (size_t w = 0; w < s->windows && !err; w++)
        err = keep(s, w, d);
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
    for (unsigned i = 0; s->products && i < rbe_pool_threads(s->pool); i++)
        rbe_product_close(&s->products[i]);
    free(s->products);
    rbe_session_close(&s->session);
    rbe_model_close(&s->model);
    free(s->tokens);
    free(s->base);
    free(s->hidden);
    free(s->trace);
    free(s->by);
    free(s->top);
    free(s->from);
    free(s->moves);
    free(s->tilt);
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
    const struct rbe_weight *output = s->model->whole.weight[RBE_ROLE_OUTPUT];
    const bool moves = output->parts[0].m.codes == m->parts[0].m.codes;
    const struct move all = {.s = s,
                             .output = output->parts[0].m.codes,
                             .change = change,
                             .row0 = row0,
                             .rows = moves ? rows : 0,
                             .vocab = output->rows,
                             .cols = output->cols};
    for (size_t i = 0; i < s->windows && !err; i++)
        err = compare(s, i, layer, all, kl, d);
    *kl /= (double)(s->windows * s->length);
    memcpy(at, keep, n * sizeof *at);
    free(keep);
    return err;
}

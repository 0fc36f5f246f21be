/*
 * calibrate.c - second moments of the inputs of every weight matrix.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gpt2/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpt2/data.h"
#include "gpt2/dense.h"
#include "gpt2/grad.h"
#include "gpt2/tokenizer.h"
#include "rbe/file.h"
#include "rbe/stats.h"

enum {
    WINDOWS_MIN = 8,
    LOGITS = 64,                /* rows of logits asked for at once, only for their inputs */
    STRIPE = 64,                /* rows of H computed at once */
    NAME_SIZE = 64,
};

/* Limits of a row's weight over the mean of all. */
#define ROW_LEAST 0.05
#define ROW_MOST 20.0

/* One weight's inputs, and the gradients by its outputs. */
struct site {
    char name[NAME_SIZE];
    size_t rows, cols;
    double weight;              /* of the positions, summed */
    float *moment;              /* [cols][cols]: sums, then means */
    double *energy;             /* [rows] sums of g^2; NULL by RBE_METRIC_INPUTS */
    float *importance;          /* [rows], mean 1; as energy */
};

struct rbe_calibration {
    enum rbe_metric metric;
    struct site *sites;
    size_t site_count, tokens;
    uint32_t *text;             /* [tokens] */
    char sha256[65];

    /* While gathering. */
    struct rbe_pool *pool;
    float *weights;             /* [tokens of a window], for RBE_METRIC_FISHER */
    float *scaled;              /* [tokens of a window][largest cols], the same */
    bool failed;                /* out of memory in the tap */
};

/* --- gathering ---------------------------------------------------------------------------- */

static struct site *find(const struct rbe_calibration *c, const char *name)
{
    for (size_t i = 0; i < c->site_count; i++)
        if (strcmp(c->sites[i].name, name) == 0)
            return &c->sites[i];
    return NULL;
}

static struct site *add_site(struct rbe_calibration *c, const char *name, size_t rows,
                             size_t cols)
{
    struct site *grown = realloc(c->sites, (c->site_count + 1) * sizeof *grown);

    if (!grown)
        return NULL;
    c->sites = grown;
    struct site *s = &grown[c->site_count];
    *s = (struct site){.rows = rows, .cols = cols,
                       .moment = calloc(cols * cols, sizeof *s->moment),
                       .energy = rows ? calloc(rows, sizeof *s->energy) : NULL,
                       .importance = rows ? calloc(rows, sizeof *s->importance) : NULL};
    if (!s->moment || (rows && (!s->energy || !s->importance))) {
        free(s->moment);
        free(s->energy);
        free(s->importance);
        return NULL;
    }
    strncpy(s->name, name, NAME_SIZE - 1);
    c->site_count++;
    return s;
}

/* `count` positions' inputs of a site, and gradients by its outputs, or by the logits. */
struct gather {
    struct rbe_calibration *c;
    struct site *s;
    const float *x, *dy;        /* [count][ldx]; [count][s->rows], NULL for on_product() */
    size_t ldx, count;
    bool logits;
};

/* Stripes of the upper triangle, taken in turn: later ones are shorter. */
static void gather_part(void *arg, unsigned i, unsigned n)
{
    const struct gather *g = arg;
    const size_t cols = g->s->cols;

    for (size_t at = i * STRIPE; at < cols; at += n * STRIPE) {
        const size_t rows = cols - at < STRIPE ? cols - at : STRIPE;

        rbe_sgemm(true, false, rows, cols - at, g->count, 1, g->x + at, g->ldx, g->x + at,
                  g->ldx, 1, g->s->moment + at * cols + at, cols);
    }
}

static void on_product(void *arg, const char *name, const float *x, size_t ldx, size_t count,
                       size_t cols)
{
    struct rbe_calibration *c = arg;
    struct site *s = find(c, name);

    if (!s && !(s = add_site(c, name, 0, cols))) {
        c->failed = true;
        return;
    }
    struct gather g = {.c = c, .s = s, .x = x, .ldx = ldx, .count = count};
    rbe_pool_run(c->pool, gather_part, &g);
    s->weight += (double)count;
}

/* The Fisher information of one output: g^2; of a logit, whose gradient is p, or p - 1 for the
 * token that was drawn, the mean over what might have been drawn, p (1 - p). */
static float energy(bool logit, float g)
{
    const float a = fabsf(g);

    return logit ? a * (1 - a) : g * g;
}

/* Thread i's positions: their weights, and their inputs times the root of those. */
static void weigh_positions(void *arg, unsigned i, unsigned n)
{
    const struct gather *g = arg;
    const size_t cols = g->s->cols;
    size_t begin, end;

    rbe_split(g->count, 1, i, n, &begin, &end);
    for (size_t t = begin; t < end; t++) {
        const float *dy = g->dy + t * g->s->rows;
        double sum = 0;

        for (size_t k = 0; k < g->s->rows; k++)
            sum += (double)energy(g->logits, dy[k]);
        /* A few positions have gradients far above all others (docs/ENCODER.md). */
        const float w = (float)(g->logits ? sum : sqrt(sum)), root = sqrtf(w);
        g->c->weights[t] = w;
        for (size_t k = 0; k < cols; k++)
            g->c->scaled[t * cols + k] = root * g->x[t * cols + k];
    }
}

/* Thread i's output rows. */
static void weigh_rows(void *arg, unsigned i, unsigned n)
{
    const struct gather *g = arg;
    const size_t rows = g->s->rows;
    size_t begin, end;

    rbe_split(rows, 16, i, n, &begin, &end);
    for (size_t t = 0; t < g->count; t++)
        for (size_t k = begin; k < end; k++)
            g->s->energy[k] += (double)energy(g->logits, g->dy[t * rows + k]);
}

static void on_gradient(void *arg, const struct rbe_train_slice *slice, const float *x,
                        const float *dy, size_t count)
{
    struct rbe_calibration *c = arg;
    struct site *s = find(c, slice->name);

    if (!s && !(s = add_site(c, slice->name, slice->rows, slice->cols))) {
        c->failed = true;
        return;
    }
    struct gather g = {.c = c, .s = s, .x = x, .dy = dy, .ldx = s->cols, .count = count,
                       .logits = strcmp(slice->name, "wte.weight") == 0};
    rbe_pool_run(c->pool, weigh_rows, &g);
    rbe_pool_run(c->pool, weigh_positions, &g);
    g.x = c->scaled;
    for (size_t t = 0; t < count; t++)
        s->weight += (double)c->weights[t];
    rbe_pool_run(c->pool, gather_part, &g);
}

static enum rbe_status run_window(struct rbe_session *s, const uint32_t *tokens, size_t n,
                                  float *logits, struct rbe_diag *d)
{
    enum rbe_status err;

    rbe_session_truncate(s, 0);
    err = rbe_forward(s, tokens, n, d);
    for (size_t at = 0; at < n && !err; at += LOGITS)
        err = rbe_logits(s, at, n - at < LOGITS ? n - at : LOGITS, logits, d);
    return err;
}

/* Sums to means, the lower triangle from the upper. */
static enum rbe_status finish_moment(struct site *s, struct rbe_diag *d)
{
    const float inverse = (float)(1 / s->weight);

    for (size_t a = 0; a < s->cols; a++)
        for (size_t b = a; b < s->cols; b++) {
            const float v = s->moment[a * s->cols + b] * inverse;
            if (!isfinite(v))
                return rbe_fail(d, RBE_ERR_NUMERIC,
                                "calibration: the inputs of '%s' are not finite", s->name);
            s->moment[a * s->cols + b] = v;
            s->moment[b * s->cols + a] = v;
        }
    return RBE_OK;
}

/* Roots of the energies to weights of mean 1, then within limits: a row that was hardly met
 * still has a cost. */
static void finish_rows(struct site *s)
{
    double mean = 0;

    for (size_t i = 0; i < s->rows; i++)
        mean += sqrt(s->energy[i]) / (double)s->rows;
    for (size_t i = 0; i < s->rows; i++) {
        const double v = mean > 0 ? sqrt(s->energy[i]) / mean : 1;
        s->importance[i] = (float)(v < ROW_LEAST ? ROW_LEAST : v > ROW_MOST ? ROW_MOST : v);
    }
}

static enum rbe_status finish(const struct rbe_calibration *c, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < c->site_count && !err; i++)
        err = finish_moment(&c->sites[i], d);
    for (size_t i = 0; i < c->site_count && !err; i++)
        finish_rows(&c->sites[i]);
    return err;
}

/* An empty calibration for the whole windows of `count` tokens. */
static enum rbe_status begin(struct rbe_calibration **out, enum rbe_metric metric,
                             const struct rbe_gpt2_config *config, const uint32_t *tokens,
                             size_t count, struct rbe_pool *pool, struct rbe_diag *d)
{
    const size_t n = config->n_ctx, windows = count / n;

    *out = NULL;
    if (windows < WINDOWS_MIN)
        return rbe_fail(d, RBE_ERR_ARG,
                        "calibration text too short: %zu tokens, at least %zu are needed",
                        count, n * WINDOWS_MIN);
    struct rbe_calibration *c = calloc(1, sizeof *c);
    if (!c || !(c->text = malloc(windows * n * sizeof *c->text))) {
        rbe_calibration_close(&c);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    memcpy(c->text, tokens, windows * n * sizeof *c->text);
    c->tokens = windows * n;
    c->metric = metric;
    c->pool = pool;
    *out = c;
    return RBE_OK;
}

/* After window w of them; interrupts are looked for. */
static enum rbe_status window_done(const struct rbe_calibration *c, size_t done,
                                    struct rbe_progress *progress, struct rbe_diag *d)
{
    if (progress)
        rbe_progress_update(progress, (double)done, NULL);
    if (c->failed)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    return rbe_interrupted() ? rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted") : RBE_OK;
}

static enum rbe_status end(struct rbe_calibration **out, struct rbe_calibration *c,
                           enum rbe_status err, struct rbe_progress *progress,
                           struct rbe_diag *d)
{
    if (progress)
        rbe_progress_end(progress);
    if (!err)
        err = finish(c, d);
    free(c->weights);
    free(c->scaled);
    c->weights = c->scaled = NULL;
    c->pool = NULL;
    if (err)
        rbe_calibration_close(&c);
    *out = c;
    return err;
}

static struct rbe_session_limits tap_limits(const struct rbe_gpt2_config *c)
{
    return (struct rbe_session_limits){.max_batch = c->n_ctx, .max_logits = LOGITS};
}

static uint32_t widest(const struct rbe_gpt2_config *c)
{
    return c->n_embd > c->n_inner ? c->n_embd : c->n_inner;
}

enum rbe_status rbe_calibrate(struct rbe_calibration **out, struct rbe_gpt2 *m,
                              const uint32_t *tokens, size_t count, struct rbe_pool *pool,
                              struct rbe_progress *progress, struct rbe_diag *d)
{
    const struct rbe_gpt2_config *config = rbe_gpt2_config(m);
    const size_t n = config->n_ctx;
    struct rbe_calibration *c;
    struct rbe_session *s = NULL;
    enum rbe_status err;

    *out = NULL;
    if ((err = begin(&c, RBE_METRIC_INPUTS, config, tokens, count, pool, d)))
        return err;
    float *logits = malloc(LOGITS * (size_t)config->vocab * sizeof *logits);
    err = logits ? rbe_session_open(&s, m, tap_limits(config), pool, d)
                 : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (!err) {
        rbe_session_tap(s, on_product, c);
        rbe_session_stop_early(s, true);
    }
    if (progress)
        rbe_progress_start(progress, "calibrate", "tokens", (double)c->tokens);
    for (size_t at = 0; at < c->tokens && !err; at += n)
        if (!(err = run_window(s, c->text + at, n, logits, d)))
            err = window_done(c, at + n, progress, d);
    rbe_session_close(&s);
    free(logits);
    return end(out, c, err, progress, d);
}

/* One window at a time, no gradients of parameters. */
static struct rbe_train_limits fisher_limits(const struct rbe_gpt2_config *c)
{
    return (struct rbe_train_limits){.batch = 1, .time = c->n_ctx, .tap_only = true,
                                     .recompute = true};
}

size_t rbe_calibration_kept_bytes(const struct rbe_gpt2_config *c, enum rbe_metric metric)
{
    const size_t e = c->n_embd, f = c->n_inner, layers = c->n_layer;
    const size_t moments = layers * (3 * e * e + f * f) + e * e;
    const size_t rows = layers * (5 * e + f) + c->vocab;

    return moments * sizeof(float) + RBE_CALIBRATION_TOKENS * sizeof(uint32_t) +
           (metric == RBE_METRIC_FISHER ? rows * (sizeof(double) + sizeof(float)) : 0);
}

size_t rbe_calibration_bytes(const struct rbe_gpt2_config *c, enum rbe_metric metric,
                             unsigned threads)
{
    const size_t kept = rbe_calibration_kept_bytes(c, metric);

    if (metric == RBE_METRIC_FISHER)
        return kept + c->n_ctx * (2 + (size_t)widest(c)) * sizeof(float) +
               rbe_train_bytes(c, fisher_limits(c), threads);
    return kept + (LOGITS * (size_t)c->vocab + (size_t)rbe_gpt2_config_params(c)) *
           sizeof(float) + rbe_session_plain_bytes(c, tap_limits(c));
}

enum rbe_status rbe_calibrate_fisher(struct rbe_calibration **out, const struct rbe_source *s,
                                     const uint32_t *tokens, size_t count,
                                     struct rbe_pool *pool, struct rbe_progress *progress,
                                     struct rbe_diag *d)
{
    const struct rbe_gpt2_config *config = &s->config;
    const struct rbe_train_limits limits = fisher_limits(config);
    const struct rbe_loss loss = {.temperature = 1};
    const size_t n = config->n_ctx;
    struct rbe_loss_sums sums = {0};
    struct rbe_calibration *c;
    struct rbe_train *t = NULL;
    float *draws = NULL;
    uint64_t seed = 1;
    enum rbe_status err;

    *out = NULL;
    if ((err = begin(&c, RBE_METRIC_FISHER, config, tokens, count, pool, d)))
        return err;
    c->weights = malloc(n * sizeof *c->weights);
    c->scaled = malloc(n * widest(config) * sizeof *c->scaled);
    draws = malloc(n * sizeof *draws);
    if (!c->weights || !c->scaled || !draws)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    else if (!(err = rbe_train_open(&t, config, limits, pool, d)))
        err = rbe_train_load(t, s, d);
    if (!err)
        rbe_train_tap(t, on_gradient, c);
    if (progress)
        rbe_progress_start(progress, "calibrate", "tokens", (double)c->tokens);
    for (size_t at = 0; at < c->tokens && !err; at += n) {
        const struct rbe_train_batch b = {.batch = 1, .time = config->n_ctx,
                                          .tokens = c->text + at, .draws = draws};
        for (size_t i = 0; i < n; i++)
            draws[i] = (float)(rbe_random_next(&seed) >> 40) * 0x1p-24F;
        if (!(err = rbe_train_step(t, &b, &loss, NULL, 1, &sums, d)))
            err = window_done(c, at + n, progress, d);
    }
    rbe_train_close(&t);
    free(draws);
    return end(out, c, err, progress, d);
}

/* --- from files --------------------------------------------------------------------------- */

/* Control bytes are valid UTF-8, and would be tokens as good as any. */
static enum rbe_status check_text(const char *text, size_t size, const char *path,
                                  struct rbe_diag *d)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];

        if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7F)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: not a text: byte 0x%02x at %zu", path, c,
                            i);
    }
    return RBE_OK;
}

enum rbe_status rbe_calibrate_file(struct rbe_calibration **out, const char *model_path,
                                   const char *text_path, enum rbe_metric metric,
                                   size_t tokens, struct rbe_pool *pool,
                                   struct rbe_progress *progress, struct rbe_diag *d)
{
    struct rbe_source *s = NULL;
    struct rbe_gpt2 *m = NULL;
    struct rbe_tokenizer *t = NULL;
    char *shipped = NULL, *text = NULL;
    uint32_t *ids = NULL;
    struct rbe_diag why = {""};
    size_t size, count;
    enum rbe_status err;

    *out = NULL;
    if (!text_path) {
        text_path = shipped = rbe_data_path("calibration.txt");
        if (!shipped)
            return rbe_fail(d, RBE_ERR_IO, "the shipped calibration.txt is not there: name a "
                            "text with --calibration");
    }
    if ((err = rbe_read_file(&text, &size, text_path, d)) ||
        (err = check_text(text, size, text_path, d)) ||
        (err = metric == RBE_METRIC_FISHER ? rbe_source_open(&s, model_path, d)
                                           : rbe_gpt2_open(&m, model_path, d)) ||
        (err = rbe_find_tokenizer(&t, NULL, model_path, s ? &s->config : rbe_gpt2_config(m),
                                  d)))
        goto out;
    if ((err = rbe_tokenizer_encode(t, text, size, false, &ids, &count, &why))) {
        rbe_fail(d, err, "%s: %s", text_path, why.text);
        goto out;
    }
    if (!tokens)
        tokens = RBE_CALIBRATION_TOKENS;
    count = count < tokens ? count : tokens;
    err = s ? rbe_calibrate_fisher(out, s, ids, count, pool, progress, &why)
            : rbe_calibrate(out, m, ids, count, pool, progress, &why);
    /* A text too short is the text's fault; what else fails names the model's tensor. */
    if (err == RBE_ERR_ARG)
        rbe_fail(d, err, "%s: %s", text_path, why.text);
    else if (err)
        rbe_fail(d, err, "%s", why.text);
    else
        rbe_sha256((*out)->sha256, text, size);
out:
    free(ids);
    rbe_tokenizer_close(&t);
    rbe_gpt2_close(&m);
    rbe_source_close(&s);
    free(text);
    free(shipped);
    return err;
}

void rbe_calibration_close(struct rbe_calibration **pc)
{
    struct rbe_calibration *c = *pc;

    if (!c)
        return;
    for (size_t i = 0; i < c->site_count; i++) {
        free(c->sites[i].moment);
        free(c->sites[i].energy);
        free(c->sites[i].importance);
    }
    free(c->sites);
    free(c->text);
    free(c);
    *pc = NULL;
}

const uint32_t *rbe_calibration_text(const struct rbe_calibration *c)
{
    return c->text;
}

size_t rbe_calibration_tokens(const struct rbe_calibration *c)
{
    return c->tokens;
}

const char *rbe_calibration_sha256(const struct rbe_calibration *c)
{
    return c->sha256;
}

const float *rbe_calibration_moment(const struct rbe_calibration *c, const char *name)
{
    const struct site *s = find(c, name);

    return s ? s->moment : NULL;
}

const float *rbe_calibration_rows(const struct rbe_calibration *c, const char *name)
{
    const struct site *s = find(c, name);

    return s ? s->importance : NULL;
}

enum rbe_metric rbe_calibration_metric(const struct rbe_calibration *c)
{
    return c->metric;
}

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
#include "gpt2/tokenizer.h"
#include "rbe/file.h"

enum {
    WINDOWS_MIN = 8,
    LOGITS = 64,                /* rows of logits asked for at once, only for their inputs */
    STRIPE = 64,                /* rows of H computed at once */
    NAME_SIZE = 64,
};

/* Inputs of one weight. */
struct site {
    char name[NAME_SIZE];
    size_t cols, count;
    float *moment;              /* [cols][cols]: sums, then means */
    double *sum;                /* [cols] */
    float *mean;                /* [cols] */
};

struct rbe_calibration {
    struct site *sites;
    size_t site_count, tokens;
    uint32_t *text;             /* [tokens] */
    uint32_t *counts;
    char sha256[65];
    struct rbe_pool *pool;      /* while gathering */
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

static struct site *add_site(struct rbe_calibration *c, const char *name, size_t cols)
{
    struct site *grown = realloc(c->sites, (c->site_count + 1) * sizeof *grown);

    if (!grown)
        return NULL;
    c->sites = grown;
    struct site *s = &grown[c->site_count];
    *s = (struct site){.cols = cols, .moment = calloc(cols * cols, sizeof *s->moment),
                       .sum = calloc(cols, sizeof *s->sum),
                       .mean = calloc(cols, sizeof *s->mean)};
    if (!s->moment || !s->sum || !s->mean) {
        free(s->moment);
        free(s->sum);
        free(s->mean);
        return NULL;
    }
    strncpy(s->name, name, NAME_SIZE - 1);
    c->site_count++;
    return s;
}

struct gather {
    struct site *s;
    const float *x;
    size_t ldx, count;
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

    if (!s && !(s = add_site(c, name, cols))) {
        c->failed = true;
        return;
    }
    struct gather g = {s, x, ldx, count};
    rbe_pool_run(c->pool, gather_part, &g);
    for (size_t t = 0; t < count; t++)
        for (size_t k = 0; k < cols; k++)
            s->sum[k] += (double)x[t * ldx + k];
    s->count += count;
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
static enum rbe_status finish(const struct rbe_calibration *c, struct rbe_diag *d)
{
    for (size_t i = 0; i < c->site_count; i++) {
        struct site *s = &c->sites[i];
        const float inverse = 1 / (float)s->count;

        for (size_t a = 0; a < s->cols; a++) {
            s->mean[a] = (float)(s->sum[a] / (double)s->count);
            for (size_t b = a; b < s->cols; b++) {
                const float v = s->moment[a * s->cols + b] * inverse;
                if (!isfinite(v))
                    return rbe_fail(d, RBE_ERR_NUMERIC,
                                    "calibration: the inputs of '%s' are not finite", s->name);
                s->moment[a * s->cols + b] = v;
                s->moment[b * s->cols + a] = v;
            }
        }
    }
    return RBE_OK;
}

enum rbe_status rbe_calibrate(struct rbe_calibration **out, struct rbe_gpt2 *m,
                              const uint32_t *tokens, size_t count, struct rbe_pool *pool,
                              struct rbe_progress *progress, struct rbe_diag *d)
{
    const struct rbe_gpt2_config *config = rbe_gpt2_config(m);
    const size_t n = config->n_ctx, windows = count / n;
    struct rbe_calibration *c = NULL;
    struct rbe_session *s = NULL;
    float *logits = NULL;
    enum rbe_status err;

    *out = NULL;
    if (windows < WINDOWS_MIN)
        return rbe_fail(d, RBE_ERR_ARG,
                        "calibration text too short: %zu tokens, at least %zu are needed",
                        count, n * WINDOWS_MIN);
    c = calloc(1, sizeof *c);
    logits = malloc(LOGITS * (size_t)config->vocab * sizeof *logits);
    if (!c || !logits || !(c->counts = calloc(config->vocab, sizeof *c->counts)) ||
        !(c->text = malloc(windows * n * sizeof *c->text))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    memcpy(c->text, tokens, windows * n * sizeof *c->text);
    c->pool = pool;
    const struct rbe_session_limits limits = {.max_batch = config->n_ctx,
                                              .max_logits = LOGITS};
    if ((err = rbe_session_open(&s, m, limits, pool, d)))
        goto out;
    rbe_session_tap(s, on_product, c);
    if (progress)
        rbe_progress_start(progress, "calibrate", "tokens", (double)(windows * n));
    for (size_t w = 0; w < windows && !err; w++) {
        if (rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
        else
            err = run_window(s, tokens + w * n, n, logits, d);
        for (size_t i = 0; i < n && !err; i++)
            c->counts[tokens[w * n + i]]++;
        c->tokens += n;
        if (progress)
            rbe_progress_update(progress, (double)c->tokens, NULL);
    }
    if (progress)
        rbe_progress_end(progress);
    if (!err && c->failed)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (!err)
        err = finish(c, d);
    c->pool = NULL;
out:
    rbe_session_close(&s);
    free(logits);
    if (err)
        rbe_calibration_close(&c);
    *out = c;
    return err;
}

/* --- from files --------------------------------------------------------------------------- */

enum rbe_status rbe_calibrate_file(struct rbe_calibration **out, const char *model_path,
                                   const char *text_path, size_t tokens, struct rbe_pool *pool,
                                   struct rbe_progress *progress, struct rbe_diag *d)
{
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
        (err = rbe_gpt2_open(&m, model_path, d)) ||
        (err = rbe_find_tokenizer(&t, NULL, model_path, rbe_gpt2_config(m), d)))
        goto out;
    if ((err = rbe_tokenizer_encode(t, text, size, false, &ids, &count, &why))) {
        rbe_fail(d, err, "%s: %s", text_path, why.text);
        goto out;
    }
    if (!tokens)
        tokens = RBE_CALIBRATION_TOKENS;
    err = rbe_calibrate(out, m, ids, count < tokens ? count : tokens, pool, progress, &why);
    if (err)
        rbe_fail(d, err, "%s: %s", text_path, why.text);
    else
        rbe_sha256((*out)->sha256, text, size);
out:
    free(ids);
    rbe_tokenizer_close(&t);
    rbe_gpt2_close(&m);
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
        free(c->sites[i].sum);
        free(c->sites[i].mean);
    }
    free(c->sites);
    free(c->counts);
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

const float *rbe_calibration_mean(const struct rbe_calibration *c, const char *name)
{
    const struct site *s = find(c, name);

    return s ? s->mean : NULL;
}

const uint32_t *rbe_calibration_counts(const struct rbe_calibration *c)
{
    return c->counts;
}

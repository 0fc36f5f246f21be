/*
 * runner.c - a model opened for evaluation.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/runner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "base/result.h"
#include "eval/softmax.h"
#include "model/data.h"

enum { LOGIT_FLOATS = 8 << 20 };

/* "rbe-mini" of ".../rbe-mini", ".../rbe-mini/model.safetensors" (or the index of its shards)
 * or "rbe-mini.rbe". */
static char *model_name(const char *path)
{
    char *name = rbe_path_name(path);

    /* Of a file of weights the folder's name. */
    if (name && (!strcmp(name, "model.safetensors") ||
                 !strcmp(name, "model.safetensors.index.json"))) {
        char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
        if (slash)
            slash[slash == folder] = 0;
        free(name);
        name = folder ? rbe_path_name(slash ? folder : ".") : NULL;
        free(folder);
    }
    const size_t n = name ? strlen(name) : 0;
    if (n > 4 && !strcmp(name + n - 4, ".rbe"))
        name[n - 4] = 0;
    return name;
}

/* Rows of logits and a session for r->model. */
static enum rbe_status open_session(struct rbe_runner *r, uint32_t rows, struct rbe_diag *d)
{
    const struct rbe_model_config *c = rbe_model_config(r->model);

    r->n_ctx = c->n_ctx;
    r->vocab = c->vocab;
    r->rows = rows ? rows : LOGIT_FLOATS / c->vocab;
    if (r->rows > c->n_ctx)
        r->rows = c->n_ctx;
    if (!r->rows)
        r->rows = 1;
    const struct rbe_session_limits l = {.max_tokens = r->n_ctx, .max_batch = r->n_ctx,
                                         .max_logits = r->rows, .kv_cache = r->kv};
    if (!(r->logits = malloc((size_t)r->rows * r->vocab * sizeof *r->logits)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for %u rows of logits", r->rows);
    return rbe_session_open(&r->session, r->model, l, r->pool, d);
}

enum rbe_status rbe_runner_open(struct rbe_runner *r, const char *path, uint32_t rows,
                                enum rbe_kv_cache kv, struct rbe_pool *pool,
                                struct rbe_diag *d)
{
    enum rbe_status err;

    memset(r, 0, sizeof *r);
    r->pool = pool;
    r->kv = kv;
    const double start = rbe_now();
    if ((err = rbe_model_open(&r->model, path, d)))
        goto out;
    err = RBE_ERR_NOMEM;
    if ((r->name = model_name(path)))
        err = open_session(r, rows, d);
    r->load_s = rbe_now() - start;
out:
    if (err)
        rbe_runner_close(r);
    return err;
}

enum rbe_status rbe_runner_share(struct rbe_runner *r, const struct rbe_runner *of,
                                 uint32_t rows, struct rbe_diag *d)
{
    memset(r, 0, sizeof *r);
    r->model = of->model;
    r->name = of->name;
    r->kv = of->kv;
    r->shared = true;
    const enum rbe_status err = open_session(r, rows, d);
    if (err)
        rbe_runner_close(r);
    else
        rbe_session_stop_early(r->session, true);
    return err;
}

void rbe_runner_close(struct rbe_runner *r)
{
    rbe_session_close(&r->session);
    free(r->logits);
    if (!r->shared) {
        rbe_model_close(&r->model);
        free(r->name);
    }
    memset(r, 0, sizeof *r);
}

int rbe_runner_record(struct rbe_runner *r, json_t *record, const char *key)
{
    const struct rbe_result_model m = {
        .name = r->name, .path = rbe_model_path(r->model), .sha256 = rbe_model_sha256(r->model),
        .label = rbe_model_label(r->model), .bytes = rbe_model_file_bytes(r->model),
        .params = rbe_model_config_params(rbe_model_config(r->model)),
        .rbe = rbe_model_is_rbe(r->model),
        .kv_cache = rbe_kv_cache_name(rbe_session_kv_cache(r->session))};

    if (!m.sha256)
        return -1;
    return rbe_result_set_model(record, key, &m);
}

enum rbe_status rbe_runner_forward(struct rbe_runner *r, uint32_t keep, const uint32_t *tokens,
                                   size_t n, struct rbe_diag *d)
{
    const double start = rbe_now();

    rbe_session_truncate(r->session, keep);
    const enum rbe_status err = rbe_forward(r->session, tokens, n, d);
    r->seconds += rbe_now() - start;
    return err;
}

enum rbe_status rbe_runner_logits(struct rbe_runner *r, size_t first, size_t count,
                                  struct rbe_diag *d)
{
    const double start = rbe_now();
    const enum rbe_status err = rbe_logits(r->session, first, count, r->logits, d);

    r->seconds += rbe_now() - start;
    return err;
}

struct scoring {
    const struct rbe_runner *r;
    size_t count;
    const uint32_t *targets;
    double *nll;
    uint8_t *greedy;
};

static void score_rows(void *arg, unsigned i, unsigned n)
{
    const struct scoring *s = arg;
    size_t begin, end;

    rbe_split(s->count, 1, i, n, &begin, &end);
    for (size_t t = begin; t < end; t++) {
        const float *row = s->r->logits + t * s->r->vocab;
        s->nll[t] = rbe_log_sum_exp(row, s->r->vocab) - (double)row[s->targets[t]];
        if (s->greedy)
            s->greedy[t] = rbe_argmax(row, s->r->vocab) == s->targets[t];
    }
}

enum rbe_status rbe_runner_nll(struct rbe_runner *r, size_t first, size_t count,
                               const uint32_t *targets, double *nll, uint8_t *greedy,
                               struct rbe_diag *d)
{
    for (size_t at = 0; at < count; at += r->rows) {
        const size_t n = count - at < r->rows ? count - at : r->rows;
        const enum rbe_status err = rbe_runner_logits(r, first + at, n, d);
        const double start = rbe_now();
        if (err)
            return err;
        struct scoring s = {r, n, targets + at, nll + at, greedy ? greedy + at : NULL};
        rbe_pool_run(r->pool, score_rows, &s);
        r->seconds += rbe_now() - start;
    }
    for (size_t i = 0; i < count; i++)
        if (!isfinite(nll[i]))
            return rbe_fail(d, RBE_ERR_NUMERIC, "%s: logits are not finite", r->name);
    return RBE_OK;
}

/* --- are they comparable? ----------------------------------------------------------------- */

/* The tokenizer of b, unless it has none of its own, against that of a. */
static enum rbe_status match_tokenizer(const struct rbe_tokenizer *t,
                                       const struct rbe_runner *a, const struct rbe_runner *b,
                                       const char *path, bool special, struct rbe_diag *d)
{
    struct rbe_tokenizer *own = NULL;
    struct rbe_diag what = {""};
    enum rbe_status err = RBE_OK;

    if (rbe_has_tokenizer(path) &&
        !(err = rbe_find_tokenizer(&own, NULL, path, rbe_model_config(b->model), d)) &&
        (err = rbe_tokenizer_alike(t, own, special, &what)))
        rbe_fail(d, err, "%s and %s have different tokenizers (%s): --tokenizer names one for "
                 "both", a->name, b->name, what.text);
    rbe_tokenizer_close(&own);
    return err;
}

enum rbe_status rbe_runners_tokenizer(struct rbe_tokenizer **out, const struct rbe_runner *r,
                                      char *const *paths, size_t count, const char *path,
                                      bool special, struct rbe_diag *d)
{
    enum rbe_status err =
        rbe_find_tokenizer(out, path, paths[0], rbe_model_config(r[0].model), d);

    for (size_t i = 1; i < count && !err && !path; i++)
        err = match_tokenizer(*out, &r[0], &r[i], paths[i], special, d);
    if (err)
        rbe_tokenizer_close(out);
    return err;
}

enum rbe_status rbe_runners_hold(const struct rbe_runner *r, size_t count, uint32_t context,
                                 struct rbe_diag *d)
{
    for (size_t i = 1; i < count; i++)
        if (r[i].n_ctx < context)
            return rbe_fail(d, RBE_ERR_MISMATCH, "%s and %s have different contexts (%u and "
                            "%u), and %u is in use", r[0].name, r[i].name, r[0].n_ctx,
                            r[i].n_ctx, context);
    return RBE_OK;
}

enum rbe_status rbe_runners_same_end(const struct rbe_runner *r, size_t count,
                                     struct rbe_diag *d)
{
    const uint32_t eos = rbe_model_config(r[0].model)->eos;

    for (size_t i = 1; i < count; i++) {
        const uint32_t other = rbe_model_config(r[i].model)->eos;
        if (other != eos)
            return rbe_fail(d, RBE_ERR_MISMATCH, "%s and %s end texts with different tokens "
                            "(%u and %u)", r[0].name, r[i].name, eos, other);
    }
    return RBE_OK;
}

enum rbe_kv_cache rbe_runner_kv(enum rbe_kv_cache kv, size_t i, size_t count)
{
    return i || count == 1 ? kv : RBE_KV_DEFAULT;
}

enum rbe_status rbe_runners_open(struct rbe_runner **out, char *const *paths, size_t count,
                                 uint32_t rows, enum rbe_kv_cache kv, struct rbe_pool *pool,
                                 struct rbe_diag *d)
{
    struct rbe_runner *r = calloc(count, sizeof *r);
    enum rbe_status err = r ? RBE_OK : RBE_ERR_NOMEM;

    for (size_t i = 0; i < count && !err; i++) {
        err = rbe_runner_open(&r[i], paths[i], rows, rbe_runner_kv(kv, i, count), pool, d);
        if (!err)
            err = rbe_model_hash(r[i].model, d);
        if (!err)
            rbe_session_stop_early(r[i].session, true);
        if (!err && r[i].vocab != r[0].vocab)
            err = rbe_fail(d, RBE_ERR_MISMATCH, "%s and %s have different vocabularies (%u and "
                           "%u tokens)", r[0].name, r[i].name, r[0].vocab, r[i].vocab);
    }
    *out = r;
    if (err)
        rbe_runners_close(out, count);
    return err;
}

void rbe_runners_close(struct rbe_runner **runners, size_t count)
{
    for (size_t i = 0; *runners && i < count; i++)
        rbe_runner_close(&(*runners)[i]);
    free(*runners);
    *runners = NULL;
}

/*
 * options.c - what the evaluations have in common on the command line.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpt2/data.h"
#include "rbe/progress.h"

static enum rbe_status default_path(char ***list, const char *name, struct rbe_diag *d)
{
    if (*list)
        return RBE_OK;
    char *path = rbe_data_path(name);
    if (!path)
        return rbe_fail(d, RBE_ERR_IO, "the shipped %s is not found; set RBE_DATA", name);
    if (!(*list = calloc(2, sizeof **list))) {
        free(path);
        return RBE_ERR_NOMEM;
    }
    (*list)[0] = path;
    return RBE_OK;
}

static enum rbe_status parse_shard(struct rbe_eval_options *o, struct rbe_diag *d)
{
    unsigned i, n;
    char rest;

    o->shard_index = 0;
    o->shard_count = 1;
    if (!o->shard)
        return RBE_OK;
    if (sscanf(o->shard, "%u/%u%c", &i, &n, &rest) != 2 || !i || i > n || n > 100000)
        return rbe_fail(d, RBE_ERR_ARG, "--shard %s: wants I/N with 1 <= I <= N", o->shard);
    o->shard_index = i - 1;
    o->shard_count = n;
    return RBE_OK;
}

enum rbe_status rbe_eval_begin(struct rbe_eval_options *o, bool want_text, struct rbe_diag *d)
{
    enum rbe_status err;

    if (o->threads < 0 || o->threads > 1024)
        return rbe_fail(d, RBE_ERR_ARG, "--threads %d is out of range", o->threads);
    if (o->limit < 0)
        return rbe_fail(d, RBE_ERR_ARG, "a limit of %d is out of range", o->limit);
    if ((err = parse_shard(o, d)) || (err = default_path(&o->models, "rbe-mini", d)) ||
        (want_text && (err = default_path(&o->texts, "wiki.test.raw", d))))
        return err;
    for (o->model_count = 0; o->models[o->model_count];)
        o->model_count++;
    if (o->quiet)
        rbe_progress_silence();
    rbe_catch_interrupt();
    if ((err = rbe_result_open(&o->results, o->out, d)))
        return err;
    return rbe_pool_open(&o->pool, (unsigned)o->threads, d);
}

void rbe_eval_end(struct rbe_eval_options *o)
{
    rbe_pool_close(&o->pool);
    rbe_result_close(&o->results);
}

void rbe_eval_range(const struct rbe_eval_options *o, size_t total, size_t *begin, size_t *end)
{
    rbe_split(total, 1, o->shard_index, o->shard_count, begin, end);
}

enum rbe_status rbe_eval_open_models(struct rbe_eval_options *o, uint32_t rows,
                                     struct rbe_runner **out, struct rbe_diag *d)
{
    struct rbe_runner *r = calloc(o->model_count, sizeof *r);
    enum rbe_status err = r ? RBE_OK : RBE_ERR_NOMEM;

    for (size_t i = 0; i < o->model_count && !err; i++) {
        err = rbe_runner_open(&r[i], o->models[i], rows, o->pool, d);
        if (!err && i)
            err = rbe_runner_match(&r[0], &r[i], d);
    }
    if (err && r)
        rbe_eval_close_models(o, &r);
    *out = r;
    return err;
}

void rbe_eval_close_models(struct rbe_eval_options *o, struct rbe_runner **runners)
{
    if (!*runners)
        return;
    for (size_t i = 0; i < o->model_count; i++)
        rbe_runner_close(&(*runners)[i]);
    free(*runners);
    *runners = NULL;
}

json_t *rbe_eval_record(const struct rbe_eval_options *o, const char *kind,
                        struct rbe_runner *r)
{
    json_t *record = rbe_result_new(kind, rbe_pool_threads(o->pool));

    if (record && r && rbe_runner_record(r, record, "model")) {
        json_decref(record);
        record = NULL;
    }
    return record;
}

enum rbe_status rbe_eval_emit(struct rbe_eval_options *o, json_t *record, struct rbe_diag *d)
{
    if (record && o->json) {
        json_dumpf(record, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
    }
    return rbe_result_append(o->results, record, d);
}

double rbe_eval_number(const json_t *record, const char *key)
{
    const json_t *x = json_object_get(record, key);

    return json_is_number(x) ? json_number_value(x) : NAN;
}

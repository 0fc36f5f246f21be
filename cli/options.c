/*
 * options.c - what the evaluations have in common on the command line.
 *
 * SPDX-License-Identifier: MIT
 */
#include "cli/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/rows.h"
#include "base/utf8.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "eval/merge.h"
#include "model/data.h"

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

enum rbe_status rbe_shard_parse(unsigned *index, unsigned *count, const char *text,
                                struct rbe_diag *d)
{
    unsigned i, n;
    char rest;

    *index = 0;
    *count = 1;
    if (!text)
        return RBE_OK;
    if (text[strspn(text, "0123456789/")] || sscanf(text, "%6u/%6u%c", &i, &n, &rest) != 2 ||
        !i || i > n || n > 100000)
        return rbe_fail(d, RBE_ERR_ARG, "--shard %s: wants I/N with 1 <= I <= N", text);
    *index = i - 1;
    *count = n;
    return RBE_OK;
}

/* The results may go over nothing that is read. */
static enum rbe_status check_files(struct rbe_eval_options *o, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (char **p = o->models; *p && !err; p++)
        err = rbe_files_read_model(&o->files, *p, d);
    for (char **p = o->texts; p && *p && !err; p++)
        err = rbe_files_read(&o->files, *p, d);
    if (!err && o->tokenizer)
        err = rbe_files_read_model(&o->files, o->tokenizer, d);
    return err ? err : rbe_files_append(&o->files, o->out, d);
}

/* The records that --resume may go on from: those that this program wrote. */
static enum rbe_status read_old(struct rbe_eval_options *o, struct rbe_diag *d)
{
    const enum rbe_status err = rbe_result_read(&o->old, o->out, NULL, d);
    json_t *own = err ? NULL : rbe_result_new("", 1);
    size_t others = 0;

    if (!own)
        return err ? err : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < json_array_size(o->old);)
        if (rbe_merge_same_program(json_array_get(o->old, i), own)) {
            i++;
        } else {
            json_array_remove(o->old, i);
            others++;
        }
    json_decref(own);
    if (others)
        fprintf(stderr, "%s eval: %s: %zu rows are of another commit than this program: not "
                        "used\n", rbe_program(), o->out, others);
    return RBE_OK;
}

enum rbe_status rbe_eval_begin(struct rbe_eval_options *o, bool want_text, struct rbe_diag *d)
{
    enum rbe_status err;

    if (o->special && strcmp(o->special, "parse") && strcmp(o->special, "text"))
        return rbe_fail(d, RBE_ERR_ARG, "--special %s: parse or text", o->special);
    if ((err = rbe_kv_cache_parse(&o->kv, o->kv_cache, d)) ||
        (err = rbe_output_parse(&o->how, o->output, d)) ||
        (err = rbe_output_refuse_file(o->out, d)))
        return err;
    if (o->json && o->output)
        return rbe_fail(d, RBE_ERR_ARG, "--json and --output exclude each other");
    if (o->json)
        o->how = RBE_OUTPUT_JSONL;
    if (!(o->shown = json_array()))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (o->resume && !o->out)
        return rbe_fail(d, RBE_ERR_ARG, "--resume: needs --out, the file with the partial "
                                        "results");
    if ((err = rbe_shard_parse(&o->shard_index, &o->shard_count, o->shard, d)) ||
        (err = default_path(&o->models, "rbe-mini", d)) ||
        (want_text && (err = default_path(&o->texts, "wiki.test.raw", d))))
        return err;
    for (o->model_count = 0; o->models[o->model_count];)
        o->model_count++;
    if (o->quiet)
        rbe_progress_silence();
    rbe_catch_interrupt();
    if ((err = check_files(o, d)) || (err = rbe_result_open(&o->results, o->out, d)) ||
        (o->resume && (err = read_old(o, d))))
        return err;
    if (!(err = rbe_pool_open(&o->pool, (unsigned)o->threads, d)))
        rbe_warn_threads("eval", rbe_pool_threads(o->pool));
    return err;
}

void rbe_eval_end(struct rbe_eval_options *o)
{
    rbe_pool_close(&o->pool);
    json_decref(o->old);
    o->old = NULL;
    /* Also those that were measured before something failed. */
    if (o->how != RBE_OUTPUT_USUAL && json_array_size(o->shown) &&
        rbe_output_rows(stdout, o->how, o->shown, NULL, NULL))
        rbe_shortage_note();
    json_decref(o->shown);
    o->shown = NULL;
    rbe_files_free(&o->files);
    rbe_result_close(&o->results);
}

enum rbe_status rbe_eval_refuse_shard(const struct rbe_eval_options *o, const char *why,
                                      struct rbe_diag *d)
{
    return o->shard ? rbe_fail(d, RBE_ERR_ARG, "--shard %s: %s", o->shard, why) : RBE_OK;
}

enum rbe_status rbe_eval_open_models(struct rbe_eval_options *o, uint32_t rows,
                                     struct rbe_runner **out, struct rbe_diag *d)
{
    return rbe_runners_open(out, o->models, o->model_count, rows, o->kv, o->pool, d);
}

enum rbe_status rbe_eval_tokenizer(struct rbe_eval_options *o, const struct rbe_runner *runners,
                                   struct rbe_tokenizer **out, struct rbe_diag *d)
{
    if (!o->special)
        o->special = SPECIAL_TOKENS;
    const bool parse = !strcmp(o->special, "parse");
    const enum rbe_status err = rbe_runners_tokenizer(out, runners, o->models, o->model_count,
                                                      o->tokenizer, parse, d);
    if (!err && parse)
        rbe_tokenizer_parse_special(*out);
    return err;
}

void rbe_eval_close_models(struct rbe_eval_options *o, struct rbe_runner **runners)
{
    rbe_runners_close(runners, o->model_count);
}

static void note_bytes(const struct rbe_text *t, enum rbe_protocol p)
{
    if (p == RBE_P3 && t->raw)
        fprintf(stderr, "%s eval: %s: P3 scores bytes as they are, as llama.cpp does: %zu "
                "carriage returns%s\n", rbe_program(), t->name, t->marks.crs,
                t->marks.bom ? " and a byte-order mark" : "");
}

enum rbe_status rbe_eval_each_text(struct rbe_eval_options *o, uint32_t rows,
                                   const enum rbe_protocol *protocols, uint32_t context,
                                   rbe_eval_windows_fn *measure, void *arg, struct rbe_diag *d)
{
    struct rbe_runner *runners = NULL;
    struct rbe_tokenizer *t = NULL;
    enum rbe_status err;

    if ((err = rbe_eval_open_models(o, rows, &runners, d)) ||
        (err = rbe_eval_tokenizer(o, runners, &t, d)))
        goto out;
    for (char **path = o->texts; *path && !err; path++) {
        struct rbe_text text;
        if ((err = rbe_text_open(&text, *path, d)))
            break;
        for (const enum rbe_protocol *p = protocols; *p != RBE_PROTOCOL_COUNT && !err; p++) {
            struct rbe_windows w;
            if ((err = rbe_windows_make(&w, *p, &text, t, runners[0].n_ctx, context, d)))
                break;
            note_bytes(&text, *p);
            if (!(err = rbe_runners_hold(runners, o->model_count, w.context, d)) &&
                /* The one protocol that puts it before a text. */
                (*p != RBE_P4 || w.begins ||
                 !(err = rbe_runners_same_end(runners, o->model_count, d))))
                err = measure(o, runners, &text, &w, arg, d);
            rbe_windows_free(&w);
        }
        rbe_text_close(&text);
    }
out:
    rbe_tokenizer_close(&t);
    rbe_eval_close_models(o, &runners);
    return err;
}

static void print_json(const json_t *record, void *unused)
{
    (void)unused;
    json_dumpf(record, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
}

/* A row may be changed once it was shown. */
static void keep_row(const json_t *record, void *arg)
{
    struct rbe_eval_options *o = arg;

    if (json_array_append_new(o->shown, json_deep_copy(record)))
        rbe_shortage_note();
}

struct rbe_evaluation rbe_eval_given(struct rbe_eval_options *o, struct rbe_runner *runners,
                                     void (*show)(const json_t *row, void *arg), void *arg)
{
    return (struct rbe_evaluation){
        .models = o->models, .runners = runners, .model_count = o->model_count,
        .kv = o->kv, .pool = o->pool,
        .shard_index = o->shard_index, .shard_count = o->shard_count,
        .limit = (size_t)o->limit, .special = o->special, .old = o->old,
        .results = o->results, .saved = o->out,
        .show = o->how == RBE_OUTPUT_JSONL ? print_json : o->how ? keep_row : show,
        .show_arg = o->how ? o : arg};
}

struct rbe_shown rbe_show(const char *format, double x)
{
    struct rbe_shown s;

    if (isfinite(x))
        snprintf(s.text, sizeof s.text, format, x);
    else
        snprintf(s.text, sizeof s.text, "%*s", atoi(format + strspn(format, "%+-")), "-");
    return s;
}

struct rbe_shown rbe_show_interval(const char *format, const json_t *pair)
{
    struct rbe_shown s = {"[-]"};
    const json_t *low = json_array_get(pair, 0), *high = json_array_get(pair, 1);

    if (json_is_number(low) && json_is_number(high))
        snprintf(s.text, sizeof s.text, "[%.60s, %.60s]",
                 rbe_show(format, json_number_value(low)).text,
                 rbe_show(format, json_number_value(high)).text);
    return s;
}

struct rbe_shown rbe_show_text(const char *text, int most)
{
    struct rbe_shown s;

    snprintf(s.text, sizeof s.text, "%.*s", most, text);
    /* No half character at its end. */
    s.text[rbe_utf8_valid(s.text, strlen(s.text))] = 0;
    rbe_one_line(s.text);
    return s;
}

struct rbe_shown rbe_show_model(const json_t *record, const char *key)
{
    const json_t *m = json_object_get(record, key);
    const char *name = json_string_value(RBE_VALUE_AT(m, name));
    struct rbe_shown s;

    snprintf(s.text, sizeof s.text, "%.100s%s", rbe_show_text(name ? name : "?", 100).text,
             json_is_string(RBE_VALUE_AT(m, label)) ? " (synthetic)" : "");
    return s;
}

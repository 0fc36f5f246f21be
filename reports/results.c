/*
 * results.c - reading result files.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/results.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/criteria.h"
#include "base/file.h"
#include "base/rows.h"
#include "kernels/formats.h"
#include "reports/fields.h"

/* --- values ------------------------------------------------------------------------- */

/* --- rows --------------------------------------------------------------------------- */

static enum rbe_status add_note(struct rbe_results *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static enum rbe_status add_note(struct rbe_results *r, const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;

    va_start(ap, fmt);
    const int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    char **p = n < 0 ? NULL : realloc(r->notes, (r->note_count + 1) * sizeof *p);
    if (!p) {
        free(n < 0 ? NULL : text);
        return RBE_ERR_NOMEM;
    }
    r->notes = p;
    r->notes[r->note_count++] = text;
    return RBE_OK;
}

static const char *model_key(const json_t *m)
{
    const char *s = RBE_STRING_AT(m, sha256);
    return s ? s : RBE_STRING_AT(m, name);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* How special tokens were read: rows of before do not say it. */
static const char *special(const struct rbe_row *row)
{
    const char *s = RBE_STRING_AT(row->v, special);
    return s ? s : "text";
}

/* Do both rows say the same thing of the same things, so that the later one counts? */
static bool same_key(const struct rbe_row *a, const struct rbe_row *b)
{
    static const char *const texts[] = {
        RBE_KEY(protocol),       RBE_KEY(task),          RBE_KEY(mode),
        RBE_KEY(text, sha256),   RBE_KEY(group),         RBE_KEY(script, sha256),
        RBE_KEY(source, sha256), RBE_KEY(machine, arch), RBE_KEY(machine, device),
        RBE_KEY(step),           RBE_KEY(of),            RBE_KEY(device)};
    static const char *const numbers[] = {RBE_KEY(windows), RBE_KEY(first_window),
                                          RBE_KEY(items), RBE_KEY(context)};

    if (strcmp(a->kind, b->kind) || strcmp(special(a), special(b)) ||
        !same(model_key(RBE_VALUE_AT(a->v, model)), model_key(RBE_VALUE_AT(b->v, model))) ||
        !same(model_key(RBE_VALUE_AT(a->v, base)), model_key(RBE_VALUE_AT(b->v, base))))
        return false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!same(rbe_string_at(a->v, texts[i]), rbe_string_at(b->v, texts[i])))
            return false;
    if (!strcmp(a->kind, RBE_KIND(edge)) &&
        !same_number(RBE_NUMBER_AT(a->v, tokens), RBE_NUMBER_AT(b->v, tokens)))
        return false;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!same_number(rbe_number_at(a->v, numbers[i]), rbe_number_at(b->v, numbers[i])))
            return false;
    return true;
}

/* Why no time for a token comes of a projection, or NULL. */
static const char *no_time(const json_t *v)
{
    const json_t *ipc = RBE_VALUE_AT(v, instructions_per_cycle);
    const double least = json_number_value(json_array_get(ipc, 0));
    const double most = json_number_value(json_array_get(ipc, 1));
    const double count = RBE_NUMBER_AT(v, instructions_per_token);

    if (!rbe_is_device(RBE_STRING_AT(v, device)))
        return "no criterion has its device";
    if (!RBE_TRUE_AT(v, model, rbe))
        return "its model is not an RBE model";
    if (!(least > 0) || !(most >= least) || isinf(1e-6 * count / RBE_NUMBER_AT(v, ghz) / least))
        return "its instructions per cycle are none that a core can have";
    return NULL;
}

#define RECORDED "recorded"

static bool is_recorded(const char *file)
{
    return !strncmp(file, RECORDED "/", sizeof RECORDED);
}

/* Takes v over.  Recorded rows come after all others: a measured one of the same key counts. */
static enum rbe_status add_row(struct rbe_results *r, json_t *v, const char *file, size_t line,
                               struct rbe_diag *d)
{
    const struct rbe_row row = {v, RBE_STRING_AT(v, kind), file, line};
    const bool recorded = is_recorded(file);

    if (!rbe_known_kind(row.kind)) {
        const enum rbe_status err = add_note(r, "%s:%zu: rows of kind '%.40s' are not "
                                             "reported; left out", file, line, row.kind);
        json_decref(v);
        return err;
    }
    const char *why = strcmp(row.kind, RBE_KIND(projection)) ? NULL : no_time(v);
    if (why) {
        const enum rbe_status err = add_note(r, "%s:%zu: a projection is left out: %s", file,
                                             line, why);
        json_decref(v);
        return err;
    }
    for (size_t i = 0; i < r->all; i++)
        if (same_key(&r->rows[i], &row)) {
            const char *was = RBE_STRING_AT(r->rows[i].v, time_utc);
            const char *is = RBE_STRING_AT(v, time_utc);
            if ((recorded && i < r->count) || (was && is && strcmp(is, was) < 0)) {
                json_decref(v);
                return RBE_OK;
            }
            json_decref(r->rows[i].v);
            r->rows[i] = row;
            return RBE_OK;
        }
    struct rbe_row *p = realloc(r->rows, (r->all + 1) * sizeof *p);
    if (!p) {
        json_decref(v);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    r->rows = p;
    r->rows[r->all++] = row;
    r->count += !recorded;
    return RBE_OK;
}

static enum rbe_status add_bench(struct rbe_results *r, json_t *v, const char *file,
                                 struct rbe_diag *d)
{
    json_t **p = realloc(r->bench, (r->bench_count + 1) * sizeof *p);
    if (p)
        r->bench = p;
    const char **q = realloc(r->bench_file, (r->bench_count + 1) * sizeof *q);
    if (q)
        r->bench_file = q;
    if (!p || !q) {
        json_decref(v);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    r->bench[r->bench_count] = v;
    r->bench_file[r->bench_count++] = file;
    return RBE_OK;
}

static enum rbe_status parse(json_t **v, const char *text, size_t size, const char *file,
                             size_t line, struct rbe_diag *d)
{
    json_error_t e;
    const enum rbe_status err = rbe_json_load(v, text, size, JSON_REJECT_DUPLICATES, &e, file,
                                              d);

    if (err)
        return err == RBE_ERR_NOMEM ? err
               : rbe_fail(d, err, "%s:%zu: not JSON: %s", file, line ? line : (size_t)e.line,
                          e.text);
    if (!json_is_object(*v)) {
        json_decref(*v);
        *v = NULL;
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: not a JSON object", file,
                        line ? line : 1);
    }
    return RBE_OK;
}

static enum rbe_status read_lines(struct rbe_results *r, const char *text, size_t size,
                                  const char *path, const char *file, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    size_t line = 0;

    for (const char *s = text, *end = text + size; s < end && !err; ) {
        const char *nl = memchr(s, '\n', (size_t)(end - s));
        line++;
        if (!nl)
            return add_note(r, "%s:%zu: the last line has no end (the run was cut off); left "
                            "out", file, line);
        json_t *v;
        if (nl > s) {
            err = parse(&v, s, (size_t)(nl - s), path, line, d);
            if (!err && (err = rbe_check_row(v, path, line, d)))
                json_decref(v);
            if (!err)
                err = add_row(r, v, file, line, d);
        }
        s = nl + 1;
    }
    return err;
}

static enum rbe_status read_document(struct rbe_results *r, const char *text, size_t size,
                                     const char *path, const char *file, struct rbe_diag *d)
{
    enum rbe_status err;
    json_t *v;

    if ((err = parse(&v, text, size, path, 0, d)))
        return err;
    if (json_is_array(RBE_VALUE_AT(v, benchmarks))) {
        const bool whole = json_is_object(RBE_VALUE_AT(v, context));
        if ((err = rbe_check_benchmarks(v, path, d))) {
            json_decref(v);
            return err;
        }
        if (whole && !is_recorded(file))
            return add_bench(r, v, file, d);
        json_decref(v);
        if (whole)
            return add_note(r, "%s: a recorded benchmark is not reported; left out", file);
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: benchmarks without \"context\"", path);
    }
    if ((err = rbe_check_row(v, path, 1, d))) {
        json_decref(v);
        return err;
    }
    return add_row(r, v, file, 1, d);
}

static bool ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), m = strlen(suffix);
    return n > m && !strcmp(s + n - m, suffix);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of the result files of a folder, `prefix` before them. */
static enum rbe_status list_files(struct rbe_results *r, const char *folder,
                                  const char *prefix, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    const size_t first = r->file_count;
    struct dirent *e;
    DIR *dir = opendir(folder);

    if (!dir)
        return rbe_fail_errno(d, "%s", folder);
    while (!err && (e = readdir(dir))) {
        /* Samples of a bench are for other programs. */
        if (e->d_name[0] == '.' || ends_with(e->d_name, ".samples.jsonl") ||
            (!ends_with(e->d_name, ".jsonl") && !ends_with(e->d_name, ".json")))
            continue;
        char **p = realloc(r->names, (r->file_count + 1) * sizeof *p);
        if (p)
            r->names = p;
        if (!p || asprintf(&r->names[r->file_count], "%s%s", prefix, e->d_name) < 0)
            err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        else
            r->file_count++;
    }
    closedir(dir);
    if (r->file_count > first)
        qsort(r->names + first, r->file_count - first, sizeof *r->names, by_name);
    return err;
}

/* Those of the folder, then those of recorded/ in it, if there is one. */
static enum rbe_status list_all(struct rbe_results *r, const char *folder, struct rbe_diag *d)
{
    char *recorded = rbe_path_join(folder, RECORDED);
    enum rbe_status err = recorded ? list_files(r, folder, "", d)
                          : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");

    if (!err && access(recorded, F_OK) == 0)
        err = list_files(r, recorded, RECORDED "/", d);
    free(recorded);
    return err;
}

/* --- models ------------------------------------------------------------------------- */

int rbe_results_model(const struct rbe_results *r, const json_t *model)
{
    const char *key = model_key(model);

    for (size_t i = 0; key && i < r->model_count; i++)
        if (!strcmp(r->models[i].key, key))
            return (int)i;
    return -1;
}

static enum rbe_status see_model(struct rbe_results *r, const json_t *m, bool measured,
                                 struct rbe_diag *d)
{
    if (!model_key(m))
        return RBE_OK;
    int i = rbe_results_model(r, m);
    if (i < 0) {
        struct rbe_model_seen *p = realloc(r->models, (r->model_count + 1) * sizeof *p);
        if (!p)
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        r->models = p;
        i = (int)r->model_count++;
        r->models[i] = (struct rbe_model_seen){.key = model_key(m), .base = -1, .bytes = NAN,
                                               .parameters = NAN, .bits = NAN};
    }
    struct rbe_model_seen *s = &r->models[i];
    if (RBE_STRING_AT(m, name) && (measured || !s->measured))
        s->name = RBE_STRING_AT(m, name);
    if (RBE_STRING_AT(m, label))
        s->label = RBE_STRING_AT(m, label);
    if (!isnan(RBE_NUMBER_AT(m, bytes)))
        s->bytes = RBE_NUMBER_AT(m, bytes);
    if (!isnan(RBE_NUMBER_AT(m, parameters)))
        s->parameters = RBE_NUMBER_AT(m, parameters);
    if (!isnan(RBE_NUMBER_AT(m, bits_per_weight)))
        s->bits = RBE_NUMBER_AT(m, bits_per_weight);
    s->rbe |= RBE_TRUE_AT(m, rbe);
    s->measured |= measured;
    return RBE_OK;
}

bool rbe_codec_is_float(const char *codec)
{
    const enum rbe_format f = rbe_format_by_name(codec);

    return f != RBE_FORMAT_COUNT && rbe_format_facts(f)->float_bytes;
}

/* The codec that holds most of the bytes. */
static const char *main_codec(const json_t *tensors)
{
    const char *best = NULL;
    double most = 0;
    size_t i, k;
    json_t *t, *u;

    json_array_foreach(tensors, i, t) {
        const char *codec = RBE_STRING_AT(t, codec);
        double sum = 0;
        if (!codec)
            continue;
        json_array_foreach(tensors, k, u) {
            const double b = RBE_NUMBER_AT(u, bytes);
            if (same(RBE_STRING_AT(u, codec), codec) && b > 0)
                sum += b;
        }
        if (sum > most) {
            most = sum;
            best = codec;
        }
    }
    return best;
}

static enum rbe_status see_models(struct rbe_results *r, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < r->all && !err; i++) {
        const json_t *v = r->rows[i].v;
        /* Counting a model's instructions says nothing that it could be judged by. */
        if (!strcmp(r->rows[i].kind, RBE_KIND(projection)))
            continue;
        if (!(err = see_model(r, RBE_VALUE_AT(v, model), i < r->count, d)))
            err = see_model(r, RBE_VALUE_AT(v, base), i < r->count, d);
    }
    for (size_t i = 0; i < r->all && !err; i++) {
        const json_t *v = r->rows[i].v;
        const int m = rbe_results_model(r, RBE_VALUE_AT(v, model));
        const int b = rbe_results_model(r, RBE_VALUE_AT(v, base));
        if (m < 0 || !strcmp(r->rows[i].kind, RBE_KIND(projection)))
            continue;
        if (b >= 0 && b != m && !r->models[b].rbe)
            r->models[m].base = b;
        if (!strcmp(r->rows[i].kind, RBE_KIND(convert))) {
            r->models[m].codec = main_codec(RBE_VALUE_AT(v, tensors));
            /* The file holds the products of the factors; what counts are the factors. */
            const double factors = RBE_NUMBER_AT(v, low_rank_bytes);
            if (factors > 0) {
                r->models[m].codec = "svd";
                r->models[m].bits = 8 * factors / r->models[m].parameters;
            }
        }
        /* Rows measured interleaved belong together: the plain one is the original. */
        const char *group = RBE_STRING_AT(v, group);
        for (size_t k = 0; group && r->models[m].base < 0 && r->models[m].rbe && k < r->all;
             k++) {
            const int o = rbe_results_model(r, RBE_VALUE_AT(r->rows[k].v, model));
            if (same(RBE_STRING_AT(r->rows[k].v, group), group) && o >= 0 && !r->models[o].rbe)
                r->models[m].base = o;
        }
    }
    for (size_t i = 0; i < r->model_count && !err; i++) {
        const struct rbe_row *row = r->models[i].codec || !r->models[i].rbe ? NULL
                                    : rbe_results_conversion(r, (int)i);
        if (row)
            r->models[i].codec = main_codec(RBE_VALUE_AT(row->v, tensors));
    }
    return err;
}

void rbe_step_name(char out[96], const json_t *row)
{
    const char *of = RBE_STRING_AT(row, of);

    snprintf(out, 96, "%s%s%s", RBE_STRING_AT(row, step), of && *of ? "-" : "", of ? of : "");
}

const struct rbe_row *rbe_results_last(const struct rbe_results *r, const char *kind,
                                       int model)
{
    for (size_t i = r->count; model >= 0 && i-- > 0; )
        if (!strcmp(r->rows[i].kind, kind) &&
            rbe_results_model(r, RBE_VALUE_AT(r->rows[i].v, model)) == model)
            return &r->rows[i];
    return NULL;
}

const struct rbe_row *rbe_results_last_of_all(const struct rbe_results *r, const char *kind,
                                              int model)
{
    const struct rbe_row *row = rbe_results_last(r, kind, model);

    for (size_t i = r->all; model >= 0 && !row && i-- > r->count; )
        if (!strcmp(r->rows[i].kind, kind) &&
            rbe_results_model(r, RBE_VALUE_AT(r->rows[i].v, model)) == model)
            row = &r->rows[i];
    return row;
}

const struct rbe_row *rbe_results_conversion(const struct rbe_results *r, int model)
{
    const struct rbe_row *row = rbe_results_last_of_all(r, RBE_KIND(convert), model), *training;

    if (row || (row = rbe_results_last(r, RBE_KIND(contents), model)) ||
        !(training = rbe_results_last_of_all(r, RBE_KIND(recovery), model)))
        return row;
    const json_t *before = RBE_VALUE_AT(training->v, before);
    const char *path = RBE_STRING_AT(before, path);
    const int from = rbe_results_model(r, before);
    if (from >= 0 && (row = rbe_results_last_of_all(r, RBE_KIND(convert), from)))
        return row;
    /* Converted anew by another version of the encoder: the same name and size will do. */
    for (size_t i = 0; i < r->count; i++) {
        const json_t *v = r->rows[i].v;
        if (!strcmp(r->rows[i].kind, RBE_KIND(convert)) && path &&
            same(path, RBE_STRING_AT(v, model, path)) &&
            RBE_NUMBER_AT(v, model, bytes) == RBE_NUMBER_AT(before, bytes))
            return &r->rows[i];
    }
    return NULL;
}

enum rbe_status rbe_results_open(struct rbe_results **out, const char *folder,
                                 struct rbe_diag *d)
{
    enum rbe_status err;
    struct rbe_results *r = calloc(1, sizeof *r);

    *out = NULL;
    if (!r)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    err = list_all(r, folder, d);
    for (size_t i = 0; i < r->file_count && !err; i++) {
        char *path = rbe_path_join(folder, r->names[i]), *text = NULL;
        size_t size;
        if (!path)
            err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        else if (!(err = rbe_read_file(&text, &size, path, d)))
            err = ends_with(r->names[i], ".jsonl")
                  ? read_lines(r, text, size, path, r->names[i], d)
                  : read_document(r, text, size, path, r->names[i], d);
        free(text);
        free(path);
    }
    if (!err && !r->all && !r->bench_count)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: no result rows in it", folder);
    if (!err)
        err = see_models(r, d);
    if (err)
        rbe_results_close(&r);
    *out = r;
    return err;
}

void rbe_results_close(struct rbe_results **r)
{
    struct rbe_results *p = *r;

    *r = NULL;
    if (!p)
        return;
    for (size_t i = 0; i < p->all; i++)
        json_decref(p->rows[i].v);
    for (size_t i = 0; i < p->bench_count; i++)
        json_decref(p->bench[i]);
    for (size_t i = 0; i < p->note_count; i++)
        free(p->notes[i]);
    for (size_t i = 0; i < p->file_count; i++)
        free(p->names[i]);
    free(p->rows);
    free(p->bench);
    free(p->bench_file);
    free(p->models);
    free(p->notes);
    free(p->names);
    free(p);
}

/*
 * figures.c - what of a result file can be compared.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rbe/file.h"
#include "rbe/json.h"
#include "rbe/result.h"
#include "reports/compare.h"
#include "reports/results.h"

/* The file being read, for messages. */
struct source {
    const char *path;
    size_t line;                /* 0: a document */
    struct rbe_figures *f;
    struct rbe_diag *d;
};

static enum rbe_status complain(const struct source *s, const char *what, const char *why)
{
    if (s->line)
        return rbe_fail(s->d, RBE_ERR_FORMAT, "%s: line %zu: %s: %s", s->path, s->line, what,
                        why);
    return rbe_fail(s->d, RBE_ERR_FORMAT, "%s: %s: %s", s->path, what, why);
}

static enum rbe_status no_memory(const struct source *s)
{
    return rbe_fail(s->d, RBE_ERR_NOMEM, "out of memory");
}

static struct rbe_figure *find(struct rbe_figures *f, const char *key)
{
    for (size_t i = f->count; i-- > 0;)
        if (!strcmp(f->v[i].key, key))
            return &f->v[i];
    return NULL;
}

/* An empty figure with this key, in place of an earlier one; NULL when out of memory. */
static struct rbe_figure *add(const struct source *s, const char *unit, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static struct rbe_figure *add(const struct source *s, const char *unit, const char *fmt, ...)
{
    struct rbe_figures *f = s->f;
    char *key = NULL;
    va_list ap;

    va_start(ap, fmt);
    const int n = vasprintf(&key, fmt, ap);
    va_end(ap);
    if (n < 0)
        return NULL;
    struct rbe_figure *p = find(f, key);
    if (p) {
        free(key);
        p->count = 0;
        return p;
    }
    if (!(p = realloc(f->v, (f->count + 1) * sizeof *p))) {
        free(key);
        return NULL;
    }
    f->v = p;
    p[f->count] = (struct rbe_figure){.key = key, .unit = unit, .value = NAN};
    return &p[f->count++];
}

static enum rbe_status push(const struct source *s, struct rbe_figure *g, double x)
{
    if (!isfinite(x) || (!g->exact && !(x > 0)))
        return complain(s, g->key, "a value is missing or no number");
    /* Room doubles at powers of two. */
    if ((g->count & (g->count - 1)) == 0) {
        double *p = realloc(g->samples, (g->count ? 2 * g->count : 1) * sizeof *p);
        if (!p)
            return no_memory(s);
        g->samples = p;
    }
    g->samples[g->count++] = x;
    return RBE_OK;
}

static enum rbe_status exact(const struct source *s, double x, bool higher, const char *unit,
                             const char *name, const char *of)
{
    struct rbe_figure *g = add(s, unit, "%s %s", of, name);

    if (!g)
        return no_memory(s);
    g->exact = true;
    g->higher = higher;
    return push(s, g, x);
}

/* --- result lines ------------------------------------------------------------------- */

static const char *text_or(const json_t *v, const char *path, const char *otherwise)
{
    const char *s = rbe_string_at(v, path);

    return s ? s : otherwise;
}

/* Which model, on what; other results of the same model are other rows. */
static void describe(char *out, size_t size, const json_t *v, const char *kind)
{
    const double windows = rbe_number_at(v, "windows"), first = rbe_number_at(v,
                                                                              "first_window");
    char rest[64] = "";

    if (!isnan(windows))
        snprintf(rest, sizeof rest, " windows %.0f+%.0f", isnan(first) ? 0 : first, windows);
    snprintf(out, size, "%s %s%s%s%s%s%s%s%s", kind, text_or(v, "model.name", "?"),
             rbe_string_at(v, "base.name") ? " of " : "", text_or(v, "base.name", ""),
             rbe_string_at(v, "text.name") ? " " : "", text_or(v, "text.name", ""),
             rbe_string_at(v, "protocol") ? " " : "", text_or(v, "protocol", ""), rest);
}

static enum rbe_status add_samples(const struct source *s, const json_t *list, const char *unit,
                                   const char *key)
{
    struct rbe_figure *g = add(s, unit, "%s", key);
    enum rbe_status err = g ? RBE_OK : no_memory(s);
    size_t i;
    json_t *x;

    json_array_foreach(list, i, x)
        if (!err)
            err = push(s, g, json_is_number(x) ? json_number_value(x) : NAN);
    return !err && !g->count ? complain(s, key, "no samples") : err;
}

/* One time without its samples, where the row has it. */
static enum rbe_status add_time(const struct source *s, double ms, const char *key)
{
    struct rbe_figure *g = isnan(ms) ? NULL : add(s, "ms", "%s", key);

    return isnan(ms) ? RBE_OK : g ? push(s, g, ms) : no_memory(s);
}

/* Reading the prompt, and until the first token is out. */
static enum rbe_status add_prompt(const struct source *s, const json_t *v, const char *of,
                                  double threads)
{
    const double median = rbe_number_at(v, "prefill.median_ms");
    const double tokens = rbe_number_at(v, "prompt_tokens");
    enum rbe_status err;
    char key[256];

    snprintf(key, sizeof key, "%s %s prefill of %.0f, %.0f threads", of,
             text_or(v, "mode", "?"), tokens, threads);
    err = add_time(s, isnan(median) ? rbe_number_at(v, "prefill.mean_ms") : median, key);
    snprintf(key, sizeof key, "%s %s first token after %.0f, %.0f threads", of,
             text_or(v, "mode", "?"), tokens, threads);
    return err ? err : add_time(s, rbe_number_at(v, "first_token_ms"), key);
}

/* Peak resident memory, where the row has it. */
static enum rbe_status add_peak(const struct source *s, const json_t *v, const char *of)
{
    const double peak = rbe_number_at(v, "peak_bytes");
    struct rbe_figure *g = isnan(peak) ? NULL : add(s, "bytes", "%s peak memory", of);

    if (!g)
        return isnan(peak) ? RBE_OK : no_memory(s);
    g->exact = g->coarse = true;
    return push(s, g, peak);
}

static enum rbe_status add_inference(const struct source *s, const json_t *v, const char *of)
{
    json_t *samples = rbe_value_at(v, "samples_ms"), *list;
    enum rbe_status err = RBE_OK;
    const char *depth;
    char key[256];
    int n = 0;

    const double threads = rbe_number_at(v, "machine.threads");
    json_object_foreach(samples, depth, list) {
        snprintf(key, sizeof key, "%s %s decode at %s, %.0f threads", of,
                 text_or(v, "mode", "?"), depth, threads);
        if (!err)
            err = add_samples(s, list, "ms", key);
        n++;
    }
    if (!err && !n) {
        snprintf(key, sizeof key, "%s %s decode, %.0f threads", of, text_or(v, "mode", "?"),
                 threads);
        json_t *one = json_pack("[f]", rbe_number_at(v, "decode_median_ms"));
        err = add_samples(s, one, "ms", key);
        json_decref(one);
    }
    if (!err)
        err = add_prompt(s, v, of, threads);
    const double bytes = rbe_number_at(v, "model_bytes");
    if (!err && !isnan(bytes))
        err = exact(s, bytes, false, "bytes", "model bytes", of);
    return err ? err : add_peak(s, v, of);
}

static enum rbe_status add_conversation(const struct source *s, const json_t *v,
                                        const char *of)
{
    struct rbe_figure *g = add(s, "ms", "%s tokens, %.0f threads", of,
                               rbe_number_at(v, "machine.threads"));
    enum rbe_status err = g ? RBE_OK : no_memory(s);
    json_t *turn, *x;
    size_t i, k;

    json_array_foreach(rbe_value_at(v, "turns"), i, turn)
        json_array_foreach(rbe_value_at(turn, "token_ms"), k, x)
            if (!err)
                err = push(s, g, json_is_number(x) ? json_number_value(x) : NAN);
    if (err || !g->count)
        return err ? err : complain(s, of, "no samples");
    g = add(s, "ms", "%s first tokens, %.0f threads", of, rbe_number_at(v, "machine.threads"));
    err = g ? RBE_OK : no_memory(s);
    json_array_foreach(rbe_value_at(v, "turns"), i, turn)
        if (!err)
            err = push(s, g, rbe_number_at(turn, "first_token_ms"));
    return err;
}

static enum rbe_status add_comprehension(const struct source *s, const json_t *v,
                                         const char *of)
{
    enum rbe_status err = RBE_OK;
    const char *name;
    char key[96];
    json_t *m;

    json_object_foreach(rbe_value_at(v, "metrics"), name, m) {
        snprintf(key, sizeof key, "%s %s, %.0f items", text_or(v, "task", "?"), name,
                 rbe_number_at(v, "items"));
        if (!err)
            err = exact(s, rbe_number_at(m, "value"), strcmp(name, "perplexity"), "", key, of);
    }
    return err;
}

static enum rbe_status add_line(const struct source *s, const json_t *v)
{
    const char *kind = rbe_string_at(v, "kind");
    enum rbe_status err = RBE_OK;
    char of[192];

    describe(of, sizeof of, v, kind);
    if (!strcmp(kind, "perplexity"))
        return exact(s, rbe_number_at(v, "perplexity"), false, "", "perplexity", of);
    if (!strcmp(kind, "divergence")) {
        err = exact(s, rbe_number_at(v, "kl.mean"), false, "nats", "mean KL", of);
        return err ? err : exact(s, rbe_number_at(v, "top1.agreement"), true, "",
                                 "top-1 agreement", of);
    }
    if (!strcmp(kind, "inference"))
        return add_inference(s, v, of);
    if (!strcmp(kind, "conversation"))
        return add_conversation(s, v, of);
    if (!strcmp(kind, "edge") && !isnan(rbe_number_at(v, "peak_bytes")))
        return add_peak(s, v, of);
    if (!strcmp(kind, "comprehension"))
        return add_comprehension(s, v, of);
    if (!strcmp(kind, "generation")) {
        static const char *const names[] = {"fluency", "coherence", "relevance"};
        for (int i = 0; i < 3 && !err; i++) {
            char path[32];
            snprintf(path, sizeof path, "%s.retained", names[i]);
            err = exact(s, rbe_number_at(v, path), true, "", names[i], of);
        }
        return err;
    }
    if (!strcmp(kind, "convert"))
        return exact(s, rbe_number_at(v, "totals.bytes"), false, "bytes", "bytes", of);
    s->f->skipped++;
    return RBE_OK;
}

/* "cpu, x86_64, 2 cores, isa, memory, kernel": all rows of a file must agree, and all must say
 * it or none. */
static enum rbe_status see_machine(const struct source *s, const json_t *m)
{
    const double memory = rbe_number_at(m, "memory_bytes");
    char text[sizeof s->f->machine], more[96] = "";

    const bool first = !s->f->count && !s->f->skipped;
    if (!json_is_object(m))
        return s->f->machine[0] ? complain(s, "machine", "missing, unlike in the rows before")
               : RBE_OK;
    if (!isnan(memory))
        snprintf(more, sizeof more, ", %.1f GB, kernel %s", memory / 1e9,
                 text_or(m, "kernel", "?"));
    snprintf(text, sizeof text, "%s, %s, %.0f cores, %s%s", text_or(m, "cpu", "?"),
             text_or(m, "arch", "?"), rbe_number_at(m, "cores"), text_or(m, "isa", "?"), more);
    if (!first && strcmp(s->f->machine, text))
        return complain(s, text, "another machine than in the rows before");
    memcpy(s->f->machine, text, sizeof text);
    return RBE_OK;
}

static enum rbe_status read_rows(struct source *s)
{
    unsigned unfinished = 0;
    json_t *rows = NULL, *v;
    enum rbe_status err = rbe_result_read(&rows, s->path, &unfinished, s->d);
    size_t i;

    json_array_foreach(rows, i, v) {
        s->line = i + 1;
        if (!err && !(err = see_machine(s, rbe_value_at(v, "machine"))))
            err = add_line(s, v);
    }
    if (!err && unfinished)
        err = rbe_fail(s->d, RBE_ERR_FORMAT,
                       "%s: the last line is cut off: the run did not end", s->path);
    json_decref(rows);
    return err;
}

/* --- Google Benchmark --------------------------------------------------------------- */

static double ns_per(const char *unit)
{
    return !unit || !strcmp(unit, "ns") ? 1 : !strcmp(unit, "us") ? 1e3
           : !strcmp(unit, "ms") ? 1e6 : !strcmp(unit, "s") ? 1e9 : NAN;
}

static enum rbe_status add_benchmark(const struct source *s, const json_t *v)
{
    static const char suffix[] = "/manual_time";
    const char *run = rbe_string_at(v, "run_name"), *type = rbe_string_at(v, "run_type");
    char name[256];

    if (!run || !type)
        return complain(s, "a benchmark", "no run_name or run_type");
    if (strcmp(type, "iteration"))
        return RBE_OK;
    snprintf(name, sizeof name, "%s", run);
    const size_t n = strlen(name), m = sizeof suffix - 1;
    if (n > m && !strcmp(name + n - m, suffix))
        name[n - m] = 0;
    if (rbe_true_at(v, "error_occurred"))
        return complain(s, name, text_or(v, "error_message", "was not measured"));
    struct rbe_figure *g = find(s->f, name);
    if (!g && !(g = add(s, "ns", "%s", name)))
        return no_memory(s);
    return push(s, g, rbe_number_at(v, "real_time") * ns_per(rbe_string_at(v, "time_unit")));
}

/* Replaces the repetitions of a row by the accepted samples beside the file, where there are
 * more. */
static enum rbe_status read_samples(const struct source *s)
{
    char *path = NULL, *text = NULL;
    size_t size, line = 0;
    enum rbe_status err = RBE_OK;
    struct rbe_figures more = {0};
    struct source t = {.f = &more, .d = s->d};

    if (asprintf(&path, "%s.samples.jsonl", s->path) < 0)
        return no_memory(s);
    t.path = path;
    FILE *there = fopen(path, "r");
    if (there)
        fclose(there);
    if (!there || (err = rbe_read_file(&text, &size, path, s->d)))
        goto out;
    for (char *at = text, *end; !err && (end = strchr(at, '\n')); at = end + 1) {
        json_t *v;
        if ((err = rbe_json_load(&v, at, (size_t)(end - at), 0, NULL, path, s->d)) ==
            RBE_ERR_NOMEM)
            break;
        err = RBE_OK;
        t.line = ++line;
        const char *name = rbe_string_at(v, "name");
        if (!name)
            err = complain(&t, "a sample", "not JSON, or without a name");
        else if (rbe_true_at(v, "accepted")) {
            struct rbe_figure *g = find(&more, name);
            if (!g && !(g = add(&t, "ns", "%s", name)))
                err = no_memory(s);
            else
                err = push(&t, g, 1e9 * rbe_number_at(v, "seconds") /
                           rbe_number_at(v, "iterations"));
        }
        json_decref(v);
    }
    for (size_t i = 0; i < more.count && !err; i++) {
        struct rbe_figure *g = find(s->f, more.v[i].key);
        if (g && more.v[i].count > g->count) {
            double *was = g->samples;
            g->samples = more.v[i].samples;
            g->count = more.v[i].count;
            more.v[i].samples = was;
        }
    }
out:
    rbe_figures_free(&more);
    free(text);
    free(path);
    return err;
}

static enum rbe_status read_document(struct source *s, const char *text, size_t size)
{
    json_error_t e;
    json_t *doc, *v;
    enum rbe_status err = rbe_json_load(&doc, text, size, 0, &e, s->path, s->d);
    json_t *list = rbe_value_at(doc, "benchmarks");
    size_t i;

    if (err)
        return err == RBE_ERR_NOMEM ? err
               : rbe_fail(s->d, err, "%s: line %d: %s (cut off?)", s->path, e.line, e.text);
    if (!json_is_array(list) || !json_is_object(rbe_value_at(doc, "context")))
        err = complain(s, "not a result of Google Benchmark", "no benchmarks or no context");
    else
        err = see_machine(s, rbe_value_at(doc, "context.rbe.machine"));
    json_array_foreach(list, i, v)
        if (!err)
            err = add_benchmark(s, v);
    json_decref(doc);
    return err ? err : read_samples(s);
}

/* --- both --------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct rbe_figure *x = a, *y = b;

    return strcmp(x->key, y->key);
}

static void free_figure(struct rbe_figure *g)
{
    free(g->key);
    free(g->samples);
}

/* Sorted, medians filled. */
static enum rbe_status arrange(const struct source *s)
{
    struct rbe_figures *f = s->f;

    qsort(f->v, f->count, sizeof *f->v, by_key);
    for (size_t n = 0; n < f->count; n++) {
        struct rbe_figure *g = &f->v[n];
        double *x = malloc(g->count * sizeof *x);
        if (!x)
            return no_memory(s);
        memcpy(x, g->samples, g->count * sizeof *x);
        rbe_sort(x, g->count);
        g->value = rbe_median(x, g->count);
        free(x);
    }
    return RBE_OK;
}

enum rbe_status rbe_figures_read(struct rbe_figures *f, const char *path, struct rbe_diag *d)
{
    struct source s = {.path = path, .f = f, .d = d};
    char *text = NULL;
    enum rbe_status err;
    size_t size;

    memset(f, 0, sizeof *f);
    if ((err = rbe_read_file(&text, &size, path, d)))
        return err;
    /* A result line begins with its schema; Google Benchmark with its context. */
    const char *first = strstr(text, "\"schema\""), *context = strstr(text, "\"context\"");
    if (context && (!first || context < first))
        err = read_document(&s, text, size);
    else
        err = read_rows(&s);
    s.line = 0;
    if (!err && !f->count)
        err = complain(&s, "nothing to compare", "no row with a figure");
    if (!err)
        err = arrange(&s);
    free(text);
    if (err)
        rbe_figures_free(f);
    return err;
}

void rbe_figures_free(struct rbe_figures *f)
{
    for (size_t i = 0; i < f->count; i++)
        free_figure(&f->v[i]);
    free(f->v);
    memset(f, 0, sizeof *f);
}

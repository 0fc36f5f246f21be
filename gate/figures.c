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

#include "base/file.h"
#include "base/result.h"
#include "base/rows.h"
#include "base/text.h"
#include "gate/compare.h"

/* The file being read, for messages. */
struct source {
    const char *path;
    size_t line;                /* 0: a document */
    struct rbe_figures *f;
    json_t *index;              /* by key: the place in f */
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

static struct rbe_figure *find(const struct source *s, const char *key)
{
    const json_t *at = json_object_get(s->index, key);

    return at ? &s->f->v[json_integer_value(at)] : NULL;
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
    struct rbe_figure *p = find(s, key);
    if (p) {
        free(key);
        p->count = 0;
        return p;
    }
    /* Room doubles at powers of two. */
    if ((f->count & (f->count - 1)) == 0) {
        if (!(p = realloc(f->v, (f->count ? 2 * f->count : 1) * sizeof *p))) {
            free(key);
            return NULL;
        }
        f->v = p;
    }
    if (json_object_set_new_nocheck(s->index, key, json_integer((json_int_t)f->count))) {
        free(key);
        return NULL;
    }
    p = &f->v[f->count++];
    *p = (struct rbe_figure){.key = key, .unit = unit, .value = NAN, .error = NAN};
    return p;
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

/* `least`: no such figure is below, whatever was measured. */
static enum rbe_status exact(const struct source *s, double x, double least, bool higher,
                             const char *unit, const char *name, const char *of)
{
    struct rbe_figure *g = add(s, unit, "%s %s", of, name);

    if (!g)
        return no_memory(s);
    if (x < least)
        return complain(s, g->key, "an impossible value");
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
    const double windows = RBE_NUMBER_AT(v, windows), first = RBE_NUMBER_AT(v, first_window);
    char rest[64] = "";

    if (!isnan(windows))
        snprintf(rest, sizeof rest, " windows %.0f+%.0f", isnan(first) ? 0 : first, windows);
    snprintf(out, size, "%s %s%s%s%s%s%s%s%s", kind, text_or(v, RBE_KEY(model, name), "?"),
             RBE_STRING_AT(v, base, name) ? " of " : "", text_or(v, RBE_KEY(base, name), ""),
             RBE_STRING_AT(v, text, name) ? " " : "", text_or(v, RBE_KEY(text, name), ""),
             RBE_STRING_AT(v, protocol) ? " " : "", text_or(v, RBE_KEY(protocol), ""), rest);
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
    const double median = RBE_NUMBER_AT(v, prefill, median_ms);
    const double tokens = RBE_NUMBER_AT(v, prompt_tokens);
    enum rbe_status err;
    char key[256];

    snprintf(key, sizeof key, "%s %s prefill of %.0f, %.0f threads", of,
             text_or(v, RBE_KEY(mode), "?"), tokens, threads);
    err = add_time(s, isnan(median) ? RBE_NUMBER_AT(v, prefill, mean_ms) : median, key);
    snprintf(key, sizeof key, "%s %s first token after %.0f, %.0f threads", of,
             text_or(v, RBE_KEY(mode), "?"), tokens, threads);
    return err ? err : add_time(s, RBE_NUMBER_AT(v, first_token_ms), key);
}

/* Peak resident memory, where the row has it. */
static enum rbe_status add_peak(const struct source *s, const json_t *v, const char *of)
{
    const double peak = RBE_NUMBER_AT(v, peak_bytes);
    struct rbe_figure *g = isnan(peak) ? NULL : add(s, "bytes", "%s peak memory", of);

    if (!g)
        return isnan(peak) ? RBE_OK : no_memory(s);
    g->exact = g->coarse = true;
    return push(s, g, peak);
}

static enum rbe_status add_inference(const struct source *s, const json_t *v, const char *of)
{
    json_t *samples = RBE_VALUE_AT(v, samples_ms), *list;
    enum rbe_status err = RBE_OK;
    const char *depth;
    char key[256];
    int n = 0;

    const double threads = RBE_NUMBER_AT(v, machine, threads);
    json_object_foreach(samples, depth, list) {
        snprintf(key, sizeof key, "%s %s decode at %s, %.0f threads", of,
                 text_or(v, RBE_KEY(mode), "?"), depth, threads);
        if (!err)
            err = add_samples(s, list, "ms", key);
        n++;
    }
    if (!err && !n) {
        snprintf(key, sizeof key, "%s %s decode, %.0f threads", of,
                 text_or(v, RBE_KEY(mode), "?"), threads);
        json_t *one = json_pack("[f]", RBE_NUMBER_AT(v, decode_median_ms));
        err = add_samples(s, one, "ms", key);
        json_decref(one);
    }
    if (!err)
        err = add_prompt(s, v, of, threads);
    const double bytes = RBE_NUMBER_AT(v, model_bytes);
    if (!err && !isnan(bytes))
        err = exact(s, bytes, 0, false, "bytes", "model bytes", of);
    return err ? err : add_peak(s, v, of);
}

static enum rbe_status add_conversation(const struct source *s, const json_t *v,
                                        const char *of)
{
    struct rbe_figure *g =
        add(s, "ms", "%s tokens, %.0f threads", of, RBE_NUMBER_AT(v, machine, threads));
    enum rbe_status err = g ? RBE_OK : no_memory(s);
    json_t *turn, *x;
    size_t i, k;

    json_array_foreach(RBE_VALUE_AT(v, turns), i, turn)
        json_array_foreach(RBE_VALUE_AT(turn, token_ms), k, x)
            if (!err)
                err = push(s, g, json_is_number(x) ? json_number_value(x) : NAN);
    if (err || !g->count)
        return err ? err : complain(s, of, "no samples");
    g = add(s, "ms", "%s first tokens, %.0f threads", of, RBE_NUMBER_AT(v, machine, threads));
    err = g ? RBE_OK : no_memory(s);
    json_array_foreach(RBE_VALUE_AT(v, turns), i, turn)
        if (!err)
            err = push(s, g, RBE_NUMBER_AT(turn, first_token_ms));
    return err;
}

static enum rbe_status add_comprehension(const struct source *s, const json_t *v,
                                         const char *of)
{
    enum rbe_status err = RBE_OK;
    const char *name;
    char key[96];
    json_t *m;

    json_object_foreach(RBE_VALUE_AT(v, metrics), name, m) {
        snprintf(key, sizeof key, "%s %s, %.0f items", text_or(v, RBE_KEY(task), "?"), name,
                 RBE_NUMBER_AT(v, items));
        if (!err)
            err = exact(s, RBE_NUMBER_AT(m, value),
                        strcmp(name, RBE_KEY(log_odds)) ? 0 : -INFINITY,
                        strcmp(name, "perplexity"), "", key, of);
    }
    return err;
}

static enum rbe_status add_line(const struct source *s, const json_t *v)
{
    const char *kind = RBE_STRING_AT(v, kind);
    enum rbe_status err = RBE_OK;
    char of[192];

    describe(of, sizeof of, v, kind);
    if (!strcmp(kind, RBE_KIND(perplexity)))
        return exact(s, RBE_NUMBER_AT(v, perplexity), 1, false, "", "perplexity", of);
    if (!strcmp(kind, RBE_KIND(divergence))) {
        err = exact(s, RBE_NUMBER_AT(v, kl, mean), -1e-3, false, "nats", "mean KL", of);
        err = err ? err
                  : exact(s, RBE_NUMBER_AT(v, top1, agreement), 0, true, "",
                          "top-1 agreement", of);
        return err || isnan(RBE_NUMBER_AT(v, acceptance, rate))
                   ? err
                   : exact(s, RBE_NUMBER_AT(v, acceptance, rate), 0, true, "",
                           "acceptance rate", of);
    }
    if (!strcmp(kind, RBE_KIND(inference)))
        return add_inference(s, v, of);
    if (!strcmp(kind, RBE_KIND(conversation)))
        return add_conversation(s, v, of);
    if (!strcmp(kind, RBE_KIND(edge)) && !isnan(RBE_NUMBER_AT(v, peak_bytes)))
        return add_peak(s, v, of);
    if (!strcmp(kind, RBE_KIND(comprehension)))
        return add_comprehension(s, v, of);
    if (!strcmp(kind, RBE_KIND(generation))) {
        static const char *const names[] = {RBE_KEY(fluency), RBE_KEY(coherence),
                                            RBE_KEY(relevance)};
        for (int i = 0; i < 3 && !err; i++) {
            const json_t *kept = rbe_value_at(v, names[i]);
            err = exact(s, RBE_NUMBER_AT(kept, retained), -INFINITY, true, "", names[i], of);
        }
        return err;
    }
    if (!strcmp(kind, RBE_KIND(convert)))
        return exact(s, RBE_NUMBER_AT(v, totals, bytes), 0, false, "bytes", "bytes", of);
    s->f->skipped++;
    return RBE_OK;
}

/* "cpu, x86_64, 2 cores, isa, memory, kernel": all rows of a file must agree, and all must say
 * it or none. */
static enum rbe_status see_machine(const struct source *s, const json_t *m)
{
    const double memory = RBE_NUMBER_AT(m, memory_bytes);
    char text[sizeof s->f->machine], more[96] = "";

    const bool first = !s->f->count && !s->f->skipped;
    if (!json_is_object(m))
        return s->f->machine[0] ? complain(s, "machine", "missing, unlike in the rows before")
               : RBE_OK;
    if (!isnan(memory))
        snprintf(more, sizeof more, ", %.1f GB, kernel %s", memory / 1e9,
                 text_or(m, RBE_KEY(kernel), "?"));
    snprintf(text, sizeof text, "%s, %s, %.0f cores, %s%s", text_or(m, RBE_KEY(cpu), "?"),
             text_or(m, RBE_KEY(arch), "?"), RBE_NUMBER_AT(m, cores),
             text_or(m, RBE_KEY(isa), "?"), more);
    if (!first && strcmp(s->f->machine, text))
        return complain(s, text, "another machine than in the rows before");
    memcpy(s->f->machine, text, sizeof text);
    return RBE_OK;
}

static enum rbe_status read_rows(struct source *s, const char *text, size_t size)
{
    unsigned unfinished = 0;
    json_t *rows = NULL, *v;
    enum rbe_status err = rbe_result_parse(&rows, text, size, s->path, &unfinished,
                                           s->d);
    size_t i;

    json_array_foreach(rows, i, v) {
        s->line = i + 1;
        if (!err && !(err = see_machine(s, RBE_VALUE_AT(v, machine))))
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

/* The name that samples and tables have too. */
static void name_of(char *out, size_t size, const char *run)
{
    static const char suffix[] = "/manual_time";

    snprintf(out, size, "%s", run);
    const size_t n = strlen(out), m = sizeof suffix - 1;
    if (n > m && !strcmp(out + n - m, suffix))
        out[n - m] = 0;
}

/* A row that has no time: an interrupt ended the run before it, or something is wrong. */
static enum rbe_status untimed(const struct source *s, const char *name, const char *why)
{
    const struct rbe_figure *g = find(s, name);

    if (!strcmp(why, "interrupted")) {
        s->f->skipped++;
        return RBE_OK;
    }
    if (g && !g->count)         /* counted already */
        return RBE_OK;
    if (!s->f->failed++)
        rbe_fail(&s->f->failure, RBE_OK, "%s: %s: %s", s->path, name, why);
    return g || add(s, "ns", "%s", name) ? RBE_OK : no_memory(s);
}

static bool all_failed(const struct rbe_figures *f)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->v[i].count)
            return false;
    return true;
}

static enum rbe_status add_repetition(const struct source *s, const char *name, double ns)
{
    struct rbe_figure *g = find(s, name);

    if (!g && !(g = add(s, "ns", "%s", name)))
        return no_memory(s);
    return push(s, g, ns);
}

/* A median and how its samples scatter, without them. */
static enum rbe_status add_summary(const struct source *s, const char *name, double median,
                                   double sd, double count)
{
    if (!isfinite(median) || !(median > 0))
        return complain(s, name, "a value is missing or no number");
    struct rbe_figure *g = add(s, "ns", "%s", name);
    if (!g)
        return no_memory(s);
    g->value = median;
    g->count = count >= 1 && count <= 1e9 ? (size_t)count : 1;
    g->error = rbe_median_error(sd, g->count);
    return RBE_OK;
}

/* One repetition; `run_type` is newer than the rest. */
static enum rbe_status add_benchmark(const struct source *s, const json_t *v)
{
    const char *type = text_or(v, RBE_KEY(run_type), "iteration");
    const char *run = RBE_STRING_AT(v, run_name);
    char name[256];

    if (!run && !(run = RBE_STRING_AT(v, name)))
        return complain(s, "a benchmark", "no run_name");
    if (strcmp(type, "iteration"))
        return RBE_OK;
    name_of(name, sizeof name, run);
    if (RBE_TRUE_AT(v, error_occurred))
        return untimed(s, name, text_or(v, RBE_KEY(error_message), "was not measured"));
    return add_repetition(s, name,
                          RBE_NUMBER_AT(v, real_time) * ns_per(RBE_STRING_AT(v, time_unit)));
}

/* The aggregates of a row whose repetitions are not in the file: its median, and what of the
 * others tells its scatter. */
static enum rbe_status add_aggregates(const struct source *s, const json_t *list)
{
    json_t *scatter = json_object();
    enum rbe_status err = scatter ? RBE_OK : no_memory(s);
    const json_t *v;
    size_t i;

    for (int pass = 0; pass < 2 && !err; pass++)
        json_array_foreach(list, i, v) {
            const char *run = RBE_STRING_AT(v, run_name);
            const char *what = RBE_STRING_AT(v, aggregate_name);
            const double t = RBE_NUMBER_AT(v, real_time) * ns_per(RBE_STRING_AT(v, time_unit));
            char name[256];
            if (err || !run || !what)
                continue;
            name_of(name, sizeof name, run);
            const struct rbe_figure *g = find(s, name);
            if (g && g->samples)
                continue;
            if (!pass && !strcmp(what, "stddev"))
                json_object_set_new_nocheck(scatter, name, rbe_result_real(t));
            else if (pass && !strcmp(what, "median"))
                err = add_summary(s, name, t, rbe_number_at(scatter, name),
                                  RBE_NUMBER_AT(v, repetitions));
        }
    json_decref(scatter);
    return err;
}

/* Accepted samples into `f`, the others of a name into `rest`, of a file's text. */
static enum rbe_status add_sample_lines(struct source *f, struct source *rest, const char *text)
{
    enum rbe_status err = RBE_OK;

    for (const char *at = text, *end; !err && *at; at = end + 1) {
        f->line++;
        if (!(end = strchr(at, '\n')))
            return rbe_fail(f->d, RBE_ERR_FORMAT,
                            "%s: the last line is cut off: the run did not end", f->path);
        json_t *v;
        if ((err = rbe_json_load(&v, at, (size_t)(end - at), 0, NULL, f->path, f->d)) ==
            RBE_ERR_NOMEM)
            break;
        err = RBE_OK;
        const char *name = RBE_STRING_AT(v, name);
        const double ns = 1e9 * RBE_NUMBER_AT(v, seconds) / RBE_NUMBER_AT(v, iterations);
        /* What the samples were taken on: of each launch. */
        if (RBE_STRING_AT(v, schema))
            err = see_machine(f, RBE_VALUE_AT(v, machine));
        else if (!name)
            err = complain(f, "a sample", "not JSON, or without a name");
        else
            err = add_repetition(RBE_TRUE_AT(v, accepted) ? f : rest, name, ns);
        json_decref(v);
    }
    return err;
}

/* Moves the samples of b's figure into a's. */
static void take_samples(struct rbe_figure *a, struct rbe_figure *b)
{
    double *was = a->samples;

    a->samples = b->samples;
    a->count = b->count;
    b->samples = was;
}

/* Replaces the repetitions of a row by the accepted samples beside the file, where there are
 * more. */
static enum rbe_status read_samples(const struct source *s)
{
    char *path = NULL, *text = NULL;
    size_t size;
    enum rbe_status err = RBE_OK;
    struct rbe_figures more = {0}, none = {0};
    struct source t = {.f = &more, .index = json_object(), .d = s->d};
    struct source rest = {.f = &none, .index = json_object(), .d = s->d};

    if (!t.index || !rest.index || asprintf(&path, "%s.samples.jsonl", s->path) < 0) {
        path = NULL;
        err = no_memory(s);
        goto out;
    }
    t.path = rest.path = path;
    FILE *there = fopen(path, "r");
    if (there)
        fclose(there);
    if (!there || (err = rbe_read_text(&text, &size, NULL, path, s->d)) ||
        (err = add_sample_lines(&t, &rest, text)))
        goto out;
    for (size_t i = 0; i < more.count; i++) {
        struct rbe_figure *g = find(s, more.v[i].key);
        if (g && more.v[i].count > g->count)
            take_samples(g, &more.v[i]);
    }
out:
    rbe_figures_free(&more);
    rbe_figures_free(&none);
    json_decref(t.index);
    json_decref(rest.index);
    free(text);
    free(path);
    return err;
}

/* A samples file by itself.  A row whose samples were all disturbed has those. */
static enum rbe_status read_sample_file(struct source *s, const char *text)
{
    struct rbe_figures disturbed = {0};
    struct source rest = {.path = s->path, .f = &disturbed, .index = json_object(), .d = s->d};
    enum rbe_status err = rest.index ? add_sample_lines(s, &rest, text) : no_memory(s);

    for (size_t i = 0; i < disturbed.count && !err; i++) {
        struct rbe_figure *g = find(s, disturbed.v[i].key);
        if (g)
            continue;
        if (!(g = add(s, "ns", "%s", disturbed.v[i].key)))
            err = no_memory(s);
        else
            take_samples(g, &disturbed.v[i]);
    }
    rbe_figures_free(&disturbed);
    json_decref(rest.index);
    return err;
}

/* The machine of a document by another program: what Google Benchmark itself writes. */
static void see_host(const struct source *s, const json_t *context)
{
    const char *host = RBE_STRING_AT(context, host_name);

    if (host)
        snprintf(s->f->machine, sizeof s->f->machine, "host %s, %.0f CPUs", host,
                 RBE_NUMBER_AT(context, num_cpus));
}

static enum rbe_status read_document(struct source *s, const char *text, size_t size)
{
    json_error_t e;
    json_t *doc, *v;
    enum rbe_status err = rbe_json_load(&doc, text, size, 0, &e, s->path, s->d);
    json_t *list = RBE_VALUE_AT(doc, benchmarks);
    size_t i;

    if (err)
        return err == RBE_ERR_NOMEM ? err
               : rbe_fail(s->d, err, "%s: line %d: %s (cut off?)", s->path, e.line, e.text);
    if (!json_is_array(list) || !json_is_object(RBE_VALUE_AT(doc, context)))
        err = complain(s, "not a result of Google Benchmark", "no benchmarks or no context");
    else
        err = see_machine(s, RBE_VALUE_AT(doc, context, rbe, machine));
    if (!err && !s->f->machine[0])
        see_host(s, RBE_VALUE_AT(doc, context));
    json_array_foreach(list, i, v)
        if (!err)
            err = add_benchmark(s, v);
    if (!err)
        err = add_aggregates(s, list);
    json_decref(doc);
    return err ? err : read_samples(s);
}

/* --- the table of rbe-bench --------------------------------------------------------- */

static const char table_schema[] = "# schema rbe-bench-1\n";

/* Fields are cut off the line one by one; NULL after the last. */
static char *next_field(char **line)
{
    return strsep(line, "\t");
}

/* "# cores 2" of the head: what the machine of a row is called in JSON. */
static enum rbe_status note_machine(const struct source *s, json_t *machine, const char *line)
{
    static const char *const names[] = {RBE_KEY(cpu),    RBE_KEY(arch),  RBE_KEY(isa),
                                        RBE_KEY(kernel), RBE_KEY(cores), RBE_KEY(memory_bytes)};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const size_t n = strlen(names[i]);
        if (strncmp(line, names[i], n) || line[n] != ' ')
            continue;
        const char *value = line + n + 1;
        json_t *v = i < 4 ? json_string_nocheck(value) : rbe_result_real(atof(value));
        if (json_object_set_new(machine, names[i], v))
            return no_memory(s);
    }
    return RBE_OK;
}

enum { TABLE_COLUMNS = 5 };

/* Where the columns that are needed stand, from the line of titles. */
static enum rbe_status find_columns(const struct source *s, size_t *at, char *line)
{
    static const char *const titles[TABLE_COLUMNS] = {"name", "samples", "ns_median", "ns_mad",
                                                      "error"};
    size_t column = 0;
    char *title;

    for (int i = 0; i < TABLE_COLUMNS; i++)
        at[i] = SIZE_MAX;
    for (; (title = next_field(&line)); column++)
        for (int i = 0; i < TABLE_COLUMNS; i++)
            if (!strcmp(title, titles[i]))
                at[i] = column;
    for (int i = 0; i < TABLE_COLUMNS; i++)
        if (at[i] == SIZE_MAX)
            return complain(s, titles[i], "no column of that name");
    return RBE_OK;
}

static enum rbe_status add_table_row(const struct source *s, const size_t *at, char *line)
{
    char *cell[TABLE_COLUMNS] = {NULL}, *field, *end;
    double x[TABLE_COLUMNS] = {0};

    for (size_t column = 0; (field = next_field(&line)); column++)
        for (int i = 0; i < TABLE_COLUMNS; i++)
            if (at[i] == column)
                cell[i] = field;
    for (int i = 0; i < TABLE_COLUMNS; i++)
        if (!cell[i])
            return complain(s, "a row", "fewer fields than titles");
    for (int i = 1; i <= 3; i++) {
        x[i] = strtod(cell[i], &end);
        if (end == cell[i] || *end)
            x[i] = NAN;
    }
    if (x[1] == 0)
        return untimed(s, cell[0], cell[4]);
    return add_summary(s, cell[0], x[2], RBE_MAD_TO_SD * x[3], x[1]);
}

/* The text is cut into its fields. */
static enum rbe_status read_table(struct source *s, char *text)
{
    json_t *machine = json_object();
    enum rbe_status err = machine ? RBE_OK : no_memory(s);
    size_t at[TABLE_COLUMNS];
    bool titles = false;

    for (char *line = text, *next; *line && !err; line = next) {
        s->line++;
        char *end = strchr(line, '\n');
        if (!end) {
            err = rbe_fail(s->d, RBE_ERR_FORMAT, "%s: the last line is cut off", s->path);
            break;
        }
        *end = 0;
        next = end + 1;
        if (*line == '#') {
            err = note_machine(s, machine, line + 1 + (line[1] == ' '));
        } else if (!titles) {
            titles = true;
            if (!(err = find_columns(s, at, line)) && json_object_size(machine))
                err = see_machine(s, machine);
        } else {
            err = add_table_row(s, at, line);
        }
    }
    json_decref(machine);
    return err;
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
        if (!g->samples)
            continue;
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

/* Whether the first line is what the samples of rbe-bench begin with. */
static bool begins_samples(const char *text)
{
    json_t *v;
    /* What is no JSON, or has no room, is no such line to begin with; the rest will tell. */
    rbe_json_load(&v, text, strcspn(text, "\n"), 0, NULL, "", NULL);
    const char *kind = RBE_STRING_AT(v, kind);
    const bool yes = kind && !strcmp(kind, RBE_KIND(bench));

    json_decref(v);
    return yes;
}

enum rbe_status rbe_figures_read(struct rbe_figures *f, const char *path, struct rbe_diag *d)
{
    struct source s = {.path = path, .f = f, .index = json_object(), .d = d};
    char *text = NULL;
    enum rbe_status err;
    size_t size;

    memset(f, 0, sizeof *f);
    if (!s.index)
        return no_memory(&s);
    /* Once: it may be a pipe. */
    if ((err = rbe_read_text(&text, &size, NULL, path, d)))
        goto out;
    /* A result line begins with its schema; Google Benchmark with its context. */
    const char *first = strstr(text, "\"schema\""), *context = strstr(text, "\"context\"");
    if (!strncmp(text, table_schema, sizeof table_schema - 1))
        err = read_table(&s, text);
    else if (begins_samples(text))
        err = read_sample_file(&s, text);
    else if (context && (!first || context < first))
        err = read_document(&s, text, size);
    else
        err = read_rows(&s, text, size);
    s.line = 0;
    if (!err && f->failed && all_failed(f))
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s", f->failure.text);
    else if (!err && !f->count)
        err = complain(&s, "nothing to compare", "no row with a figure");
    if (!err)
        err = arrange(&s);
out:
    json_decref(s.index);
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

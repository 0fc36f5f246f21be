/*
 * cmd_trend.c - rbe trend: a history of gate runs as a plot, and what drifted.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/result.h"
#include "base/rows.h"
#include "cli/arguments.h"
#include "cli/paint.h"
#include "gate/trend.h"
#include "reports/document.h"
#include "reports/plots.h"
#include "reports/results.h"

enum { MOST_METRICS = 4096, MOST_DRAWN = 24, MOST_DRIFTS = 8, EXIT_DRIFT = 3 };

/* Where each metric stands: the product of all its ratios so far, their logarithms, and the
 * entries that they are of. */
struct level {
    char name[256], label[64];  /* label: the name in the plot, another for each metric */
    double value, *log_ratio;
    unsigned *entry;
    size_t count;
};

static void label(struct level *l, size_t number)
{
    const size_t n = strlen(l->name);
    char text[48];

    if (n < sizeof text)
        snprintf(text, sizeof text, "%s", l->name);
    else
        snprintf(text, sizeof text, "%.16s..%s#%zu", l->name, l->name + n - 22, number + 1);
    rbe_plot_series(&(struct rbe_plot_data){0}, l->label, text);
}

static struct level *find(struct level *levels, const char *name)
{
    for (size_t i = 0; i < MOST_METRICS; i++) {
        if (!levels[i].name[0]) {
            snprintf(levels[i].name, sizeof levels[i].name, "%s", name);
            label(&levels[i], i);
            levels[i].value = 1;
        }
        if (!strncmp(levels[i].name, name, sizeof levels[i].name - 1))
            return &levels[i];
    }
    return NULL;
}

static int by_change(const void *a, const void *b)
{
    const struct level *const *x = a, *const *y = b;
    const double p = fabs(log((*x)->value)), q = fabs(log((*y)->value));

    /* As they were found where nothing else decides. */
    return p > q ? -1 : p < q ? 1 : *x < *y ? -1 : *x > *y;
}

/* Names what is drawn: all, or those that changed most; how many were left out. */
static size_t select_drawn(struct rbe_plot_data *p, struct level *levels)
{
    const struct level *order[MOST_METRICS];
    size_t n = 0, room = 0, k = 0;
    char out[64];

    for (; n < MOST_METRICS && levels[n].name[0]; n++) {
        order[n] = &levels[n];
        room += strlen(levels[n].label) + 1;
    }
    if (n > MOST_DRAWN || room >= sizeof p->series)
        qsort(order, n, sizeof *order, by_change);
    for (room = 0; k < n && k < MOST_DRAWN; k++) {
        room += strlen(order[k]->label) + 1;
        if (room >= sizeof p->series)
            break;
        rbe_plot_series(p, out, order[k]->label);
    }
    return n - k;
}

static bool keep(struct level *l, double ratio, unsigned entry)
{
    /* Room doubles at powers of two. */
    if ((l->count & (l->count - 1)) == 0) {
        const size_t room = l->count ? 2 * l->count : 1;
        double *x = realloc(l->log_ratio, room * sizeof *x);
        if (x)
            l->log_ratio = x;
        unsigned *e = realloc(l->entry, room * sizeof *e);
        if (e)
            l->entry = e;
        if (!x || !e)
            return false;
    }
    l->log_ratio[l->count] = log(ratio);
    l->entry[l->count++] = entry;
    return true;
}

/* One row of the history: metric, entry, level and its interval in percent, regression. */
static enum rbe_status add_row(struct rbe_plot_data *p, struct level *levels, const json_t *r,
                               unsigned entry, const char *where, struct rbe_diag *d)
{
    json_t *m;
    size_t i;

    json_array_foreach(RBE_VALUE_AT(r, metrics), i, m) {
        const char *name = RBE_STRING_AT(m, name), *verdict = RBE_STRING_AT(m, verdict);
        const double ratio = RBE_NUMBER_AT(m, ratio);
        json_t *ends = RBE_VALUE_AT(m, interval);
        struct level *l = name ? find(levels, name) : NULL;
        if (!name || !verdict || !(ratio > 0))
            return rbe_fail(d, RBE_ERR_FORMAT,
                            "%s: gate row %u: a metric without name, verdict or ratio", where,
                            entry);
        if (!l)
            return rbe_fail(d, RBE_ERR_LIMIT, "%s: more than %d metrics", where, MOST_METRICS);
        double low = ratio, high = ratio;
        if (json_is_number(json_array_get(ends, 0)) &&
            json_is_number(json_array_get(ends, 1))) {
            low = json_number_value(json_array_get(ends, 0));
            high = json_number_value(json_array_get(ends, 1));
        }
        if (!keep(l, ratio, entry))
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        const double before = l->value;
        l->value *= ratio;
        fprintf(p->tsv, "%s\t%u\t%.6g\t%.6g\t%.6g\t%d\n", l->label, entry,
                100 * (l->value - 1), 100 * (before * low - 1), 100 * (before * high - 1),
                !strcmp(verdict, "regression") || !strcmp(verdict, "worse"));
        p->rows++;
    }
    return RBE_OK;
}

/* The plot may not go over the history by another name. */
static enum rbe_status check_files(const char *history, const char *out, struct rbe_diag *d)
{
    static const char *const names[] = {"plots/trend.tsv", "plots/trend.svg",
                                        "plots/trend.png"};
    struct rbe_files f = {0};
    enum rbe_status err = rbe_files_read(&f, history, d);

    for (size_t i = 0; i < sizeof names / sizeof names[0] && !err; i++) {
        char *path = rbe_path_join(out, names[i]);
        err = path ? rbe_files_replace(&f, path, d)
                   : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        free(path);
    }
    rbe_files_free(&f);
    return err;
}

/* Lines of the gate and of rbe compare --append have the same metrics. */
static bool is_history(const json_t *row)
{
    const char *kind = RBE_STRING_AT(row, kind);

    return !strcmp(kind, RBE_KIND(gate)) || !strcmp(kind, RBE_KIND(compare));
}

/* --- what drifted ------------------------------------------------------------------------- */

/* The revision that entry n (from 1) measured, or NULL. */
static const char *revision_of(const json_t *rows, unsigned n)
{
    const json_t *r;
    size_t i;

    json_array_foreach(rows, i, r)
        if (is_history(r) && !--n)
            return RBE_STRING_AT(r, revision);
    return NULL;
}

static void print_drift(const char *name, const struct rbe_drift *s, const unsigned *entry,
                        const json_t *rows)
{
    const char *from = revision_of(rows, entry[s->first]);
    const char *to = revision_of(rows, entry[s->last]);

    printf("%s%s: %+.1f %% over runs %u to %u%s", rbe_paint(stdout, RBE_YELLOW), name,
           100 * expm1(s->change), entry[s->first], entry[s->last],
           rbe_paint(stdout, RBE_PLAIN));
    if (from && to)
        printf(" (%.40s to %.40s)", from, to);
    putchar('\n');
}

/* Says what drifted; how much did. */
static unsigned drifts(const struct level *levels, const json_t *rows, double threshold,
                       json_t *list)
{
    struct rbe_drift found[MOST_DRIFTS];
    unsigned all = 0;

    for (size_t i = 0; i < MOST_METRICS && levels[i].name[0]; i++) {
        const struct level *l = &levels[i];
        const size_t n =
            rbe_trend_drifts(found, MOST_DRIFTS, l->log_ratio, l->count, threshold);
        for (size_t k = 0; k < n; k++) {
            const struct rbe_drift *s = &found[k];
            if (list)
                json_array_append_new(list, json_pack(
                    "{s:o, s:f, s:i, s:i, s:o, s:o}", "metric", rbe_result_string(l->name),
                    "ratio", exp(s->change), "first",
                    (int)l->entry[s->first], "last", (int)l->entry[s->last], "first_revision",
                    rbe_result_text(revision_of(rows, l->entry[s->first])), "last_revision",
                    rbe_result_text(revision_of(rows, l->entry[s->last]))));
            else
                print_drift(l->name, s, l->entry, rows);
        }
        all += (unsigned)n;
    }
    return all;
}

static enum rbe_status draw(struct rbe_trend_args *a, const char *path, const char *out,
                            struct rbe_diag *d)
{
    struct level *levels = calloc(MOST_METRICS, sizeof *levels);
    struct rbe_document *doc = NULL;
    struct rbe_plotter plotter = {0};
    struct rbe_plot_data p = {0};
    json_t *rows = NULL, *r;
    unsigned entries = 0, unfinished = 0;
    enum rbe_status err;
    char vars[64];
    size_t i;

    if (!levels || !rbe_plot_begin(&p)) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    if ((err = rbe_result_read(&rows, path, &unfinished, d)))
        goto out;
    if (unfinished)
        fprintf(stderr, "rbe trend: %s: the last line is cut off and left out\n", path);
    json_array_foreach(rows, i, r)
        if (!err && is_history(r))
            err = add_row(&p, levels, r, ++entries, path, d);
    if (!err && !entries)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: no row of the gate or of rbe compare in it",
                       path);
    if (!err && !p.rows)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: %u rows of a history, none with a metric", path,
                       entries);
    if (err)
        goto out;
    json_t *list = a->json ? json_array() : NULL;
    const unsigned all = drifts(levels, rows, a->threshold / 100, list);
    a->call.code = all && a->check ? EXIT_DRIFT : 0;
    if (list) {
        json_dumpf(list, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(list);
    }
    if (a->no_plot)
        goto out;
    if ((err = rbe_document_open(&doc, d)) ||
        (err = rbe_plotter_open(&plotter, out, d)) || (err = check_files(path, out, d)))
        goto out;
    const size_t left_out = select_drawn(&p, levels);
    if (left_out && !a->json)
        printf("drawn are the metrics that changed most; %zu more are in %s/plots/trend.tsv\n",
               left_out, out);
    snprintf(vars, sizeof vars, "entries=%u; ", entries);
    if ((err = rbe_plot_draw(&plotter, &p, doc, "trend", "trend",
                             "Change since the first run of the gate", vars, "", d)))
        goto out;
    if (plotter.failed)
        err = rbe_fail(d, RBE_ERR_IO, "not drawn (gnuplot); the numbers are in "
                       "%s/plots/trend.tsv", out);
    else if (!a->json)
        printf("%u runs: %s/plots/trend.svg and trend.png\n", entries, out);
out:
    if (p.tsv)
        fclose(p.tsv);
    free(p.text);
    rbe_plotter_close(&plotter);
    rbe_document_close(&doc);
    json_decref(rows);
    for (size_t k = 0; levels && k < MOST_METRICS; k++) {
        free(levels[k].log_ratio);
        free(levels[k].entry);
    }
    free(levels);
    return err;
}

enum rbe_status rbe_cmd_trend(struct rbe_trend_args *a, struct rbe_diag *d)
{
    if (a->call.count != 1)
        return rbe_fail(d, RBE_ERR_ARG, "give one history file; see rbe trend --help");
    return draw(a, a->call.args[0], a->out, d);
}

/*
 * cmd_trend.c - rbe trend: a history of gate runs as a plot.
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
#include "reports/document.h"
#include "reports/plots.h"
#include "reports/results.h"

enum { MOST_METRICS = 24 };

/* Where each metric stands: the product of all its ratios so far. */
struct level {
    char name[64];
    double value;
};

static struct level *find(struct level *levels, const char *name)
{
    for (size_t i = 0; i < MOST_METRICS; i++) {
        if (!levels[i].name[0]) {
            snprintf(levels[i].name, sizeof levels[i].name, "%s", name);
            levels[i].value = 1;
        }
        if (!strcmp(levels[i].name, name))
            return &levels[i];
    }
    return NULL;
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
        char series[64];
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
        const double before = l->value;
        l->value *= ratio;
        rbe_plot_series(p, series, name);
        fprintf(p->tsv, "%s\t%u\t%.6g\t%.6g\t%.6g\t%d\n", series, entry,
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

static enum rbe_status draw(const char *path, const char *out, struct rbe_diag *d)
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
    if (err || (err = rbe_document_open(&doc, d)) ||
        (err = rbe_plotter_open(&plotter, out, d)) || (err = check_files(path, out, d)))
        goto out;
    snprintf(vars, sizeof vars, "entries=%u; ", entries);
    if ((err = rbe_plot_draw(&plotter, &p, doc, "trend", "trend",
                             "Change since the first run of the gate", vars, "", d)))
        goto out;
    if (plotter.failed)
        err = rbe_fail(d, RBE_ERR_IO, "not drawn (gnuplot); the numbers are in "
                       "%s/plots/trend.tsv", out);
    else
        printf("%u runs: %s/plots/trend.svg and trend.png\n", entries, out);
out:
    if (p.tsv)
        fclose(p.tsv);
    free(p.text);
    rbe_plotter_close(&plotter);
    rbe_document_close(&doc);
    json_decref(rows);
    free(levels);
    return err;
}

enum rbe_status rbe_cmd_trend(struct rbe_trend_args *a, struct rbe_diag *d)
{
    if (a->call.count != 1)
        return rbe_fail(d, RBE_ERR_ARG, "give one history file; see rbe trend --help");
    return draw(a->call.args[0], a->out, d);
}

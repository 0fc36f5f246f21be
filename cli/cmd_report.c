/*
 * cmd_report.c - rbe report: result files to a table, a page and a Markdown file.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/result.h"
#include "cli/arguments.h"
#include "reports/page.h"

static enum rbe_status write_page(const struct rbe_document *doc, const char *folder,
                                  const char *name, struct rbe_diag *d)
{
    struct rbe_outfile o = {0};
    enum rbe_status err;
    char *path = rbe_path_join(folder, name);

    if (!path)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (!(err = rbe_outfile_open(&o, path, d))) {
        err = strcmp(name, "index.html") ? rbe_document_markdown(doc, o.f)
              : rbe_document_html(doc, "RBE: measured against its promises", o.f);
        if (err)
            rbe_fail(d, err, "%s: out of memory", path);
        else
            err = rbe_outfile_commit(&o, d);
        rbe_outfile_discard(&o);
    }
    free(path);
    return err;
}

/* One JSON value a line. */
static enum rbe_status write_lines(const char *folder, const char *name, json_t *const *line,
                                   size_t count, struct rbe_diag *d)
{
    struct rbe_outfile o = {0};
    enum rbe_status err;
    char *path = rbe_path_join(folder, name);

    if (!path)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (!(err = rbe_outfile_open(&o, path, d))) {
        for (size_t i = 0; i < count; i++) {
            if (json_dumpf(line[i], o.f, JSON_COMPACT | JSON_PRESERVE_ORDER))
                rbe_shortage_note();
            putc('\n', o.f);
        }
        err = rbe_shortages() ? rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path)
                              : rbe_outfile_commit(&o, d);
        rbe_outfile_discard(&o);
    }
    free(path);
    return err;
}

/* What the page was made from: the rows in the order that it numbers them, and benchmarks. */
static enum rbe_status write_rows(const struct rbe_results *r, const char *folder,
                                  struct rbe_diag *d)
{
    json_t **line = calloc(r->all + 1, sizeof *line);
    enum rbe_status err;
    char name[32];

    if (!line)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < r->all; i++)
        line[i] = r->rows[i].v;
    err = write_lines(folder, RBE_DOCUMENT_RAW, line, r->all, d);
    for (size_t i = 0; i < r->bench_count && !err; i++) {
        rbe_page_bench_file(name, i);
        err = write_lines(folder, name, &r->bench[i], 1, d);
    }
    free(line);
    return err;
}

static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;

    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* What is written would stand among the results, and over some of their names. */
static enum rbe_status check_apart(const char *results, const char *out, struct rbe_diag *d)
{
    char *recorded = rbe_path_join(results, "recorded");
    const bool same = same_folder(results, out) || (recorded && same_folder(recorded, out));

    free(recorded);
    return same ? rbe_fail(d, RBE_ERR_ARG, "%s: the folder of the results cannot be that of "
                           "the page", out) : RBE_OK;
}

/* 1 when folder/name is there, 0 when not, -1 when out of memory. */
static int has_file(const char *folder, const char *name)
{
    char *path = rbe_path_join(folder, name);
    const int there = path ? !access(path, F_OK) : -1;

    free(path);
    return there;
}

/* Is nothing in the folder but hidden files, and plots of a page that was not finished?  So it
 * is of one that is not there. */
static bool is_empty(const char *folder)
{
    const struct dirent *e;
    bool empty = true;
    DIR *dir = opendir(folder);

    while (dir && (e = readdir(dir)))
        empty = empty && (e->d_name[0] == '.' || !strcmp(e->d_name, "plots"));
    if (dir)
        closedir(dir);
    return empty;
}

/* A page goes where nothing is, or where an earlier one is. */
static enum rbe_status check_foreign(const char *out, struct rbe_diag *d)
{
    const int model = has_file(out, "config.json"), page = has_file(out, "index.html"),
              report = has_file(out, "report.md");

    if (model < 0 || page < 0 || report < 0)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (model)
        return rbe_fail(d, RBE_ERR_ARG, "%s: holds a model, and cannot be the folder of the "
                        "page", out);
    if (page != report)
        return rbe_fail(d, RBE_ERR_ARG, "%s: has %s of something else than rbe report: give "
                        "another folder", out, page ? "an index.html" : "a report.md");
    if (!page && !is_empty(out))
        return rbe_fail(d, RBE_ERR_ARG, "%s: is not empty, and holds no page of rbe report: "
                        "give another folder", out);
    return RBE_OK;
}

/* No file of the page may be one of the results by another name. */
static enum rbe_status check_files(const struct rbe_results *r, const char *results,
                                   const char *out, struct rbe_diag *d)
{
    static const char *const names[] = {"index.html", "report.md", RBE_DOCUMENT_RAW};
    const size_t fixed = sizeof names / sizeof names[0];
    struct rbe_files f = {0};
    enum rbe_status err = RBE_OK;
    char bench[32];

    for (size_t i = 0; i < r->file_count + fixed + r->bench_count && !err; i++) {
        const bool input = i < r->file_count;
        const size_t k = i - r->file_count;
        if (!input && k >= fixed)
            rbe_page_bench_file(bench, k - fixed);
        char *path = rbe_path_join(input ? results : out, input ? r->names[i]
                                   : k < fixed ? names[k] : bench);
        if (!path)
            err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        else
            err = input ? rbe_files_read(&f, path, d) : rbe_files_replace(&f, path, d);
        free(path);
    }
    rbe_files_free(&f);
    return err;
}

static json_t *criteria_json(const struct rbe_criteria *c)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_criterion *r = &c->rows[i];
        const char *const texts[][2] = {
            {"id", r->id}, {"what", r->what}, {"verdict", rbe_verdict_name(r->verdict)},
            {"target", r->target}, {"original", r->original}, {"rbe", r->rbe},
            {"margin", r->margin}, {"model", r->model}, {"how", r->how}, {"source", r->source}};
        json_t *row = json_object();
        /* A text that was cut may end within a character. */
        for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++)
            json_object_set_new(row, texts[k][0], rbe_result_text(texts[k][1]));
        json_array_append_new(rows, row);
    }
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:o}", "schema", "rbe-report-1", "pass",
                     (json_int_t)c->pass, "fail", (json_int_t)c->fail, "within_error",
                     (json_int_t)c->within_error, "not_measured",
                     (json_int_t)c->not_measured, "criteria", rows);
}

/* Of a column in the terminal: no target is as long. */
enum { WIDTH = 72 };

static enum rbe_status build(const char *results, const char *out, const char *model, bool json,
                             struct rbe_diag *d)
{
    struct rbe_results *r = NULL;
    struct rbe_criteria c = {0};
    struct rbe_plotter plotter = {0};
    struct rbe_document *doc = NULL;
    enum rbe_status err;
    char verdict[128];
    size_t table = 0;

    if ((err = check_apart(results, out, d)) || (err = check_foreign(out, d)) ||
        (err = rbe_results_open(&r, results, d)) ||
        (err = rbe_criteria_judge(&c, r, model, d)) ||
        (err = rbe_plotter_open(&plotter, out, d)) || (err = check_files(r, results, out, d)) ||
        (err = rbe_document_open(&doc, d)) ||
        (err = rbe_page_write(doc, r, &c, &plotter, &table, d)) ||
        (err = write_page(doc, out, "index.html", d)) ||
        (err = write_page(doc, out, "report.md", d)) || (err = write_rows(r, out, d)))
        goto out;
    for (size_t i = 0; i < r->note_count; i++)
        fprintf(stderr, "rbe report: %s\n", r->notes[i]);
    if (plotter.failed)
        fprintf(stderr, "rbe report: %u plots were not drawn (gnuplot)\n", plotter.failed);
    if (json) {
        json_t *j = criteria_json(&c);
        json_dumpf(j, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        putchar('\n');
        json_decref(j);
        goto out;
    }
    rbe_document_print_table(doc, table, c.count > c.judged ? 8 : 7, WIDTH, stdout);
    rbe_page_verdict(verdict, sizeof verdict, &c);
    printf("\n%s.\n", verdict);
    for (size_t i = 0; i < c.count; i++)
        if (c.rows[i].verdict == RBE_NOT_MEASURED)
            printf("%-4s not measured: %s\n", c.rows[i].id, c.rows[i].how);
    printf("page: %s/index.html (%u plots)\n", out, plotter.drawn);
out:
    if (err && !d->text[0])
        rbe_fail(d, err, "%s", rbe_strerror(err));
    rbe_document_close(&doc);
    rbe_plotter_close(&plotter);
    rbe_criteria_free(&c);
    rbe_results_close(&r);
    return err;
}

enum rbe_status rbe_cmd_report(struct rbe_report_args *a, struct rbe_diag *d)
{
    if (a->call.count != 1)
        return rbe_fail(d, RBE_ERR_ARG, "give one folder of result files; see rbe report "
                        "--help");
    char *folder = a->out ? strdup(a->out) : rbe_path_join(a->call.args[0], "report");
    const enum rbe_status err =
        folder ? build(a->call.args[0], folder, a->model, a->json, d) : RBE_ERR_NOMEM;
    free(folder);
    return err;
}

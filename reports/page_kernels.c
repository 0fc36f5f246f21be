/*
 * page_kernels.c - plots of what rbe-bench measured.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rows.h"

/* A benchmark row: its median over repetitions, or the single run when it was not repeated. */
static bool is_median(const json_t *b)
{
    const char *aggregate = RBE_STRING_AT(b, aggregate_name);
    return aggregate ? !strcmp(aggregate, "median") : !(RBE_NUMBER_AT(b, repetitions) > 1);
}

/* Is the field so?  A document from before the fields has none: nothing of it is shown. */
static bool is(const json_t *b, const char *key, const char *value)
{
    const char *s = rbe_string_at(b, key);
    return s && !strcmp(s, value);
}

/* Median absolute deviation of `field` over the repetitions of the run `name`, from the mad
 * aggregate; 0 when the run was not repeated. */
static double deviation(const json_t *benchmarks, const char *name, const char *field)
{
    size_t i;
    json_t *b;

    json_array_foreach(benchmarks, i, b) {
        const char *aggregate = RBE_STRING_AT(b, aggregate_name);
        const char *run = RBE_STRING_AT(b, run_name);
        if (aggregate && run && !strcmp(run, name) && !strcmp(aggregate, "mad")) {
            const double x = rbe_number_at(b, field);
            return isnan(x) ? 0 : x;
        }
    }
    return 0;
}

static double to_ms(const json_t *b, double t)
{
    const char *unit = RBE_STRING_AT(b, time_unit);

    return !unit || !strcmp(unit, "ns") ? t / 1e6 : !strcmp(unit, "us") ? t / 1e3
           : !strcmp(unit, "s") ? t * 1e3 : t;
}

/* The kernel's name without what all products have in theirs: it would only fill the plot. */
static const char *short_name(const json_t *b)
{
    const char *kernel = rbe_text_or(RBE_STRING_AT(b, kernel), "?");
    const char *at = strstr(kernel, "gemv_");

    return at ? at + 5 : kernel;
}

/* Of the block sizes measured, the one nearest 45 MB for GPT-2 small: 44. */
static double shown_block(const json_t *list, const char *kind)
{
    double best = 0;
    size_t i;
    json_t *b;

    json_array_foreach(list, i, b) {
        const double block = RBE_NUMBER_AT(b, block);
        if (is(b, RBE_KEY(what), kind) && block > 0 &&
            (best <= 0 || fabs(block - 44) < fabs(best - 44)))
            best = block;
    }
    return best;
}

/* Bars from the best to the worst, whatever order they were measured in. */
struct bar {
    char name[96];
    double value, mad;
};

static int by_value(const void *a, const void *b)
{
    const struct bar *x = a, *y = b;

    return x->value != y->value ? (x->value > y->value) - (x->value < y->value)
           : strcmp(x->name, y->name);
}

/* The results that one bar plot shows: of the most threads, and of the largest shape. */
struct selection {
    const char *kind;           /* the label's */
    bool cold_products;         /* only those, by a vector */
    bool larger_first;
    double threads, weights;    /* of the results chosen: filled by collect_bars */
};

static bool is_chosen(const struct selection *c, const json_t *b)
{
    return RBE_STRING_AT(b, run_name) && is_median(b) && is(b, RBE_KEY(what), c->kind) &&
           (!c->cold_products || (is(b, RBE_KEY(op), "gemv") && is(b, RBE_KEY(cache), "cold")));
}

static double weights_of(const json_t *b)
{
    return RBE_NUMBER_AT(b, rows) * RBE_NUMBER_AT(b, cols);
}

/* The bar of one result: its kernel and block size, its value, and how far that strays. */
typedef void bar_fn(struct bar *bar, const json_t *list, const json_t *b);

static void rate_bar(struct bar *bar, const json_t *list, const json_t *b)
{
    bar->value = RBE_NUMBER_AT(b, bytes_per_second) / 1e9;
    bar->mad = deviation(list, RBE_STRING_AT(b, run_name), RBE_KEY(bytes_per_second)) / 1e9;
}

static void time_bar(struct bar *bar, const json_t *list, const json_t *b)
{
    bar->value = to_ms(b, RBE_NUMBER_AT(b, real_time));
    bar->mad = to_ms(b, deviation(list, RBE_STRING_AT(b, run_name), RBE_KEY(real_time)));
}

/* Collects the bars into data; *one is one of the results shown, NULL when there is none. */
static enum rbe_status collect_bars(struct rbe_plot_data *data, const json_t **one,
                                    const json_t *list, struct selection *c, bar_fn *fill)
{
    struct bar *bars = calloc(json_array_size(list) + 1, sizeof *bars);
    const double shown = shown_block(list, c->kind);
    size_t i, n = 0;
    json_t *b;

    *one = NULL;
    if (!bars || !rbe_plot_begin(data)) {
        free(bars);
        return RBE_ERR_NOMEM;
    }
    json_array_foreach(list, i, b)
        if (is_chosen(c, b)) {
            c->threads = fmax(c->threads, RBE_NUMBER_AT(b, threads_pinned));
            c->weights = fmax(c->weights, weights_of(b));
        }
    json_array_foreach(list, i, b) {
        const double block = RBE_NUMBER_AT(b, block);
        if (!is_chosen(c, b) || RBE_NUMBER_AT(b, threads_pinned) != c->threads ||
            (c->cold_products && weights_of(b) != c->weights) || (block > 0 && block != shown))
            continue;
        fill(&bars[n], list, b);
        if (isnan(bars[n].value))
            continue;
        *one = b;
        const char *name = short_name(b);
        if (block > 0)
            snprintf(bars[n].name, sizeof bars[n].name, "%s B=%.0f", name, block);
        else
            snprintf(bars[n].name, sizeof bars[n].name, "%s", name);
        n++;
    }
    qsort(bars, n, sizeof *bars, by_value);
    for (i = 0; i < n; i++) {
        const struct bar *x = &bars[c->larger_first ? n - 1 - i : i];
        fprintf(data->tsv, "%s\t%.17g\t%.17g\n", x->name, x->value, x->mad);
    }
    data->rows = n;
    free(bars);
    return RBE_OK;
}

/* Products of the largest shape, cold, with the most threads, against the read roof. */
static enum rbe_status kernel_plot(const struct rbe_page *p, const json_t *list, const char *id)
{
    struct selection c = {.kind = "product", .cold_products = true, .larger_first = true};
    struct rbe_plot_data data;
    char vars[96], title[160];
    const json_t *one;
    const enum rbe_status err = collect_bars(&data, &one, list, &c, rate_bar);

    if (err)
        return err;
    const double roof = RBE_NUMBER_AT(one, read_roof);
    snprintf(vars, sizeof vars, "roof=%.17g; rows=%zu; ", isnan(roof) ? 0 : roof / 1e9,
             data.rows);
    snprintf(title, sizeof title, "Matrix times vector, %.0f x %.0f, cold, %.0f thread%s",
             RBE_NUMBER_AT(one, rows), RBE_NUMBER_AT(one, cols), c.threads,
             c.threads > 1 ? "s" : "");
    return rbe_plot_draw(p->plotter, &data, p->doc, "kernels", id, title, vars,
                         "Bytes of encoded weights that each kernel reads in a second, against "
                         "the read bandwidth of this machine measured in the same run. A "
                         "kernel at the roof waits for memory; one below it computes.", p->d);
}

static enum rbe_status token_plot(const struct rbe_page *p, const json_t *list, const char *id)
{
    struct selection c = {.kind = "model"};
    struct rbe_plot_data data;
    char vars[64], title[160];
    const json_t *one;
    const enum rbe_status err = collect_bars(&data, &one, list, &c, time_bar);

    if (err)
        return err;
    snprintf(vars, sizeof vars, "rows=%zu; ", data.rows);
    snprintf(title, sizeof title, "All matrices of GPT-2 %s for one token, %.0f thread%s",
             rbe_text_or(RBE_STRING_AT(one, size), ""), c.threads, c.threads > 1 ? "s" : "");
    return rbe_plot_draw(p->plotter, &data, p->doc, "tokens", id, title, vars,
                         "Time of every matrix product of one token, weights cold; the rest of "
                         "a token (attention, norms, sampling) is not included.", p->d);
}

/* The number of threads that most of the cold products with a block were measured with. */
static double sweep_threads(const json_t *list)
{
    unsigned count[65] = {0}, best = 1;
    size_t i;
    json_t *b;

    json_array_foreach(list, i, b) {
        const double threads = RBE_NUMBER_AT(b, threads_pinned);
        if (is_median(b) && is(b, RBE_KEY(what), "product") && is(b, RBE_KEY(cache), "cold") &&
            RBE_NUMBER_AT(b, block) > 0 && threads >= 1 && threads <= 64)
            count[(unsigned)threads]++;
    }
    for (unsigned t = 1; t <= 64; t++)
        if (count[t] > count[best])
            best = t;
    return best;
}

/* Weights a second by B, of the formats measured at three values of B or more. */
static enum rbe_status sweep_plot(const struct rbe_page *p, const json_t *list, const char *id)
{
    struct rbe_plot_data data;
    const double threads = sweep_threads(list);
    size_t i, k;
    json_t *b, *o;

    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# kernel\tblock\tweights_per_second_1e9\n");
    json_array_foreach(list, i, b) {
        const char *kernel = RBE_STRING_AT(b, kernel);
        char series[64];
        const double rows = RBE_NUMBER_AT(b, rows), cols = RBE_NUMBER_AT(b, cols);
        double seen[64];
        size_t blocks = 0;
        if (!kernel || !is_median(b) || !is(b, RBE_KEY(what), "product") ||
            !is(b, RBE_KEY(cache), "cold") || !is(b, RBE_KEY(op), "gemv") ||
            !(RBE_NUMBER_AT(b, block) > 0) || RBE_NUMBER_AT(b, threads_pinned) != threads)
            continue;
        json_array_foreach(list, k, o) {
            const double block = RBE_NUMBER_AT(o, block);
            size_t j = 0;
            if (!is_median(o) || !is(o, RBE_KEY(kernel), kernel) ||
                RBE_NUMBER_AT(o, rows) != rows || RBE_NUMBER_AT(o, cols) != cols ||
                !is(o, RBE_KEY(cache), "cold") || RBE_NUMBER_AT(o, threads_pinned) != threads)
                continue;
            while (j < blocks && seen[j] != block)
                j++;
            if (j == blocks && blocks < 64)
                seen[blocks++] = block;
        }
        if (blocks < 3)
            continue;
        char what[96];
        snprintf(what, sizeof what, "%.40s %.0fx%.0f", short_name(b), rows, cols);
        rbe_plot_series(&data, series, what);
        fprintf(data.tsv, "%s\t%.0f\t%.17g\n", series, RBE_NUMBER_AT(b, block),
                RBE_NUMBER_AT(b, items_per_second) / 1e9);
        data.rows++;
    }
    return rbe_plot_draw(p->plotter, &data, p->doc, "sweep", id, "Speed by block size", "",
                         "Weights decoded and multiplied in a second by the block size B, "
                         "which sets the size: 128 / B bits a weight.", p->d);
}

static enum rbe_status roof_plot(const struct rbe_page *p, const json_t *list, const char *id)
{
    struct rbe_plot_data data;
    size_t i;
    json_t *b;

    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# probe\tbytes\tgb_per_s\n");
    json_array_foreach(list, i, b) {
        const char *kernel = RBE_STRING_AT(b, kernel);
        const double bytes = RBE_NUMBER_AT(b, working_set);
        char what[96], series[64];
        if (!kernel || !is_median(b) || !is(b, RBE_KEY(what), "probe") ||
            !is(b, RBE_KEY(op), "read") || isnan(bytes))
            continue;
        snprintf(what, sizeof what, "%s/t:%.0f", kernel, RBE_NUMBER_AT(b, threads_pinned));
        rbe_plot_series(&data, series, what);
        fprintf(data.tsv, "%s\t%.17g\t%.17g\n", series, bytes,
                RBE_NUMBER_AT(b, bytes_per_second) / 1e9);
        data.rows++;
    }
    return rbe_plot_draw(p->plotter, &data, p->doc, "roof", id,
                         "Read bandwidth of this machine", "",
                         "Read bandwidth by the size of the working set: the steps are the "
                         "caches, the right end is memory, where the weights come from.", p->d);
}

/* The search for seeds that a conversion does: every version, window and rate. */
static void search_table(const struct rbe_page *p)
{
    bool any = false;

    rbe_document_heading(p->doc, 3, "The search for seeds");
    for (size_t k = 0; k < p->r->bench_count; k++) {
        const json_t *list = RBE_VALUE_AT(p->r->bench[k], benchmarks);
        size_t i;
        json_t *b;
        json_array_foreach(list, i, b) {
            const double rate = RBE_NUMBER_AT(b, items_per_second);
            if (!is_median(b) || !is(b, RBE_KEY(what), "search") || !(rate > 0))
                continue;
            if (!any)
                rbe_document_table(p->doc, "version|used here|>window, bits|>B|>bits/weight|"
                                   ">10^6 weights/s|>us a weight");
            any = true;
            const double block = RBE_NUMBER_AT(b, block);
            rbe_document_cell(p->doc, "%s", rbe_text_or(RBE_STRING_AT(b, isa), "?"));
            rbe_document_cell(p->doc, "%s", RBE_NUMBER_AT(b, used) > 0 ? "yes" : "-");
            rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(b, window));
            rbe_number_cell(p->doc, "%.0f", block);
            rbe_number_cell(p->doc, "%.2f", 128 / block);
            rbe_number_cell(p->doc, "%.3f", rate / 1e6);
            rbe_number_cell(p->doc, "%.2f", 1e6 / rate);
        }
    }
    if (any)
        rbe_document_paragraph(p->doc, "One thread. A conversion searches by the version that "
                               "is used on this machine, all 16 bits of the window by default; "
                               "every version finds the same codes.");
    else
        rbe_document_paragraph(p->doc, "NOT MEASURED: no benchmark file has results of this "
                               "kind.");
}

/* The plots of a document, in the order of the page. */
static const struct {
    const char *name, *title;
    enum rbe_status (*draw)(const struct rbe_page *, const json_t *, const char *);
} plots[] = {
    {"kernels", "Matrix times vector", kernel_plot},
    {"tokens", "All matrices of one token", token_plot},
    {"sweep", "Speed by block size", sweep_plot},
    {"roof", "Read bandwidth of this machine", roof_plot},
};
enum { PLOTS = sizeof plots / sizeof *plots };

enum rbe_status rbe_section_kernels(const struct rbe_page *p)
{
    enum rbe_status err = RBE_OK;

    rbe_document_heading(p->doc, 2, "Kernels");
    if (!p->r->bench_count) {
        rbe_page_has(p, RBE_KIND(benchmark), "bench", "no benchmark of the kernels was run");
        return RBE_OK;
    }
    for (size_t k = 0; k < PLOTS && !err; k++) {
        const unsigned before = p->plotter->drawn + p->plotter->failed;
        for (size_t i = 0; i < p->r->bench_count && !err; i++) {
            char id[64];
            snprintf(id, sizeof id, i ? "%s_%zu" : "%s", plots[k].name, i + 1);
            err = plots[k].draw(p, RBE_VALUE_AT(p->r->bench[i], benchmarks), id);
        }
        /* One document may hold what another lacks. */
        if (!err && p->plotter->drawn + p->plotter->failed == before)
            rbe_document_paragraph(p->doc, "%s: NOT MEASURED: no benchmark file has results of "
                                   "this kind.", plots[k].title);
    }
    if (!err)
        search_table(p);
    return err;
}

/*
 * page_speed.c - time, memory, and the memory limit.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <math.h>
#include <string.h>

#include "base/rows.h"

/* --- speed and memory ------------------------------------------------------------------ */

/* "2", or "4 threads on 2 CPUs": times in its row say little. */
static void threads_cell(const struct rbe_page *p, const struct rbe_row *row, const char *path)
{
    char crowd[64];

    if (rbe_oversubscribed_row(row->v, crowd, sizeof crowd))
        rbe_document_cell(p->doc, "%s", crowd);
    else
        rbe_number_cell(p->doc, "%.0f", rbe_number_at(row->v, path));
}

static void inference_table(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0, k;
    json_t *t;

    rbe_document_table(p->doc, "model|run|>threads|>ms/token|>tokens/s|>speed-up|"
                       ">prefill, tokens/s|>first token, ms|>file|>peak memory|"
                       ">read, GB/s|>CPUs used|>repeats");
    while ((row = rbe_next_of_all(p, RBE_KIND(inference), &i))) {
        const double ms = RBE_NUMBER_AT(row->v, decode_median_ms);
        rbe_row_model_cell(p, row);
        rbe_document_cell(p->doc, "%s", RBE_STRING_AT(row->v, mode));
        threads_cell(p, row, RBE_KEY(machine, threads));
        rbe_number_cell(p->doc, "%.3f", ms);
        rbe_number_cell(p->doc, "%.1f", 1000 / ms);
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, speedup));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, prefill, tokens_per_s));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, first_token_ms));
        rbe_megabytes_cell(p->doc, RBE_NUMBER_AT(row->v, model_bytes));
        rbe_megabytes_cell(p->doc, RBE_NUMBER_AT(row->v, peak_bytes));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, gb_per_s));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, cpu_utilisation));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, validity, repeats));
    }
    rbe_document_fold(p->doc, "Time for a token by depth of the context");
    rbe_document_table(p->doc, "model|>tokens in the context|>samples|>median, ms|>MAD, ms|"
                       ">p95, ms|>p99, ms|>tokens/s");
    i = 0;
    while ((row = rbe_next_of_all(p, RBE_KIND(inference), &i)))
        json_array_foreach(RBE_VALUE_AT(row->v, decode), k, t) {
            rbe_row_model_cell(p, row);
            rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(t, depth));
            rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(t, tokens));
            rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(t, median_ms));
            rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(t, mad_ms));
            rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(t, p95_ms));
            rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(t, p99_ms));
            rbe_number_cell(p->doc, "%.1f", RBE_NUMBER_AT(t, tokens_per_s));
        }
    rbe_document_unfold(p->doc);
}

static void edge_table(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    rbe_document_table(p->doc, "model|>limit|>threads|>tokens|result|>peak, resident|"
                       ">peak, address space|>ms/token");
    while ((row = rbe_next_of_all(p, RBE_KIND(edge), &i))) {
        const bool passed = RBE_TRUE_AT(row->v, passed);
        rbe_row_model_cell(p, row);
        rbe_number_cell(p->doc, "%.0f MiB", RBE_NUMBER_AT(row->v, limit_bytes) / 1048576);
        threads_cell(p, row, RBE_KEY(threads));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, tokens));
        rbe_document_cell(p->doc, "%s",
                          passed ? "runs"
                                 : rbe_text_or(RBE_STRING_AT(row->v, reason), "does not run"));
        rbe_megabytes_cell(p->doc, RBE_NUMBER_AT(row->v, peak_bytes));
        rbe_megabytes_cell(p->doc, RBE_NUMBER_AT(row->v, peak_virtual_bytes));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(row->v, median_ms));
    }
}

/* Was this row's model timed token by token, with this number of threads? */
static bool is_latency(const struct rbe_row *row, double threads)
{
    return !strcmp(rbe_text_or(RBE_STRING_AT(row->v, mode), ""), "latency") &&
           RBE_NUMBER_AT(row->v, machine, threads) == threads;
}

/* The original that a model stands in a plot with: its own, or itself. */
static int original_of(const struct rbe_page *p, int model)
{
    const struct rbe_model_seen *m = rbe_page_model(p, model);

    return m && m->base >= 0 ? m->base : model;
}

/* The most threads that models of this original were timed with; NAN: they were not. */
static double most_threads(const struct rbe_page *p, int base)
{
    const struct rbe_row *row;
    double threads = NAN;
    size_t i = 0;

    while ((row = rbe_next(p, RBE_KIND(inference), &i)))
        if (!strcmp(rbe_text_or(RBE_STRING_AT(row->v, mode), ""), "latency") &&
            original_of(p, rbe_model_of(p, row)) == base)
            threads = fmax(threads, RBE_NUMBER_AT(row->v, machine, threads));
    return threads;
}

/* " (synthetic)" behind what generated weights are called. */
static void name_original(char *out, size_t size, const struct rbe_page *p, int base)
{
    const struct rbe_model_seen *b = rbe_page_model(p, base);

    snprintf(out, size, "%.60s%s", rbe_text_or(b ? b->name : NULL, "?"),
             b && b->label ? " (synthetic)" : "");
}

/* Time for a token by depth of the context, of an original and what was made from it. */
static enum rbe_status depth_plot(const struct rbe_page *p, int base, size_t number)
{
    const double threads = most_threads(p, base);
    struct rbe_plot_data data;
    const struct rbe_row *row;
    size_t i = 0, k;
    char caption[256], title[128], of[96], id[32];
    json_t *t;

    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    data.missing = "this run did not time a token";
    fprintf(data.tsv, "# model\tcontext_tokens\tms_per_token\n");
    while ((row = rbe_next(p, RBE_KIND(inference), &i))) {
        const int model = rbe_model_of(p, row);
        const struct rbe_model_seen *m = rbe_page_model(p, model);
        char name[64];
        if (!is_latency(row, threads) || original_of(p, model) != base)
            continue;
        rbe_plot_series(&data, name, m ? m->name : "?");
        json_array_foreach(RBE_VALUE_AT(row->v, decode), k, t) {
            const double ms = RBE_NUMBER_AT(t, median_ms);
            if (!(ms > 0))
                continue;
            fprintf(data.tsv, "%s\t%.17g\t%.17g\n", name, RBE_NUMBER_AT(t, depth), ms);
            data.rows++;
        }
    }
    name_original(of, sizeof of, p, base);
    snprintf(title, sizeof title, "Time for a token, %s", of);
    snprintf(id, sizeof id, number ? "depth_%zu" : "depth", number + 1);
    snprintf(caption, sizeof caption, "Median time of a generated token, batch 1, %.0f "
             "thread%s, by the tokens already in the context.", threads,
             threads > 1 ? "s" : "");
    return rbe_plot_draw(p->plotter, &data, p->doc, "depth", id, data.rows ? title
                         : "Generation speed", "", caption, p->d);
}

/* Most resident memory by the tokens that were generated. */
static enum rbe_status peak_plot(const struct rbe_page *p, int base, size_t number)
{
    struct rbe_plot_data data;
    const struct rbe_row *row;
    size_t i = 0;
    char title[128], of[96], id[32];
    double tokens = NAN;
    bool several = false;

    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# model\ttokens\tpeak_mb\n");
    while ((row = rbe_next(p, RBE_KIND(edge), &i))) {
        const int model = rbe_model_of(p, row);
        const struct rbe_model_seen *m = rbe_page_model(p, model);
        const double peak = RBE_NUMBER_AT(row->v, peak_bytes);
        const double n = RBE_NUMBER_AT(row->v, tokens);
        char name[64];
        if (isnan(peak) || original_of(p, model) != base)
            continue;
        rbe_plot_series(&data, name, m ? m->name : "?");
        fprintf(data.tsv, "%s\t%.17g\t%.17g\n", name, n, peak / 1e6);
        several = several || (data.rows && n != tokens);
        tokens = n;
        data.rows++;
    }
    if (!several)
        data.rows = 0;          /* one length is no curve: the bars below have it */
    name_original(of, sizeof of, p, base);
    snprintf(title, sizeof title, "Memory, %s", of);
    snprintf(id, sizeof id, number ? "peak_%zu" : "peak", number + 1);
    data.missing = "memory was measured at one length only";
    return rbe_plot_draw(p->plotter, &data, p->doc, "peak", id, title, "",
                         "The most resident memory of a process that generates that many "
                         "tokens (program, weights, key-value cache, scratch), batch 1.", p->d);
}

/* One plot for each original, the judged one first. */
static enum rbe_status each_original(const struct rbe_page *p, const char *kind,
                                     enum rbe_status (*draw)(const struct rbe_page *, int,
                                                             size_t))
{
    enum rbe_status err = RBE_OK;
    size_t number = 0;

    for (int first = 1; first >= 0; first--)
        for (int base = 0; base < (int)p->r->model_count && !err; base++) {
            const struct rbe_row *row;
            size_t i = 0;
            bool any = false;
            if ((base == p->c->base) != first)
                continue;
            while (!any && (row = rbe_next(p, kind, &i)))
                any = original_of(p, rbe_model_of(p, row)) == base;
            if (any)
                err = draw(p, base, number++);
        }
    return err || number ? err : draw(p, p->c->base, 0);
}

/* Bytes a second that this number of threads reads from memory, by the probes of the run. */
static double cold_read(const struct rbe_page *p, double threads)
{
    double largest = 0, rate = NAN;

    for (size_t k = 0; k < p->r->bench_count; k++) {
        const json_t *roofs = RBE_VALUE_AT(p->r->bench[k], context, rbe, roofs);
        size_t i;
        json_t *x;
        json_array_foreach(RBE_VALUE_AT(roofs, read_curve), i, x)
            if (RBE_NUMBER_AT(x, threads) == threads && RBE_NUMBER_AT(x, bytes) > largest) {
                largest = RBE_NUMBER_AT(x, bytes);
                rate = RBE_NUMBER_AT(x, bytes_per_second);
            }
    }
    return rate;
}

/* How near a token is to reading its weights once, and what launches differ by. */
static void read_table(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    rbe_document_heading(p->doc, 3, "A token against reading its weights");
    rbe_document_paragraph(
        p->doc, "A token needs every weight once. The cold read is the time in which the same "
        "number of threads only reads as many bytes from memory, by the read probes of this "
        "run; the ratio says what computing adds. Launches are processes of their own, one "
        "after the other; the times above are medians over them. Between: how much their "
        "medians differ; within: how much the tokens of one do (standard deviations).");
    rbe_document_table(p->doc, "model|>threads|>weights read, MB|>cold read, ms|>token, ms|"
                       ">token : read|>launches|>between|>within");
    while ((row = rbe_next(p, RBE_KIND(inference), &i))) {
        const double bytes = RBE_NUMBER_AT(row->v, bytes_per_token);
        const double ms = RBE_NUMBER_AT(row->v, decode_median_ms);
        if (strcmp(rbe_text_or(RBE_STRING_AT(row->v, mode), ""), "latency"))
            continue;
        const double read = 1e3 * bytes / cold_read(p, RBE_NUMBER_AT(row->v, machine, threads));
        rbe_row_model_cell(p, row);
        threads_cell(p, row, RBE_KEY(machine, threads));
        rbe_number_cell(p->doc, "%.2f", bytes / 1e6);
        rbe_number_cell(p->doc, "%.3f", read);
        rbe_number_cell(p->doc, "%.3f", ms);
        rbe_number_cell(p->doc, "%.2f", ms / read);
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, launches, count));
        rbe_number_cell(p->doc, "%.1f %%", 100 * RBE_NUMBER_AT(row->v, launches, between));
        rbe_number_cell(p->doc, "%.1f %%", 100 * RBE_NUMBER_AT(row->v, launches, within));
    }
}

/* Bytes: what the chapter promises most of. */
static enum rbe_status memory_plot(const struct rbe_page *p)
{
    struct rbe_plot_data memory;
    const struct rbe_row *row;
    size_t i = 0;

    if (!rbe_plot_begin(&memory))
        return RBE_ERR_NOMEM;
    memory.missing = "this run did not generate under a memory limit";
    fprintf(memory.tsv, "# model\tweights_f32_mb\tfile_mb\tpeak_mb\n");
    while ((row = rbe_next(p, RBE_KIND(edge), &i))) {
        const int at = rbe_model_of(p, row);
        const struct rbe_model_seen *m = rbe_page_model(p, at);
        char name[64];
        const double peak = RBE_NUMBER_AT(row->v, peak_bytes);
        if (!m || isnan(peak) || isnan(m->bytes))
            continue;
        rbe_plot_series(&memory, name, m->name);
        fprintf(memory.tsv, "%s\t%.17g\t%.17g\t%.17g\n", name, 4e-6 * m->parameters,
                m->bytes / 1e6, peak / 1e6);
        memory.rows++;
    }
    return rbe_plot_draw(p->plotter, &memory, p->doc, "memory", "memory", "Memory", "",
                         "The weights as f32, the model file, and the most resident memory of "
                         "a process that generates 256 tokens with batch 1 inside the memory "
                         "limit below (program, key-value cache and scratch included).", p->d);
}

/* Tokens a second by minute, of runs without a pause. */
static enum rbe_status sustained_plot(const struct rbe_page *p)
{
    struct rbe_plot_data curve;
    const struct rbe_row *row;
    size_t i = 0, k;
    json_t *t;

    if (!rbe_plot_begin(&curve))
        return RBE_ERR_NOMEM;
    curve.missing = "this run did not decode over minutes";
    fprintf(curve.tsv, "# model\tminutes\ttokens_per_s\ttemperature_c\n");
    while ((row = rbe_next(p, RBE_KIND(sustained), &i))) {
        const struct rbe_model_seen *m = rbe_page_model(p, rbe_model_of(p, row));
        char what[96], name[64];
        const char *device = rbe_text_or(RBE_STRING_AT(row->v, machine, device), "");
        snprintf(what, sizeof what, "%.60s%s%.20s", m ? m->name : "?", *device ? " " : "",
                 device);
        rbe_plot_series(&curve, name, what);
        json_array_foreach(RBE_VALUE_AT(row->v, intervals), k, t) {
            const double warm = RBE_NUMBER_AT(t, temperature_c);
            fprintf(curve.tsv, "%s\t%.17g\t%.17g\t", name, RBE_NUMBER_AT(t, at_s) / 60,
                    RBE_NUMBER_AT(t, tokens_per_s));
            fprintf(curve.tsv, isnan(warm) ? "NaN\n" : "%.17g\n", warm);
            curve.rows++;
        }
    }
    return rbe_plot_draw(p->plotter, &curve, p->doc, "sustained", "sustained",
                         "Speed without a pause", "", "Tokens generated in a second, by the "
                         "minutes since the start, and the machine's temperature where it "
                         "reports one.", p->d);
}

static void sustained_table(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    rbe_document_table(p->doc, "model|device|>minutes|>threads|>tokens/s at first|>at last|"
                       ">left|>ms/token at last|>warmest");
    while ((row = rbe_next_of_all(p, RBE_KIND(sustained), &i))) {
        rbe_row_model_cell(p, row);
        rbe_document_cell(p->doc, "%s",
                          rbe_text_or(RBE_STRING_AT(row->v, machine, device), "-"));
        rbe_number_cell(p->doc, "%.1f", RBE_NUMBER_AT(row->v, minutes));
        threads_cell(p, row, RBE_KEY(machine, threads));
        rbe_number_cell(p->doc, "%.1f", RBE_NUMBER_AT(row->v, first_tokens_per_s));
        rbe_number_cell(p->doc, "%.1f", RBE_NUMBER_AT(row->v, last_tokens_per_s));
        rbe_number_cell(p->doc, "%.0f %%", 100 * RBE_NUMBER_AT(row->v, retained));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(row->v, last_median_ms));
        rbe_number_cell(p->doc, "%.1f C", RBE_NUMBER_AT(row->v, warmest_c));
    }
}

enum rbe_status rbe_section_speed(const struct rbe_page *p)
{
    enum rbe_status err;

    rbe_document_heading(p->doc, 2, "Speed and memory");
    if ((err = each_original(p, RBE_KIND(inference), depth_plot)))
        return err;
    if (rbe_page_has(p, RBE_KIND(inference), "inference", "no run has timed a model"))
        inference_table(p);
    if (rbe_page_any(p, RBE_KIND(inference)))
        read_table(p);
    /* For devices: a run of half an hour is no part of the usual ones. */
    if (rbe_any_of_all(p, RBE_KIND(sustained))) {
        rbe_document_heading(p->doc, 3, "Over minutes without a pause");
        if ((err = sustained_plot(p)))
            return err;
        sustained_table(p);
    }
    rbe_document_heading(p->doc, 3, "Under a memory limit");
    if ((err = memory_plot(p)) ||
        (rbe_page_any(p, RBE_KIND(edge)) &&
         (err = each_original(p, RBE_KIND(edge), peak_plot))))
        return err;
    if (rbe_page_has(p, RBE_KIND(edge), "edge", "no run has generated under a memory limit"))
        edge_table(p);
    return RBE_OK;
}

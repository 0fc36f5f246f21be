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

/* Tokens a second by depth of the context. */
static enum rbe_status speed_plot(const struct rbe_page *p)
{
    struct rbe_plot_data speed;
    const struct rbe_row *row;
    size_t i = 0, k;
    double threads = NAN;
    char caption[256];
    json_t *t;

    if (!rbe_plot_begin(&speed))
        return RBE_ERR_NOMEM;
    speed.missing = "this run did not time a token";
    fprintf(speed.tsv, "# model\tcontext_tokens\ttokens_per_s\n");
    while ((row = rbe_next(p, RBE_KIND(inference), &i)))
        if (!strcmp(rbe_text_or(RBE_STRING_AT(row->v, mode), ""), "latency"))
            threads = fmax(threads, RBE_NUMBER_AT(row->v, machine, threads));
    i = 0;
    while ((row = rbe_next(p, RBE_KIND(inference), &i))) {
        const struct rbe_model_seen *m = rbe_page_model(p, rbe_model_of(p, row));
        char what[96], name[64];
        if (strcmp(rbe_text_or(RBE_STRING_AT(row->v, mode), ""), "latency") ||
            RBE_NUMBER_AT(row->v, machine, threads) < threads)
            continue;
        snprintf(what, sizeof what, "%.60s", m ? m->name : "?");
        rbe_plot_series(&speed, name, what);
        json_array_foreach(RBE_VALUE_AT(row->v, decode), k, t) {
            const double rate = 1000 / RBE_NUMBER_AT(t, median_ms);
            if (isnan(rate) || isinf(rate))
                continue;
            fprintf(speed.tsv, "%s\t%.17g\t%.17g\n", name, RBE_NUMBER_AT(t, depth), rate);
            speed.rows++;
        }
    }
    snprintf(caption, sizeof caption, "Tokens generated in a second (of the median time for a "
             "token), batch 1, %.0f thread%s, by the tokens already in the context.", threads,
             threads > 1 ? "s" : "");
    return rbe_plot_draw(p->plotter, &speed, p->doc, "throughput", "throughput",
                         "Generation speed", "", caption, p->d);
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
    if ((err = speed_plot(p)))
        return err;
    if (rbe_page_has(p, RBE_KIND(inference), "inference", "no run has timed a model"))
        inference_table(p);
    /* For devices: a run of half an hour is no part of the usual ones. */
    if (rbe_any_of_all(p, RBE_KIND(sustained))) {
        rbe_document_heading(p->doc, 3, "Over minutes without a pause");
        if ((err = sustained_plot(p)))
            return err;
        sustained_table(p);
    }
    rbe_document_heading(p->doc, 3, "Under a memory limit");
    if ((err = memory_plot(p)))
        return err;
    if (rbe_page_has(p, RBE_KIND(edge), "edge", "no run has generated under a memory limit"))
        edge_table(p);
    return RBE_OK;
}

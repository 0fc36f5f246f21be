/*
 * page.c - what the report says: verdict, criteria, and the evidence behind them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/page.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What every section needs. */
struct page {
    struct rbe_document *doc;
    const struct rbe_results *r;
    const struct rbe_criteria *c;
    struct rbe_plotter *plotter;
    struct rbe_diag *d;
};

/* 45 MB over the 124,439,808 parameters of GPT-2 small, in bits. */
static const double budget_bits = 45e6 * 8 / 124439808;

void rbe_page_verdict(char *out, size_t size, const struct rbe_criteria *c)
{
    snprintf(out, size, "%zu of %zu checks pass, %zu fail, %zu not measured", c->pass,
             c->judged, c->fail, c->not_measured);
}

static const struct rbe_model_seen *model_at(const struct page *p, int i)
{
    return i < 0 ? NULL : &p->r->models[i];
}

static const char *text_or(const char *s, const char *other)
{
    return s && *s ? s : other;
}

/* A number, or a dash where it is missing. */
static void number_cell(struct rbe_document *doc, const char *format, double x)
{
    char text[64];

    if (isnan(x)) {
        rbe_document_cell(doc, "-");
        return;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, format, x);
#pragma GCC diagnostic pop
    rbe_document_cell(doc, "%s", text);
}

static void megabytes_cell(struct rbe_document *doc, double bytes)
{
    char text[32];

    rbe_megabytes(text, sizeof text, bytes);
    rbe_document_cell(doc, "%s", isnan(bytes) ? "-" : text);
}

/* "name" or "name (synthetic ...)". */
static void model_cell(const struct page *p, int i)
{
    const struct rbe_model_seen *m = model_at(p, i);

    if (m)
        rbe_document_cell(p->doc, "%s%s%s%s", text_or(m->name, "?"), m->label ? " (" : "",
                          m->label ? m->label : "", m->label ? ")" : "");
    else
        rbe_document_cell(p->doc, "-");
}

static int model_of(const struct page *p, const struct rbe_row *row)
{
    return rbe_results_model(p->r, rbe_value_at(row->v, "model"));
}

/* The next row of a kind from *i on, or NULL. */
static const struct rbe_row *next(const struct page *p, const char *kind, size_t *i)
{
    while (*i < p->r->count) {
        const struct rbe_row *row = &p->r->rows[(*i)++];
        if (!strcmp(row->kind, kind))
            return row;
    }
    return NULL;
}

/* The same, recorded rows included. */
static const struct rbe_row *next_of_all(const struct page *p, const char *kind, size_t *i)
{
    const struct rbe_row *row = next(p, kind, i);

    while (!row && *i < p->r->all) {
        row = &p->r->rows[(*i)++];
        if (strcmp(row->kind, kind))
            row = NULL;
    }
    return row;
}

static bool any(const struct page *p, const char *kind)
{
    size_t i = 0;
    return next(p, kind, &i) != NULL;
}

static bool any_of_all(const struct page *p, const char *kind)
{
    size_t i = 0;
    return next_of_all(p, kind, &i) != NULL;
}

static bool is_recorded(const struct page *p, const struct rbe_row *row)
{
    return row >= p->r->rows + p->r->count;
}

/* The model of a row, and when it was recorded if this run did not measure it. */
static void row_model_cell(const struct page *p, const struct rbe_row *row)
{
    const struct rbe_model_seen *m = model_at(p, model_of(p, row));

    if (is_recorded(p, row))
        rbe_document_cell(p->doc, "%s (%s%srecorded %.10s)", m ? text_or(m->name, "?") : "?",
                          m && m->label ? m->label : "", m && m->label ? "; " : "",
                          text_or(rbe_string_at(row->v, "time_utc"), "?"));
    else
        model_cell(p, model_of(p, row));
}

/* The last row of a kind about a model, recorded ones included. */
static const struct rbe_row *last_row(const struct page *p, const char *kind, int model)
{
    const struct rbe_row *row, *found = rbe_results_last(p->r, kind, model);

    for (size_t i = p->r->count; !found && (row = next_of_all(p, kind, &i)); )
        if (model_of(p, row) == model)
            found = row;
    return found;
}

/* --- first screen ------------------------------------------------------------------- */

static void criteria_table(const struct page *p, bool other)
{
    rbe_document_table(p->doc, other ? "|promise|verdict|target|original (f32)|RBE|margin|model"
                       : "|promise|verdict|target|original (f32)|RBE|margin");
    for (size_t i = 0; i < p->c->count; i++) {
        const struct rbe_criterion *c = &p->c->rows[i];
        if (c->other != other)
            continue;
        rbe_document_cell(p->doc, "%s", c->id);
        rbe_document_cell(p->doc, "%s", c->what);
        rbe_document_cell(p->doc, "%s", rbe_verdict_name(c->verdict));
        rbe_document_cell(p->doc, "%s", c->target);
        rbe_document_cell(p->doc, "%s", c->original);
        rbe_document_cell(p->doc, "%s", c->rbe);
        rbe_document_cell(p->doc, "%s", c->margin);
        if (other)
            rbe_document_cell(p->doc, "%s", c->model);
    }
}

/* 1 + index of the row that stood at FILE:LINE, or 0. */
static size_t row_number(const struct page *p, const char *source)
{
    char at[RBE_CRITERION_TEXT];

    for (size_t i = 0; i < p->r->count; i++) {
        snprintf(at, sizeof at, "%s:%zu", p->r->rows[i].file, p->r->rows[i].line);
        if (!strcmp(at, source))
            return i + 1;
    }
    return 0;
}

static void first_screen(const struct page *p)
{
    const struct rbe_model_seen *b = model_at(p, p->c->base), *m = model_at(p, p->c->model);
    char verdict[128];

    rbe_document_heading(p->doc, 1, "Does a language model still work at a tenth of its size?");
    rbe_document_paragraph(p->doc,
        "Riemannian Basis Encoding (RBE) stores the weights of the language model GPT-2 as "
        "short seeds, and generates the weights from the seeds while it multiplies, so that "
        "a model takes about 2.9 bits a weight instead of 32. The book chapter that proposes "
        "it promises ten things: a tenth of the memory, twice the speed, at most 5 %% worse "
        "predictions, and so on. This page says which of them hold, measured.");
    rbe_page_verdict(verdict, sizeof verdict, p->c);
    if (b && m) {
        char bytes[32], original[32];
        rbe_megabytes(bytes, sizeof bytes, m->bytes);
        rbe_megabytes(original, sizeof original, 4 * m->parameters);
        rbe_document_verdict(p->doc, "%s. Measured on %s, %.1f million parameters: %s as "
                             "f32, %s as %s.", verdict, text_or(b->name, "?"),
                             m->parameters / 1e6, original, bytes, text_or(m->name, "RBE"));
    } else {
        rbe_document_verdict(p->doc, "%s.", verdict);
    }
    if (b && b->name && !strncmp(b->name, "rbe-mini", 8))
        rbe_document_paragraph(p->doc,
            "rbe-mini has the architecture of GPT-2 and a tenth of its parameters; it ships "
            "with the project. It is not GPT-2: where a promise is a number of GPT-2 small "
            "alone, the table says NOT MEASURED.");

    criteria_table(p, false);
    rbe_document_paragraph(p->doc,
        "PASS: the target is met. FAIL: it is missed, by the margin. NOT MEASURED: no run has "
        "measured it; the next table says why. A positive margin is room to spare; intervals "
        "in parentheses are 95 %% confidence intervals.");
    rbe_document_paragraph(p->doc,
        "A model reads and writes text in tokens: words or pieces of words. Perplexity is "
        "among how many equally likely tokens it would have to guess the next one: lower is "
        "better. The original is the same model with 32-bit numbers (f32), run by the same "
        "program on the same machine.");
    const bool others = p->c->count > p->c->judged;
    if (others) {
        rbe_document_heading(p->doc, 3, "Size and speed on other models");
        criteria_table(p, true);
    }
    rbe_document_heading(p->doc, 3, "How each was measured, or why not");
    rbe_document_table(p->doc, "|verdict|measured on|how, or why not|raw row");
    for (size_t i = 0; i < p->c->count; i++) {
        const struct rbe_criterion *c = &p->c->rows[i];
        rbe_document_cell(p->doc, "%s", c->id);
        rbe_document_cell(p->doc, "%s", rbe_verdict_name(c->verdict));
        rbe_document_cell(p->doc, "%s", c->model);
        rbe_document_cell(p->doc, "%s", c->how);
        rbe_document_cell(p->doc, "%s", c->source);
        const size_t number = row_number(p, c->source);
        if (number)
            rbe_document_link(p->doc, number);
    }
}

/* --- size and quality --------------------------------------------------------------- */

/* Does a paired row compare with this original by the protocol of the criteria? */
static bool same_task(const struct page *p, const struct rbe_row *row, int base)
{
    return rbe_results_model(p->r, rbe_value_at(row->v, "base")) == base &&
           !strcmp(rbe_string_at(row->v, "protocol"), RBE_CRITERIA_PROTOCOL);
}

/* Windows measured of most models: points of one plot must be of the same text. */
static double common_windows(const struct page *p, int base)
{
    double best = NAN;
    size_t most = 0, i = 0;
    const struct rbe_row *row;

    while ((row = next_of_all(p, "paired", &i))) {
        const double w = rbe_number_at(row->v, "windows");
        size_t n = 0, k = 0;
        const struct rbe_row *o;
        if (!same_task(p, row, base))
            continue;
        while ((o = next_of_all(p, "paired", &k)))
            n += same_task(p, o, base) && rbe_number_at(o->v, "windows") == w;
        if (n > most || (n == most && w > best)) {
            most = n;
            best = w;
        }
    }
    return best;
}

/* The lines of the plot, in the order of the legend; a '_' is shown as a blank. */
static const char *const series_names[] = {
    "seed,_before_recovery", "seed,_after_recovery", "seed,_one_B", "parts_of_the_model",
    "int8", "int4", "low_rank_(SVD)", "hybrid", "packed128", "schedules_of_the_chapter",
};
enum {
    SERIES = sizeof series_names / sizeof *series_names,
    SEARCHED = 4,               /* those before it are found by a search */
};

/* In which line a model stands: its codec, and apart what differs in more than the rate. */
static size_t series_of(const struct rbe_model_seen *m)
{
    const char *profile = text_or(m->profile, ""), *codec = text_or(m->codec, "");

    if (m->name && strstr(m->name, "tuned"))
        return 1;
    if (!strncmp(profile, "phase", 5) || strstr(profile, "architecture"))
        return 3;
    if (!strncmp(profile, "chapter", 7))
        return 9;
    if (strstr(profile, "mini-") || strstr(profile, "mobile"))
        return 0;
    for (size_t i = 4; i < SERIES; i++)
        if (!strcmp(codec, series_names[i]))
            return i;
    return !strcmp(codec, "svd") ? 6 : 2;
}

struct rate_point {
    double bits, perplexity;
    size_t series;
    bool recorded;
    char how[64];
};

struct rate_points {
    struct rate_point *v;
    size_t count;
    double f32, tokens, windows;
    size_t other_windows;       /* models measured on another part of the text only */
    char when[16], where[96];   /* of the last recorded point; empty: there is none */
};

/* How a model was encoded, from the options in the command of its convert row. */
static void encoding(const struct page *p, int model, char out[64])
{
    const struct rbe_row *row = last_row(p, "convert", model);
    const char *command = row ? rbe_string_at(row->v, "command") : NULL;
    const char *codec = text_or(model_at(p, model)->codec, ""), *search;
    char effort[16] = "default";
    bool seeds = false;
    size_t i;
    json_t *t;

    if (!command) {
        snprintf(out, 64, last_row(p, "recovery", model) ? "trained" : "not recorded");
        return;
    }
    json_array_foreach(rbe_value_at(row->v, "tensors"), i, t)
        seeds |= !strncmp(text_or(rbe_string_at(t, "codec"), ""), "seed", 4);
    if (!seeds) {
        snprintf(out, 64, "%s", strncmp(codec, "int", 3) ? "nothing to search"
                 : "rounded to nearest");
        return;
    }
    if ((search = strstr(command, "--search")))
        snprintf(effort, sizeof effort, "%.*s", (int)strcspn(search + 9, " "), search + 9);
    snprintf(out, 64, "%s search, %s%s", effort,
             strstr(command, "--no-calibration") ? "no calibration" : "calibrated",
             strstr(command, "--allocate") ? ", measured allocation" : "");
}

static void put_name(FILE *f, const char *series)
{
    for (; *series; series++)
        putc(*series == '_' ? ' ' : *series, f);
}

/* "seed, one B: fast search, no calibration; int8: rounded to nearest", of sorted points. */
static void put_encodings(FILE *f, const struct rate_points *r)
{
    const char *before = "How the points were encoded: ";

    for (size_t i = 0; i < r->count; i++) {
        bool said = false;
        for (size_t k = 0; k < i && !said; k++)
            said = r->v[k].series == r->v[i].series && !strcmp(r->v[k].how, r->v[i].how);
        if (said || r->v[i].series >= SEARCHED)
            continue;
        fputs(before, f);
        put_name(f, series_names[r->v[i].series]);
        fprintf(f, ": %s", r->v[i].how);
        before = "; ";
    }
    fputs(*before == 'H' ? "" : ". The other codecs have nothing to search. ", f);
}

/* Which points this run did not measure. */
static void put_recorded(FILE *f, const struct rate_points *r)
{
    const char *before = "Recorded earlier (";
    size_t fresh = 0;

    if (!*r->when)
        return;
    for (size_t s = 0; s < SERIES; s++) {
        size_t recorded = 0, measured = 0;
        for (size_t i = 0; i < r->count; i++) {
            recorded += r->v[i].series == s && r->v[i].recorded;
            measured += r->v[i].series == s && !r->v[i].recorded;
        }
        fresh += measured;
        if (!recorded)
            continue;
        if (*before == 'R')
            fprintf(f, "%s%s, %s): ", before, r->where, r->when);
        else
            fputs(before, f);
        if (measured)
            fprintf(f, "%zu points of ", recorded);
        put_name(f, series_names[s]);
        before = "; ";
    }
    fprintf(f, ". %s", fresh ? "All others: measured in this run. " : "");
}

static int by_series_and_bits(const void *a, const void *b)
{
    const struct rate_point *x = a, *y = b;

    if (x->series != y->series)
        return x->series < y->series ? -1 : 1;
    return (x->bits > y->bits) - (x->bits < y->bits);
}

/* Is there a point measured in this run where this recorded one would stand? */
static bool measured_beside(const struct rate_points *r, size_t series, double bits)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->v[i].series == series && !r->v[i].recorded && fabs(r->v[i].bits - bits) < .005)
            return true;
    return false;
}

/* Was the model of this row measured on so many windows, too? */
static bool measured_alike(const struct page *p, const struct rbe_row *row, int base,
                           double windows)
{
    const struct rbe_row *o;
    size_t i = 0;

    while ((o = next_of_all(p, "paired", &i)))
        if (same_task(p, o, base) && rbe_number_at(o->v, "windows") == windows &&
            model_of(p, o) == model_of(p, row))
            return true;
    return false;
}

static enum rbe_status rate_points(struct rate_points *r, const struct page *p, int base)
{
    const struct rbe_row *row;
    size_t i = 0;

    *r = (struct rate_points){.f32 = NAN, .tokens = NAN, .windows = common_windows(p, base)};
    if (!(r->v = calloc(p->r->all + 1, sizeof *r->v)))
        return RBE_ERR_NOMEM;
    while ((row = next_of_all(p, "paired", &i))) {
        const struct rbe_model_seen *m = model_at(p, model_of(p, row));
        struct rate_point x = {.recorded = is_recorded(p, row)};
        if (!same_task(p, row, base))
            continue;
        if (rbe_number_at(row->v, "windows") != r->windows) {
            r->other_windows += !x.recorded && !measured_alike(p, row, base, r->windows);
            continue;
        }
        r->f32 = rbe_number_at(row->v, "base_perplexity");
        r->tokens = rbe_number_at(row->v, "scored");
        x.perplexity = rbe_number_at(row->v, "perplexity");
        x.bits = m->bits;
        x.series = series_of(m);
        if (!m->rbe || isnan(x.bits) || !isfinite(x.perplexity) ||
            (x.recorded && measured_beside(r, x.series, x.bits)))
            continue;
        encoding(p, model_of(p, row), x.how);
        if (x.recorded) {
            snprintf(r->when, sizeof r->when, "%.10s",
                     text_or(rbe_string_at(row->v, "time_utc"), "?"));
            snprintf(r->where, sizeof r->where, "%.64s, %.0f CPUs",
                     text_or(rbe_string_at(row->v, "machine.cpu"), "?"),
                     rbe_number_at(row->v, "machine.cores"));
        }
        r->v[r->count++] = x;
    }
    qsort(r->v, r->count, sizeof *r->v, by_series_and_bits);
    return RBE_OK;
}

/* The points of at most `most` times the original's perplexity, or all of them. */
static enum rbe_status draw_rate(const struct page *p, int base, const struct rate_points *r,
                                 double most)
{
    const bool all = isinf(most);
    struct rbe_plot_data data;
    char vars[128], title[160], *caption = NULL;
    size_t left_out = 0, size;
    FILE *f;

    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# series\tbits_per_weight\tperplexity\n");
    for (size_t k = 0; k < r->count; k++) {
        char name[64];
        if (!(r->v[k].perplexity < most * r->f32)) {
            left_out++;
            continue;
        }
        rbe_plot_series(&data, name, series_names[r->v[k].series]);
        fprintf(data.tsv, "%s\t%.17g\t%.17g\n", name, r->v[k].bits, r->v[k].perplexity);
        data.rows++;
    }
    if (!(f = open_memstream(&caption, &size))) {
        fclose(data.tsv);
        free(data.text);
        return RBE_ERR_NOMEM;
    }
    if (all)
        fprintf(f, "The same with every model, however poor, on a logarithmic scale. low rank "
                "(SVD): the size is that of its factors in f16. ");
    else
        fprintf(f, "Perplexity (lower is better) of each encoded model against its size, the "
                "whole file counted; protocol " RBE_CRITERIA_PROTOCOL ", %.0f tokens (%.0f "
                "windows). Dashed: the f32 original, and the size that 45 MB are for GPT-2 "
                "small. ", r->tokens, r->windows);
    if (left_out)
        fprintf(f, "Not shown here, but in the next plot: %zu of more than %.0f times the "
                "original's perplexity. ", left_out, most);
    if (!all && r->other_windows)
        fprintf(f, "In the table only, as measured on another part of the text: %zu. ",
                r->other_windows);
    if (!all) {
        put_recorded(f, r);
        put_encodings(f, r);
        fputs("Only points encoded alike compare codecs.", f);
    }
    fclose(f);
    snprintf(vars, sizeof vars, "f32=%.17g; budget=%.17g; whole=%d; ", r->f32, budget_bits,
             all);
    snprintf(title, sizeof title, "Perplexity against size, %s%s",
             text_or(model_at(p, base) ? model_at(p, base)->name : NULL, "?"),
             all ? ": every codec" : "");
    const enum rbe_status err = rbe_plot_draw(p->plotter, &data, p->doc, "rate",
                                              all ? "rate_all" : "rate", title, vars, caption,
                                              p->d);
    free(caption);
    return err;
}

static enum rbe_status rate_plots(const struct page *p, int base)
{
    enum { MOST = 2 };
    struct rate_points r;
    enum rbe_status err = rate_points(&r, p, base);
    bool more = false;

    if (!err && !(err = draw_rate(p, base, &r, MOST))) {
        for (size_t i = 0; i < r.count; i++)
            more |= !(r.v[i].perplexity < MOST * r.f32);
        if (more)
            err = draw_rate(p, base, &r, INFINITY);
    }
    free(r.v);
    return err;
}

static void perplexity_table(const struct page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    rbe_document_table(p->doc, "model|codec|>file|>bits/weight|protocol|>windows|>perplexity|"
                       ">original|>change|95 % interval|>time, x f32");
    while ((row = next_of_all(p, "paired", &i))) {
        const struct rbe_model_seen *m = model_at(p, model_of(p, row));
        const json_t *ci = rbe_value_at(row->v, "percent_change_ci95");
        row_model_cell(p, row);
        rbe_document_cell(p->doc, "%s", text_or(m->codec, "-"));
        megabytes_cell(p->doc, m->bytes);
        number_cell(p->doc, "%.3f", m->bits);
        rbe_document_cell(p->doc, "%s", rbe_string_at(row->v, "protocol"));
        rbe_document_cell(p->doc, "%.0f%s", rbe_number_at(row->v, "windows"),
                          rbe_true_at(row->v, "complete") ? " (all)" : "");
        const double change = rbe_number_at(row->v, "percent_change");
        const int digits = fabs(change) < 1000 ? 2 : 0;
        number_cell(p->doc, digits ? "%.2f" : "%.0f", rbe_number_at(row->v, "perplexity"));
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "base_perplexity"));
        number_cell(p->doc, digits ? "%+.2f %%" : "%+.0f %%", change);
        if (json_array_size(ci) == 2)
            rbe_document_cell(p->doc, "%+.*f to %+.*f %%", digits,
                              json_number_value(json_array_get(ci, 0)), digits,
                              json_number_value(json_array_get(ci, 1)));
        else
            rbe_document_cell(p->doc, "-");
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "time_ratio"));
    }
}

static void other_perplexities(const struct page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    if (!any(p, "perplexity"))
        return;
    rbe_document_fold(p->doc, "Every perplexity measured, by text and protocol");
    rbe_document_table(p->doc, "model|text|protocol|>context|>stride|>scored|>perplexity|"
                       ">per word|>bits/byte|>-log p, s.e.|>tokens/s");
    while ((row = next(p, "perplexity", &i))) {
        model_cell(p, model_of(p, row));
        rbe_document_cell(p->doc, "%s%s", text_or(rbe_string_at(row->v, "text.name"), "-"),
                          rbe_true_at(row->v, "complete") ? "" : " (part)");
        rbe_document_cell(p->doc, "%s %s", rbe_string_at(row->v, "protocol"),
                          text_or(rbe_string_at(row->v, "protocol_name"), ""));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "context"));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "stride"));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "scored"));
        number_cell(p->doc, "%.5g", rbe_number_at(row->v, "perplexity"));
        number_cell(p->doc, "%.5g", rbe_number_at(row->v, "word_perplexity"));
        number_cell(p->doc, "%.4f", rbe_number_at(row->v, "bits_per_byte"));
        number_cell(p->doc, "%.4f", rbe_number_at(row->v, "nll_se"));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "tokens_per_s"));
    }
    rbe_document_unfold(p->doc);
}

static enum rbe_status quality(const struct page *p)
{
    enum rbe_status err;

    rbe_document_heading(p->doc, 2, "Size against quality");
    if (!any_of_all(p, "paired")) {
        rbe_document_paragraph(p->doc, "NOT MEASURED: no run compares perplexities.");
        other_perplexities(p);
        return RBE_OK;
    }
    if ((err = rate_plots(p, p->c->base)))
        return err;
    perplexity_table(p);
    other_perplexities(p);
    return RBE_OK;
}

/* --- allocation --------------------------------------------------------------------- */

/* h.7.mlp.c_fc.weight -> layer 7, class mlp.fc; false for what lies in no layer. */
static bool tensor_class(const char *name, int *layer, const char **class)
{
    static const char *const names[][2] = {{".attn.c_attn.", "attn.qkv"},
        {".attn.c_proj.", "attn.proj"}, {".mlp.c_fc.", "mlp.fc"}, {".mlp.c_proj.", "mlp.proj"}};
    const char *h = !strncmp(name, "h.", 2) ? name : strstr(name, ".h.");

    if (!h || sscanf(h + (h == name ? 2 : 3), "%d", layer) != 1)
        return false;
    for (int i = 0; i < 4; i++)
        if (strstr(name, names[i][0])) {
            *class = names[i][1];
            return true;
        }
    return false;
}

/* How the judged model was encoded.  Training keeps every matrix's place and size, so for a
 * trained model it is the conversion of the model that it was made from. */
static const struct rbe_row *judged_conversion(const struct page *p)
{
    const struct rbe_row *row = p->c->model < 0 ? NULL
                                : rbe_results_last(p->r, "convert", p->c->model);
    const struct rbe_row *training = row || p->c->model < 0 ? NULL
                                     : last_row(p, "recovery", p->c->model);
    const json_t *before = training ? rbe_value_at(training->v, "before") : NULL;
    const char *path = rbe_string_at(before, "path");
    size_t i = 0;

    if (row || !before)
        return row;
    if ((row = last_row(p, "convert", rbe_results_model(p->r, before))))
        return row;
    /* Converted anew by another version of the encoder: the same name and size will do. */
    while ((row = next(p, "convert", &i)))
        if (path && text_or(rbe_string_at(row->v, "model.path"), "")[0] &&
            !strcmp(path, rbe_string_at(row->v, "model.path")) &&
            rbe_number_at(row->v, "model.bytes") == rbe_number_at(before, "bytes"))
            break;
    return row;
}

static enum rbe_status allocation(const struct page *p)
{
    const struct rbe_row *row = judged_conversion(p);
    static const char *const order[] = {"attn.qkv", "attn.proj", "mlp.fc", "mlp.proj"};
    struct rbe_plot_data data;
    char vars[64], title[160];
    double wte = 0, wte_weights = 0;
    enum rbe_status err;
    size_t i;
    json_t *t;

    rbe_document_heading(p->doc, 2, "Where the bits go");
    if (!row) {
        rbe_document_paragraph(p->doc, "NOT MEASURED: no conversion of the judged model was "
                               "recorded.");
        return RBE_OK;
    }
    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# class\tlayer\tbits_per_weight\n");
    for (int k = 0; k < 4; k++)
        json_array_foreach(rbe_value_at(row->v, "tensors"), i, t) {
            const char *class;
            char name[64];
            int layer;
            const char *tensor = rbe_string_at(t, "name");
            if (!tensor || !tensor_class(tensor, &layer, &class) || strcmp(class, order[k]))
                continue;
            rbe_plot_series(&data, name, class);
            fprintf(data.tsv, "%s\t%d\t%.17g\n", name, layer,
                    rbe_number_at(t, "bits_per_weight"));
            data.rows++;
        }
    json_array_foreach(rbe_value_at(row->v, "tensors"), i, t) {
        const char *tensor = rbe_string_at(t, "name");
        const double b = rbe_number_at(t, "bytes"), bits = rbe_number_at(t, "bits_per_weight");
        if (tensor && strstr(tensor, "wte") && b > 0 && bits > 0) {
            wte += 8 * b;
            wte_weights += 8 * b / bits;
        }
    }
    snprintf(vars, sizeof vars, "wte=%.17g; ", wte_weights > 0 ? wte / wte_weights : 0);
    const int shown = model_of(p, row);
    snprintf(title, sizeof title, "Bits by layer and matrix, %s",
             text_or(rbe_string_at(row->v, "model.name"), "?"));
    if ((err = rbe_plot_draw(p->plotter, &data, p->doc, "allocation", "allocation", title,
                             vars, shown == p->c->model ?
                             "Bits per weight of each matrix, scales counted; dashed: "
                             "the token embedding, which is the output layer too." :
                             "Bits per weight of each matrix, scales counted; dashed: the "
                             "token embedding, which is the output layer too. The judged model "
                             "is this one after training, which changes no size.", p->d)))
        return err;

    rbe_document_fold(p->doc, "Every tensor of %s",
                      text_or(rbe_string_at(row->v, "model.name"), "?"));
    rbe_document_table(p->doc, "tensor|shape|codec|>B|>bytes|>bits/weight|>ratio|"
                       ">relative RMSE|>bound|>time, s");
    json_array_foreach(rbe_value_at(row->v, "tensors"), i, t) {
        const json_t *shape = rbe_value_at(t, "shape");
        char dims[64] = "";
        for (size_t k = 0; k < json_array_size(shape) && k < 4; k++)
            snprintf(dims + strlen(dims), sizeof dims - strlen(dims), "%s%lld", k ? " x " : "",
                     (long long)json_integer_value(json_array_get(shape, k)));
        rbe_document_cell(p->doc, "%s", text_or(rbe_string_at(t, "name"), "?"));
        rbe_document_cell(p->doc, "%s", dims);
        rbe_document_cell(p->doc, "%s", text_or(rbe_string_at(t, "codec"), "?"));
        number_cell(p->doc, "%.0f", rbe_number_at(t, "block"));
        number_cell(p->doc, "%.0f", rbe_number_at(t, "bytes"));
        number_cell(p->doc, "%.3f", rbe_number_at(t, "bits_per_weight"));
        number_cell(p->doc, "%.2f", rbe_number_at(t, "ratio"));
        number_cell(p->doc, "%.4f", rbe_number_at(t, "relative_rmse"));
        number_cell(p->doc, "%.4f", rbe_number_at(t, "bound"));
        number_cell(p->doc, "%.2f", rbe_number_at(t, "seconds"));
    }
    rbe_document_unfold(p->doc);
    return RBE_OK;
}

static void conversions(const struct page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    if (!any_of_all(p, "convert"))
        return;
    rbe_document_heading(p->doc, 3, "Conversions");
    rbe_document_table(p->doc, "model|profile|main codec|encoder|>file|>bits/weight|"
                       ">relative RMSE, mean|>bound, mean|>time, s");
    while ((row = next_of_all(p, "convert", &i))) {
        const struct rbe_model_seen *m = model_at(p, model_of(p, row));
        double rmse = 0, bound = 0;
        size_t k, n = 0;
        json_t *t;
        json_array_foreach(rbe_value_at(row->v, "tensors"), k, t) {
            const double x = rbe_number_at(t, "relative_rmse");
            const char *codec = rbe_string_at(t, "codec");
            if (isnan(x) || !codec || codec[0] == 'f')
                continue;
            rmse += x;
            bound += rbe_number_at(t, "bound");
            n++;
        }
        row_model_cell(p, row);
        const char *profile = rbe_string_at(row->v, "profile");
        const char *slash = strrchr(profile, '/');
        rbe_document_cell(p->doc, "%s", slash ? slash + 1 : profile);
        rbe_document_cell(p->doc, "%s", text_or(m->codec, "-"));
        char how[64];
        encoding(p, model_of(p, row), how);
        rbe_document_cell(p->doc, "%s", how);
        megabytes_cell(p->doc, m->bytes);
        number_cell(p->doc, "%.3f", m->bits);
        number_cell(p->doc, "%.4f", n ? rmse / (double)n : NAN);
        number_cell(p->doc, "%.4f", n ? bound / (double)n : NAN);
        number_cell(p->doc, "%.1f", rbe_number_at(row->v, "seconds"));
    }
}

/* --- recovery ----------------------------------------------------------------------- */

/* Points of a latent stage are not those of an RBE model: a line of their own. */
static void recovery_points(const struct page *p, const struct rbe_row *row,
                            struct rbe_plot_data *data)
{
    const struct rbe_model_seen *m = model_at(p, model_of(p, row));
    const bool control = rbe_true_at(row->v, "control");
    size_t k;
    json_t *t;

    json_array_foreach(rbe_value_at(row->v, "points"), k, t) {
        const bool latent = json_is_false(rbe_value_at(t, "encoded")) && !control;
        const double y = rbe_number_at(t, "perplexity");
        char name[64], what[80];
        if (isnan(y))
            continue;
        snprintf(what, sizeof what, "%.40s%s%s", m ? m->name : "?", control ? " f32 tuned" : "",
                 latent ? " not encoded yet" : "");
        rbe_plot_series(data, name, what);
        fprintf(data->tsv, "%s\t%.17g\t%.17g\n", name, rbe_number_at(t, "tokens") / 1e6, y);
        data->rows++;
    }
}

static enum rbe_status recovery(const struct page *p)
{
    const struct rbe_row *row;
    struct rbe_plot_data data;
    enum rbe_status err;
    const json_t *stages = NULL;        /* of the training that has most */
    char vars[512];
    double f32 = 0;
    size_t i = 0;
    int used;

    if (!any_of_all(p, "recovery"))
        return RBE_OK;
    rbe_document_heading(p->doc, 2, "Won back by training");
    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# model\ttokens_millions\tperplexity\n");
    while ((row = next_of_all(p, "recovery", &i))) {
        recovery_points(p, row, &data);
        if (json_array_size(rbe_value_at(row->v, "stages")) > json_array_size(stages))
            stages = rbe_value_at(row->v, "stages");
        if (!isnan(rbe_number_at(row->v, "base_perplexity")))
            f32 = rbe_number_at(row->v, "base_perplexity");
    }
    used = snprintf(vars, sizeof vars, "f32=%.17g; stages='", f32);
    for (i = 0; i < json_array_size(stages) && used < (int)sizeof vars - 64; i++) {
        const json_t *stage = json_array_get(stages, i);
        char word[24];
        snprintf(word, sizeof word, "%s", text_or(rbe_string_at(stage, "name"), "?"));
        for (char *c = word; *c; c++)
            if (!isalnum((unsigned char)*c))
                *c = '-';
        used += snprintf(vars + used, sizeof vars - (size_t)used, "%s %.6f ", word,
                         fmax(0, rbe_number_at(stage, "end_tokens")) / 1e6);
    }
    snprintf(vars + used, sizeof vars - (size_t)used, "'; ");
    if ((err = rbe_plot_draw(p->plotter, &data, p->doc, "recovery", "recovery",
                             "Perplexity during recovery training", vars,
                             "Perplexity on validation text while the encoded model is trained "
                             "to follow the original; not the test text of the criteria. "
                             "Dotted: where a stage of the training ends, with its name.",
                             p->d)))
        return err;
    rbe_document_table(p->doc, "model|profile|loss|>tokens|>perplexity before|>after|"
                       ">original, f32|>tokens/s|>time, s");
    i = 0;
    while ((row = next_of_all(p, "recovery", &i))) {
        const json_t *points = rbe_value_at(row->v, "points");
        const size_t n = json_array_size(points);
        rbe_document_cell(p->doc, "%s%s%s", text_or(rbe_string_at(row->v, "model.name"), "?"),
                          rbe_true_at(row->v, "control") ? " (control: f32)" : "",
                          is_recorded(p, row) ? " (recorded)" : "");
        rbe_document_cell(p->doc, "%s", text_or(rbe_string_at(row->v, "profile"), "-"));
        rbe_document_cell(p->doc, "%s", text_or(rbe_string_at(row->v, "loss"), "-"));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "tokens"));
        number_cell(p->doc, "%.3f", rbe_number_at(json_array_get(points, 0), "perplexity"));
        number_cell(p->doc, "%.3f", rbe_number_at(json_array_get(points, n ? n - 1 : 0),
                                                  "perplexity"));
        number_cell(p->doc, "%.3f", rbe_number_at(row->v, "base_perplexity"));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "tokens_per_s"));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "seconds"));
    }
    return RBE_OK;
}

/* --- codecs on the same matrices --------------------------------------------------------- */

/* The same rows as numbers, with their guards. */
static void codecs_table(const struct page *p, const struct rbe_row *row)
{
    size_t k;
    json_t *t;

    rbe_document_fold(p->doc, "Every codec at the same ratios%s%.10s%s",
                      is_recorded(p, row) ? " (recorded " : "",
                      is_recorded(p, row) ? text_or(rbe_string_at(row->v, "time_utc"), "?")
                      : "", is_recorded(p, row) ? ")" : "");
    rbe_document_table(p->doc, "codec|>asked ratio|>true ratio|>bits/weight|>relative RMSE|"
                       ">bound|>PSNR, dB|>on white noise|>its bound|>time, s");
    json_array_foreach(rbe_value_at(row->v, "rows"), k, t) {
        const bool met = !json_is_false(rbe_value_at(t, "met"));
        rbe_document_cell(p->doc, "%s", text_or(rbe_string_at(t, "codec"), "?"));
        number_cell(p->doc, met ? "%.0f : 1" : "%.0f : 1 (has none)",
                    rbe_number_at(t, "asked"));
        number_cell(p->doc, "%.1f : 1", rbe_number_at(t, "ratio"));
        number_cell(p->doc, "%.3f", rbe_number_at(t, "bits_per_weight"));
        number_cell(p->doc, "%.4f", rbe_number_at(t, "relative_rmse"));
        number_cell(p->doc, "%.4f", rbe_number_at(t, "bound"));
        number_cell(p->doc, "%.1f", rbe_number_at(t, "psnr_db"));
        number_cell(p->doc, "%.4f", rbe_number_at(t, "control_rmse"));
        number_cell(p->doc, "%.4f", rbe_number_at(t, "control_bound"));
        number_cell(p->doc, "%.2f", rbe_number_at(t, "seconds"));
    }
    rbe_document_unfold(p->doc);
}

static enum rbe_status distortion(const struct page *p)
{
    const struct rbe_row *row;
    struct rbe_plot_data data;
    char title[160], name[64];
    size_t i = 0, k;
    json_t *t;

    while ((row = next_of_all(p, "codecs", &i))) {
        if (!rbe_plot_begin(&data))
            return RBE_ERR_NOMEM;
        fprintf(data.tsv, "# codec\tbits_per_weight\trelative_rmse\n");
        json_array_foreach(rbe_value_at(row->v, "rows"), k, t) {
            const double x = rbe_number_at(t, "bits_per_weight");
            const double y = rbe_number_at(t, "relative_rmse");
            /* A codec that cannot go as low says so; its lowest rate stands there once. */
            if (!(x > 0) || !(y > 0) || json_is_false(rbe_value_at(t, "met")))
                continue;
            rbe_plot_series(&data, name, text_or(rbe_string_at(t, "codec"), "?"));
            fprintf(data.tsv, "%s\t%.17g\t%.17g\n", name, x, y);
            data.rows++;
        }
        snprintf(title, sizeof title, "Error against size, %zu matrices of %s",
                 json_array_size(rbe_value_at(row->v, "matrices")),
                 text_or(rbe_string_at(row->v, "source.name"), "?"));
        const enum rbe_status err = rbe_plot_draw(p->plotter, &data, p->doc, "distortion",
            "distortion", title, "", "Relative RMSE of the weights as decoded (all zeros: 1), "
            "by the true size of each codec, without calibration; svd and block means: the "
            "same bytes in f16. Dashed: 2^-bits, below which no codec can be on white Gaussian "
            "weights.", p->d);
        if (err)
            return err;
        codecs_table(p, row);
    }
    return RBE_OK;
}

/* --- divergence, comprehension, generation -------------------------------------------- */

static enum rbe_status divergence(const struct page *p)
{
    static const char *const fields[] = {"kl.p50", "kl.mean", "kl.p90", "kl.p99", "kl.p999"};
    const struct rbe_row *row;
    struct rbe_plot_data data;
    size_t i = 0;
    enum rbe_status err;

    rbe_document_heading(p->doc, 2, "Token by token against the original");
    if (!any(p, "divergence")) {
        rbe_document_paragraph(p->doc, "NOT MEASURED: no run has compared the predictions.");
        return RBE_OK;
    }
    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# model\tindex (p50 mean p90 p99 p999)\tkl_nats\n");
    while ((row = next(p, "divergence", &i))) {
        const struct rbe_model_seen *m = model_at(p, model_of(p, row));
        char name[64];
        rbe_plot_series(&data, name, m ? m->name : "?");
        for (int k = 0; k < 5; k++) {
            const double x = rbe_number_at(row->v, fields[k]);
            if (x > 0) {
                fprintf(data.tsv, "%s\t%d\t%.17g\n", name, k, x);
                data.rows++;
            }
        }
        fputc('\n', data.tsv);
    }
    if ((err = rbe_plot_draw(p->plotter, &data, p->doc, "divergence", "divergence",
                             "Divergence of the predictions", "",
                             "Kullback-Leibler divergence of each model's next-token "
                             "distribution from the original's (0: the same).", p->d)))
        return err;
    rbe_document_table(p->doc, "model|>tokens|>KL mean|>s.e.|>median|>99 %|>99.9 %|"
                       ">same first choice|>change of the true token's p, mean|>RMS");
    i = 0;
    while ((row = next(p, "divergence", &i))) {
        model_cell(p, model_of(p, row));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "tokens"));
        number_cell(p->doc, "%.4f", rbe_number_at(row->v, "kl.mean"));
        number_cell(p->doc, "%.4f", rbe_number_at(row->v, "kl.mean_se"));
        number_cell(p->doc, "%.4f", rbe_number_at(row->v, "kl.p50"));
        number_cell(p->doc, "%.3f", rbe_number_at(row->v, "kl.p99"));
        number_cell(p->doc, "%.3f", rbe_number_at(row->v, "kl.p999"));
        number_cell(p->doc, "%.2f %%", 100 * rbe_number_at(row->v, "top1.agreement"));
        number_cell(p->doc, "%+.5f", rbe_number_at(row->v, "true_token.mean"));
        number_cell(p->doc, "%.4f", rbe_number_at(row->v, "true_token.rms"));
    }
    return RBE_OK;
}

static void comprehension(const struct page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    rbe_document_heading(p->doc, 2, "Comprehension");
    if (!any(p, "comprehension")) {
        rbe_document_paragraph(p->doc, "NOT MEASURED: no comprehension task was run.");
        return;
    }
    rbe_document_table(p->doc, "model|task|>items|measure|>value|>s.e.|>change|>s.e. of it");
    while ((row = next(p, "comprehension", &i))) {
        const char *metric;
        json_t *value;
        json_object_foreach(rbe_value_at(row->v, "metrics"), metric, value) {
            const json_t *pair = json_object_get(rbe_value_at(row->v, "paired"), metric);
            model_cell(p, model_of(p, row));
            rbe_document_cell(p->doc, "%s", rbe_string_at(row->v, "task"));
            rbe_document_cell(p->doc, "%.0f%s", rbe_number_at(row->v, "items"),
                              rbe_true_at(row->v, "complete") ? "" : " (part)");
            rbe_document_cell(p->doc, "%s", metric);
            number_cell(p->doc, "%.4g", rbe_number_at(value, "value"));
            number_cell(p->doc, "%.3g", rbe_number_at(value, "se"));
            number_cell(p->doc, "%+.3g", rbe_number_at(pair, "change"));
            number_cell(p->doc, "%.3g", rbe_number_at(pair, "change_se"));
        }
    }
    i = 0;
    while ((row = next(p, "comprehension", &i))) {
        const char *group;
        json_t *value;
        if (!json_object_size(rbe_value_at(row->v, "groups")))
            continue;
        rbe_document_fold(p->doc, "%s by phenomenon, %s", rbe_string_at(row->v, "task"),
                          text_or(rbe_string_at(row->v, "model.name"), "?"));
        rbe_document_table(p->doc, "phenomenon|>items|>accuracy");
        json_object_foreach(rbe_value_at(row->v, "groups"), group, value) {
            rbe_document_cell(p->doc, "%s", group);
            number_cell(p->doc, "%.0f", rbe_number_at(value, "items"));
            number_cell(p->doc, "%.3f", rbe_number_at(value, "acc"));
        }
        rbe_document_unfold(p->doc);
    }
}

static void generation(const struct page *p)
{
    const struct rbe_row *row;
    size_t i = 0, k;
    json_t *t;

    rbe_document_heading(p->doc, 2, "Generated text");
    if (!any(p, "generation")) {
        rbe_document_paragraph(p->doc, "NOT MEASURED: no run has compared generated texts.");
        return;
    }
    rbe_document_table(p->doc, "model|>coherence retained|>fluency retained|"
                       ">relevance retained|>rep-4 (original)|>rep-4|>distinct-1 (original)|"
                       ">distinct-1|>distinct-2 (original)|>distinct-2");
    while ((row = next(p, "generation", &i))) {
        model_cell(p, model_of(p, row));
        number_cell(p->doc, "%.1f %%", 100 * rbe_number_at(row->v, "coherence.retained"));
        number_cell(p->doc, "%.1f %%", 100 * rbe_number_at(row->v, "fluency.retained"));
        number_cell(p->doc, "%.1f %%", 100 * rbe_number_at(row->v, "relevance.retained"));
        number_cell(p->doc, "%.3f", rbe_number_at(row->v, "rep4.original"));
        number_cell(p->doc, "%.3f", rbe_number_at(row->v, "rep4.model"));
        number_cell(p->doc, "%.3f", rbe_number_at(row->v, "distinct1.original"));
        number_cell(p->doc, "%.3f", rbe_number_at(row->v, "distinct1.model"));
        number_cell(p->doc, "%.3f", rbe_number_at(row->v, "distinct2.original"));
        number_cell(p->doc, "%.3f", rbe_number_at(row->v, "distinct2.model"));
    }
    i = 0;
    while ((row = next(p, "generation", &i))) {
        if (!json_array_size(rbe_value_at(row->v, "samples")))
            continue;
        rbe_document_fold(p->doc, "Samples: answers of the original and of %s to the same "
                          "prompts", text_or(rbe_string_at(row->v, "model.name"), "the model"));
        rbe_document_table(p->doc, "prompt|original|model");
        json_array_foreach(rbe_value_at(row->v, "samples"), k, t) {
            if (k >= 8)
                break;
            rbe_document_cell(p->doc, "%.400s", text_or(rbe_string_at(t, "prompt"), ""));
            rbe_document_cell(p->doc, "%.1200s", text_or(rbe_string_at(t, "original"), ""));
            rbe_document_cell(p->doc, "%.1200s", text_or(rbe_string_at(t, "model"), ""));
        }
        rbe_document_unfold(p->doc);
    }
}

/* --- speed and memory ------------------------------------------------------------------ */

static void inference_table(const struct page *p)
{
    const struct rbe_row *row;
    size_t i = 0, k;
    json_t *t;

    rbe_document_table(p->doc, "model|run|>threads|>ms/token|>tokens/s|>speed-up|"
                       ">prefill, tokens/s|>first token, ms|>file|>peak memory|"
                       ">read, GB/s|>CPUs used|>repeats");
    while ((row = next_of_all(p, "inference", &i))) {
        const double ms = rbe_number_at(row->v, "decode_median_ms");
        row_model_cell(p, row);
        rbe_document_cell(p->doc, "%s", rbe_string_at(row->v, "mode"));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "machine.threads"));
        number_cell(p->doc, "%.3f", ms);
        number_cell(p->doc, "%.1f", 1000 / ms);
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "speedup"));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "prefill.tokens_per_s"));
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "first_token_ms"));
        megabytes_cell(p->doc, rbe_number_at(row->v, "model_bytes"));
        megabytes_cell(p->doc, rbe_number_at(row->v, "peak_bytes"));
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "gb_per_s"));
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "cpu_utilisation"));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "validity.repeats"));
    }
    rbe_document_fold(p->doc, "Time for a token by depth of the context");
    rbe_document_table(p->doc, "model|>tokens in the context|>samples|>median, ms|>MAD, ms|"
                       ">p95, ms|>p99, ms|>tokens/s");
    i = 0;
    while ((row = next_of_all(p, "inference", &i)))
        json_array_foreach(rbe_value_at(row->v, "decode"), k, t) {
            row_model_cell(p, row);
            number_cell(p->doc, "%.0f", rbe_number_at(t, "depth"));
            number_cell(p->doc, "%.0f", rbe_number_at(t, "tokens"));
            number_cell(p->doc, "%.3f", rbe_number_at(t, "median_ms"));
            number_cell(p->doc, "%.3f", rbe_number_at(t, "mad_ms"));
            number_cell(p->doc, "%.3f", rbe_number_at(t, "p95_ms"));
            number_cell(p->doc, "%.3f", rbe_number_at(t, "p99_ms"));
            number_cell(p->doc, "%.1f", rbe_number_at(t, "tokens_per_s"));
        }
    rbe_document_unfold(p->doc);
    if (!any_of_all(p, "edge"))
        return;
    rbe_document_heading(p->doc, 3, "Under a memory limit");
    rbe_document_table(p->doc, "model|>limit|>threads|>tokens|result|>peak, resident|"
                       ">peak, address space|>ms/token");
    i = 0;
    while ((row = next_of_all(p, "edge", &i))) {
        const bool passed = rbe_true_at(row->v, "passed");
        row_model_cell(p, row);
        number_cell(p->doc, "%.0f MiB", rbe_number_at(row->v, "limit_bytes") / 1048576);
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "threads"));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "tokens"));
        rbe_document_cell(p->doc, "%s", passed ? "runs"
                          : text_or(rbe_string_at(row->v, "reason"), "does not run"));
        megabytes_cell(p->doc, rbe_number_at(row->v, "peak_bytes"));
        megabytes_cell(p->doc, rbe_number_at(row->v, "peak_virtual_bytes"));
        number_cell(p->doc, "%.3f", rbe_number_at(row->v, "median_ms"));
    }
}

/* Tokens a second by depth of the context, and bytes: what the chapter promises most of. */
static enum rbe_status inference_plots(const struct page *p)
{
    struct rbe_plot_data speed, memory;
    const struct rbe_row *row;
    enum rbe_status err;
    size_t i = 0, k;
    double threads = NAN;
    char caption[256];
    json_t *t;

    if (!rbe_plot_begin(&speed))
        return RBE_ERR_NOMEM;
    fprintf(speed.tsv, "# model\tcontext_tokens\ttokens_per_s\n");
    while ((row = next(p, "inference", &i))) {
        const struct rbe_model_seen *m = model_at(p, model_of(p, row));
        char what[96], name[64];
        if (strcmp(text_or(rbe_string_at(row->v, "mode"), ""), "latency"))
            continue;
        threads = rbe_number_at(row->v, "machine.threads");
        snprintf(what, sizeof what, "%.60s", m ? m->name : "?");
        rbe_plot_series(&speed, name, what);
        json_array_foreach(rbe_value_at(row->v, "decode"), k, t) {
            const double rate = 1000 / rbe_number_at(t, "median_ms");
            if (isnan(rate) || isinf(rate))
                continue;
            fprintf(speed.tsv, "%s\t%.17g\t%.17g\n", name, rbe_number_at(t, "depth"), rate);
            speed.rows++;
        }
    }
    snprintf(caption, sizeof caption, "Tokens generated in a second (of the median time for a "
             "token), batch 1, %.0f threads, by the tokens already in the context.", threads);
    if ((err = rbe_plot_draw(p->plotter, &speed, p->doc, "throughput", "throughput",
                             "Generation speed", "", caption, p->d)))
        return err;
    if (!rbe_plot_begin(&memory))
        return RBE_ERR_NOMEM;
    fprintf(memory.tsv, "# model\tweights_f32_mb\tfile_mb\tpeak_mb\n");
    i = 0;
    while ((row = next(p, "edge", &i))) {
        const int at = model_of(p, row);
        const struct rbe_model_seen *m = model_at(p, at);
        char name[64];
        const double peak = rbe_number_at(row->v, "peak_bytes");
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

/* A benchmark row: its median over repetitions, or the single run when it was not repeated. */
static bool is_median(const json_t *b)
{
    const char *aggregate = rbe_string_at(b, "aggregate_name");
    return aggregate ? !strcmp(aggregate, "median")
           : !(rbe_number_at(b, "repetitions") > 1);
}

/* The word behind "KEY=" of a label such as "kind=product op=gemv format=seed". */
static bool label_is(const json_t *b, const char *key, const char *value)
{
    const char *label = rbe_string_at(b, "label"), *at;
    char want[64];

    snprintf(want, sizeof want, "%s=%s", key, value);
    at = label ? strstr(label, want) : NULL;
    const char end = at ? at[strlen(want)] : 'x';
    return at && (end == 0 || end == ' ') && (at == label || at[-1] == ' ');
}

/* Median absolute deviation of `field` over the repetitions of the run `name`, from the mad
 * aggregate; 0 when the run was not repeated. */
static double deviation(const json_t *benchmarks, const char *name, const char *field)
{
    size_t i;
    json_t *b;

    json_array_foreach(benchmarks, i, b) {
        const char *aggregate = rbe_string_at(b, "aggregate_name");
        const char *run = rbe_string_at(b, "run_name");
        if (aggregate && run && !strcmp(run, name) && !strcmp(aggregate, "mad")) {
            const double x = rbe_number_at(b, field);
            return isnan(x) ? 0 : x;
        }
    }
    return 0;
}

static double to_ms(const json_t *b, double t)
{
    const char *unit = rbe_string_at(b, "time_unit");

    return !unit || !strcmp(unit, "ns") ? t / 1e6 : !strcmp(unit, "us") ? t / 1e3
           : !strcmp(unit, "s") ? t * 1e3 : t;
}

/* The part of a name up to the first '/'. */
static void kernel_name(char out[64], const char *name)
{
    snprintf(out, 64, "%.*s", (int)strcspn(name, "/"), name);
}

/* Of the block sizes measured, the one nearest 45 MB for GPT-2 small: 44. */
static double shown_block(const json_t *list, const char *kind)
{
    double best = 0;
    size_t i;
    json_t *b;

    json_array_foreach(list, i, b) {
        const double block = rbe_number_at(b, "block");
        if (label_is(b, "kind", kind) && block > 0 &&
            (best <= 0 || fabs(block - 44) < fabs(best - 44)))
            best = block;
    }
    return best;
}

/* Bars in the order of their names, whatever order they were measured in. */
struct bar {
    char name[96];
    double value, mad;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct bar *)a)->name, ((const struct bar *)b)->name);
}

static void write_bars(struct rbe_plot_data *data, struct bar *bars, size_t n)
{
    qsort(bars, n, sizeof *bars, by_name);
    for (size_t i = 0; i < n; i++)
        fprintf(data->tsv, "%s\t%.17g\t%.17g\n", bars[i].name, bars[i].value, bars[i].mad);
    data->rows = n;
}

/* Products of the largest shape, cold, with the most threads, against the read roof. */
static enum rbe_status kernel_plot(const struct page *p, const json_t *doc, const char *id)
{
    const json_t *list = rbe_value_at(doc, "benchmarks");
    double threads = 0, weights = 0, roof = NAN;
    struct rbe_plot_data data;
    char vars[96], title[160];
    size_t i;
    json_t *b;

    json_array_foreach(list, i, b)
        if (is_median(b) && label_is(b, "kind", "product") && label_is(b, "op", "gemv") &&
            label_is(b, "cache", "cold")) {
            threads = fmax(threads, rbe_number_at(b, "threads_pinned"));
            weights = fmax(weights, rbe_number_at(b, "rows") * rbe_number_at(b, "cols"));
        }
    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# kernel\tgb_per_s\tmad\n");
    struct bar *bars = calloc(json_array_size(list) + 1, sizeof *bars);
    size_t n = 0;
    if (!bars) {
        fclose(data.tsv);
        free(data.text);
        return RBE_ERR_NOMEM;
    }
    double rows = 0, cols = 0;
    json_array_foreach(list, i, b) {
        const char *name = rbe_string_at(b, "run_name");
        const double r = rbe_number_at(b, "rows"), c = rbe_number_at(b, "cols");
        const double rate = rbe_number_at(b, "bytes_per_second");
        char kernel[64];
        if (!name || !is_median(b) || !label_is(b, "kind", "product") ||
            !label_is(b, "op", "gemv") || !label_is(b, "cache", "cold") ||
            rbe_number_at(b, "threads_pinned") != threads || r * c != weights || isnan(rate))
            continue;
        rows = r;
        cols = c;
        kernel_name(kernel, name);
        const double block = rbe_number_at(b, "block");
        if (block > 0 && block != shown_block(list, "product"))
            continue;
        if (block > 0)
            snprintf(bars[n].name, sizeof bars[n].name, "%s B=%.0f", kernel, block);
        else
            snprintf(bars[n].name, sizeof bars[n].name, "%s", kernel);
        bars[n].value = rate / 1e9;
        bars[n++].mad = deviation(list, name, "bytes_per_second") / 1e9;
        if (!isnan(rbe_number_at(b, "read_roof")))
            roof = rbe_number_at(b, "read_roof") / 1e9;
    }
    write_bars(&data, bars, n);
    free(bars);
    snprintf(vars, sizeof vars, "roof=%.17g; rows=%zu; ", isnan(roof) ? 0 : roof, data.rows);
    snprintf(title, sizeof title, "Matrix times vector, %.0f x %.0f, cold, %.0f threads", rows,
             cols, threads);
    return rbe_plot_draw(p->plotter, &data, p->doc, "kernels", id, title, vars,
                         "Bytes of encoded weights that each kernel reads in a second, against "
                         "the read bandwidth of this machine measured in the same run. A "
                         "kernel at the roof waits for memory; one below it computes.", p->d);
}

static enum rbe_status token_plot(const struct page *p, const json_t *doc, const char *id)
{
    const json_t *list = rbe_value_at(doc, "benchmarks");
    struct rbe_plot_data data;
    double threads = 0;
    char vars[64], size[32] = "", title[160];
    size_t i;
    json_t *b;

    json_array_foreach(list, i, b)
        if (is_median(b) && label_is(b, "kind", "model"))
            threads = fmax(threads, rbe_number_at(b, "threads_pinned"));
    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# kernel\tms_per_token\tmad\n");
    struct bar *bars = calloc(json_array_size(list) + 1, sizeof *bars);
    size_t n = 0;
    if (!bars) {
        fclose(data.tsv);
        free(data.text);
        return RBE_ERR_NOMEM;
    }
    json_array_foreach(list, i, b) {
        const char *name = rbe_string_at(b, "run_name");
        char kernel[64];
        if (!name || !is_median(b) || !label_is(b, "kind", "model") ||
            rbe_number_at(b, "threads_pinned") != threads ||
            (rbe_number_at(b, "block") > 0 &&
             rbe_number_at(b, "block") != shown_block(list, "model")))
            continue;
        kernel_name(kernel, name);
        const char *slash = strchr(name, '/');
        if (slash)
            snprintf(size, sizeof size, "%.*s", (int)strcspn(slash + 1, "/"), slash + 1);
        const double block = rbe_number_at(b, "block");
        const char *short_name = !strncmp(kernel, "model_gemv_", 11) ? kernel + 11 : kernel;
        if (block > 0)
            snprintf(bars[n].name, sizeof bars[n].name, "%s B=%.0f", short_name, block);
        else
            snprintf(bars[n].name, sizeof bars[n].name, "%s", short_name);
        bars[n].value = to_ms(b, rbe_number_at(b, "real_time"));
        bars[n++].mad = to_ms(b, deviation(list, name, "real_time"));
    }
    write_bars(&data, bars, n);
    free(bars);
    snprintf(vars, sizeof vars, "rows=%zu; ", data.rows);
    snprintf(title, sizeof title, "All matrices of a GPT-2 of %s for one token, %.0f threads",
             size, threads);
    return rbe_plot_draw(p->plotter, &data, p->doc, "tokens", id, title, vars,
                         "Time of every matrix product of one token, weights cold; the rest of "
                         "a token (attention, norms, sampling) comes on top.", p->d);
}

/* The number of threads that most of the cold products with a block were measured with. */
static double sweep_threads(const json_t *list)
{
    unsigned count[65] = {0}, best = 1;
    size_t i;
    json_t *b;

    json_array_foreach(list, i, b) {
        const double threads = rbe_number_at(b, "threads_pinned");
        if (is_median(b) && label_is(b, "kind", "product") && label_is(b, "cache", "cold") &&
            rbe_number_at(b, "block") > 0 && threads >= 1 && threads <= 64)
            count[(unsigned)threads]++;
    }
    for (unsigned t = 1; t <= 64; t++)
        if (count[t] > count[best])
            best = t;
    return best;
}

/* Weights a second by B, of the formats measured at three values of B or more. */
static enum rbe_status sweep_plot(const struct page *p, const json_t *doc, const char *id)
{
    const json_t *list = rbe_value_at(doc, "benchmarks");
    struct rbe_plot_data data;
    const double threads = sweep_threads(list);
    size_t i, k;
    json_t *b, *o;

    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# kernel\tblock\tweights_per_second_1e9\n");
    json_array_foreach(list, i, b) {
        const char *name = rbe_string_at(b, "run_name");
        char kernel[64], other[64], series[64];
        const double rows = rbe_number_at(b, "rows"), cols = rbe_number_at(b, "cols");
        double seen[64];
        size_t blocks = 0;
        if (!name || !is_median(b) || !label_is(b, "kind", "product") ||
            !label_is(b, "cache", "cold") || !label_is(b, "op", "gemv") ||
            !(rbe_number_at(b, "block") > 0) || rbe_number_at(b, "threads_pinned") != threads)
            continue;
        kernel_name(kernel, name);
        json_array_foreach(list, k, o) {
            const char *run = rbe_string_at(o, "run_name");
            const double block = rbe_number_at(o, "block");
            size_t j = 0;
            if (!run || !is_median(o) || rbe_number_at(o, "rows") != rows ||
                rbe_number_at(o, "cols") != cols || !label_is(o, "cache", "cold") ||
                rbe_number_at(o, "threads_pinned") != threads)
                continue;
            kernel_name(other, run);
            while (j < blocks && seen[j] != block)
                j++;
            if (!strcmp(other, kernel) && j == blocks && blocks < 64)
                seen[blocks++] = block;
        }
        if (blocks < 3)
            continue;
        char what[96];
        snprintf(what, sizeof what, "%.40s %.0fx%.0f",
                 !strncmp(kernel, "gemv_", 5) ? kernel + 5 : kernel, rows, cols);
        rbe_plot_series(&data, series, what);
        fprintf(data.tsv, "%s\t%.0f\t%.17g\n", series, rbe_number_at(b, "block"),
                rbe_number_at(b, "items_per_second") / 1e9);
        data.rows++;
    }
    return rbe_plot_draw(p->plotter, &data, p->doc, "sweep", id, "Speed by block size", "",
                         "Weights decoded and multiplied in a second by the block size B, "
                         "which sets the size: 128 / B bits a weight.", p->d);
}

static enum rbe_status roof_plot(const struct page *p, const json_t *doc, const char *id)
{
    const json_t *list = rbe_value_at(doc, "benchmarks");
    struct rbe_plot_data data;
    size_t i;
    json_t *b;

    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# probe\tbytes\tgb_per_s\n");
    json_array_foreach(list, i, b) {
        const char *name = rbe_string_at(b, "run_name"), *size;
        char kernel[64], what[96], series[64];
        if (!name || !is_median(b) || !label_is(b, "kind", "probe") ||
            !label_is(b, "op", "read") || !(size = strstr(name, "bytes:")))
            continue;
        kernel_name(kernel, name);
        snprintf(what, sizeof what, "%s/t:%.0f", kernel,
                 rbe_number_at(b, "threads_pinned"));
        rbe_plot_series(&data, series, what);
        fprintf(data.tsv, "%s\t%.17g\t%.17g\n", series, strtod(size + 6, NULL),
                rbe_number_at(b, "bytes_per_second") / 1e9);
        data.rows++;
    }
    return rbe_plot_draw(p->plotter, &data, p->doc, "roof", id,
                         "Read bandwidth of this machine", "",
                         "Read bandwidth by the size of the working set: the steps are the "
                         "caches, the right end is memory, where the weights come from.", p->d);
}

static enum rbe_status speed(const struct page *p)
{
    enum rbe_status err = RBE_OK;

    rbe_document_heading(p->doc, 2, "Speed and memory");
    if (any_of_all(p, "inference") || any_of_all(p, "edge")) {
        if ((err = inference_plots(p)))
            return err;
        inference_table(p);
    } else {
        rbe_document_paragraph(p->doc, "NOT MEASURED: no run has timed a model.");
    }
    if (!p->r->bench_count) {
        rbe_document_paragraph(p->doc, "NOT MEASURED: no benchmark of the kernels was run.");
        return RBE_OK;
    }
    rbe_document_heading(p->doc, 3, "Kernels");
    for (size_t i = 0; i < p->r->bench_count && !err; i++) {
        static enum rbe_status (*const plots[])(const struct page *, const json_t *,
                                                const char *) = {kernel_plot, token_plot,
                                                                 sweep_plot, roof_plot};
        static const char *const names[] = {"kernels", "tokens", "sweep", "roof"};
        for (size_t k = 0; k < 4 && !err; k++) {
            char id[64];
            snprintf(id, sizeof id, i ? "%s_%zu" : "%s", names[k], i + 1);
            err = plots[k](p, p->r->bench[i], id);
        }
    }
    return err;
}

/* --- conversation ----------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Up to 400 points of the distribution of token times of one conversation. */
static enum rbe_status cdf_rows(struct rbe_plot_data *data, const char *series,
                                const json_t *turns)
{
    size_t n = 0, room = 0, i, k;
    json_t *turn, *t;
    double *all;

    json_array_foreach(turns, i, turn)
        room += json_array_size(rbe_value_at(turn, "token_ms"));
    if (!room)
        return RBE_OK;
    if (!(all = malloc(room * sizeof *all)))
        return RBE_ERR_NOMEM;
    json_array_foreach(turns, i, turn)
        json_array_foreach(rbe_value_at(turn, "token_ms"), k, t)
            if (json_is_number(t) && json_number_value(t) > 0)
                all[n++] = json_number_value(t);
    qsort(all, n, sizeof *all, by_value);
    const size_t points = n < 400 ? n : 400;
    for (i = 0; i < points; i++) {
        const size_t at = points > 1 ? i * (n - 1) / (points - 1) : 0;
        fprintf(data->tsv, "%s\t%.17g\t%.17g\n", series, all[at],
                (double)(at + 1) / (double)n);
        data->rows++;
    }
    free(all);
    return RBE_OK;
}

static enum rbe_status conversation_plots(const struct page *p)
{
    struct rbe_plot_data turns, context, cdf;
    const struct rbe_row *row;
    enum rbe_status err = RBE_OK;
    size_t i = 0, k;
    json_t *t;

    const bool ok = rbe_plot_begin(&turns) && rbe_plot_begin(&context) && rbe_plot_begin(&cdf);
    if (!ok)
        return RBE_ERR_NOMEM;
    fprintf(turns.tsv, "# model\tturn\tfirst_token_ms\tp95_ms\n");
    fprintf(context.tsv, "# model\tcontext_tokens\tp50_ms\n");
    fprintf(cdf.tsv, "# model\tms\tshare\n");
    while (!err && (row = next(p, "conversation", &i))) {
        const struct rbe_model_seen *m = model_at(p, model_of(p, row));
        char name[64];
        rbe_plot_series(&turns, name, m ? m->name : "?");
        rbe_plot_series(&context, name, m ? m->name : "?");
        rbe_plot_series(&cdf, name, m ? m->name : "?");
        json_array_foreach(rbe_value_at(row->v, "turns"), k, t) {
            fprintf(turns.tsv, "%s\t%zu\t%.17g\t%.17g\n", name, k + 1,
                    rbe_number_at(t, "first_token_ms"), rbe_number_at(t, "p95_ms"));
            fprintf(context.tsv, "%s\t%.17g\t%.17g\n", name, rbe_number_at(t, "context_tokens"),
                    rbe_number_at(t, "p50_ms"));
            turns.rows++;
            context.rows++;
        }
        err = cdf_rows(&cdf, name, rbe_value_at(row->v, "turns"));
    }
    const enum rbe_status a = rbe_plot_draw(p->plotter, &turns, p->doc, "turns", "turns",
        "Latency by turn", "", "Time to the first token of each answer, and the 95th "
        "percentile of the time between its tokens.", p->d);
    const enum rbe_status b = rbe_plot_draw(p->plotter, &context, p->doc, "context", "context",
        "Time for a token by length of the context", "", "Median time between tokens of each "
        "turn against the tokens in the context at its end.", p->d);
    const enum rbe_status c = rbe_plot_draw(p->plotter, &cdf, p->doc, "cdf", "cdf",
        "Distribution of the time for a token", "", "Share of all tokens of the conversation "
        "that came within a given time.", p->d);
    return err ? err : a ? a : b ? b : c;
}

static void turns_table(const struct page *p, const struct rbe_row *row)
{
    size_t k;
    json_t *t;

    rbe_document_fold(p->doc, "Every turn of %s", text_or(rbe_string_at(row->v, "model.name"),
                                                          "the model"));
    rbe_document_table(p->doc, ">turn|question|>tokens|>context|>turns dropped|"
                       ">first token, ms|>p50, ms|>p95, ms|>p99, ms|>resident|>CPUs used|"
                       ">coherence|>perplexity by the scorer");
    json_array_foreach(rbe_value_at(row->v, "turns"), k, t) {
        number_cell(p->doc, "%.0f", rbe_number_at(t, "turn"));
        rbe_document_cell(p->doc, "%.120s", text_or(rbe_string_at(t, "prompt"), ""));
        number_cell(p->doc, "%.0f", rbe_number_at(t, "tokens"));
        number_cell(p->doc, "%.0f", rbe_number_at(t, "context_tokens"));
        number_cell(p->doc, "%.0f", rbe_number_at(t, "dropped_turns"));
        number_cell(p->doc, "%.2f", rbe_number_at(t, "first_token_ms"));
        number_cell(p->doc, "%.2f", rbe_number_at(t, "p50_ms"));
        number_cell(p->doc, "%.2f", rbe_number_at(t, "p95_ms"));
        number_cell(p->doc, "%.2f", rbe_number_at(t, "p99_ms"));
        megabytes_cell(p->doc, rbe_number_at(t, "resident_bytes"));
        number_cell(p->doc, "%.2f", rbe_number_at(t, "cpu_utilisation"));
        number_cell(p->doc, "%.3f", rbe_number_at(t, "coherence"));
        number_cell(p->doc, "%.1f", rbe_number_at(t, "quality"));
    }
    rbe_document_unfold(p->doc);
}

static enum rbe_status conversation(const struct page *p)
{
    const struct rbe_row *row;
    enum rbe_status err;
    size_t i = 0;

    rbe_document_heading(p->doc, 2, "Conversation");
    if (!any(p, "conversation")) {
        rbe_document_paragraph(p->doc, "NOT MEASURED: no conversation was held.");
        return RBE_OK;
    }
    if ((err = conversation_plots(p)))
        return err;
    rbe_document_table(p->doc, "model|>turns|>turns within limits|>tokens|"
                       ">worst first token, ms|>worst p95, ms|>p50, ms|>p99, ms|"
                       ">load, s|>100 tokens, s|>coherence|>perplexity by the scorer");
    while ((row = next(p, "conversation", &i))) {
        model_cell(p, model_of(p, row));
        rbe_document_cell(p->doc, "%zu", json_array_size(rbe_value_at(row->v, "turns")));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "summary.turns_within"));
        number_cell(p->doc, "%.0f", rbe_number_at(row->v, "summary.tokens"));
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "summary.first_token_ms_max"));
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "summary.p95_ms_max"));
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "summary.p50_ms"));
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "summary.p99_ms"));
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "load_s"));
        number_cell(p->doc, "%.2f", rbe_number_at(row->v, "summary.hundred_tokens_s"));
        number_cell(p->doc, "%.3f", rbe_number_at(row->v, "summary.coherence"));
        number_cell(p->doc, "%.1f", rbe_number_at(row->v, "summary.quality"));
    }
    i = 0;
    while ((row = next(p, "conversation", &i)))
        turns_table(p, row);
    return RBE_OK;
}

/* --- provenance ------------------------------------------------------------------------ */

static void failed_steps(const struct page *p)
{
    const struct rbe_row *row;
    size_t i = 0, failed = 0;

    while ((row = next(p, "step", &i)))
        failed += !rbe_true_at(row->v, "ok");
    if (failed) {
        rbe_document_heading(p->doc, 2, "Steps that failed or were left out");
        rbe_document_table(p->doc, "step|reason");
        i = 0;
        while ((row = next(p, "step", &i)))
            if (!rbe_true_at(row->v, "ok")) {
                rbe_document_cell(p->doc, "%s", rbe_string_at(row->v, "step"));
                rbe_document_cell(p->doc, "%s", text_or(rbe_string_at(row->v, "reason"), "?"));
            }
    }
}

static void provenance(const struct page *p)
{
    const struct rbe_row *row;
    size_t i, shown = 0;

    rbe_document_heading(p->doc, 2, "Machine and provenance");
    rbe_document_table(p->doc, "machine|architecture|>CPUs|>memory|kernel|features in use|"
                       "commit|measured, UTC");
    for (i = 0; i < p->r->all; i++) {
        const json_t *v = p->r->rows[i].v;
        bool again = false;
        for (size_t k = 0; k < i && !again; k++)
            again = json_equal(rbe_value_at(p->r->rows[k].v, "machine.cpu"),
                               rbe_value_at(v, "machine.cpu")) &&
                    json_equal(rbe_value_at(p->r->rows[k].v, "commit"),
                               rbe_value_at(v, "commit"));
        if (again || !rbe_string_at(v, "machine.cpu"))
            continue;
        shown++;
        rbe_document_cell(p->doc, "%s", rbe_string_at(v, "machine.cpu"));
        rbe_document_cell(p->doc, "%s", text_or(rbe_string_at(v, "machine.arch"), "-"));
        number_cell(p->doc, "%.0f", rbe_number_at(v, "machine.cores"));
        megabytes_cell(p->doc, rbe_number_at(v, "machine.memory_bytes"));
        rbe_document_cell(p->doc, "%s", text_or(rbe_string_at(v, "machine.kernel"), "-"));
        const json_t *isa = rbe_value_at(v, "machine.isa");
        if (json_is_array(isa)) {
            char list[256] = "";
            for (size_t k = 0; k < json_array_size(isa); k++)
                snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", k ? " " : "",
                         text_or(json_string_value(json_array_get(isa, k)), "?"));
            rbe_document_cell(p->doc, "%s", list);
        } else {
            rbe_document_cell(p->doc, "%s", text_or(json_string_value(isa), "-"));
        }
        rbe_document_cell(p->doc, "%.12s", text_or(rbe_string_at(v, "commit"), "-"));
        rbe_document_cell(p->doc, "%s%s", i < p->r->count ? "" : "recorded ",
                          text_or(rbe_string_at(v, "time_utc"), "-"));
    }
    if (!shown)
        rbe_document_paragraph(p->doc, "The rows name no machine.");
    rbe_document_fold(p->doc, "Commands that made the rows");
    FILE *f;
    char *text = NULL;
    size_t size;
    if ((f = open_memstream(&text, &size))) {
        i = 0;
        for (size_t k = 0; k < p->r->all; k++) {
            row = &p->r->rows[k];
            fprintf(f, "%s:%zu %s: %s\n", row->file, row->line, row->kind,
                    text_or(rbe_string_at(row->v, "command"), "-"));
        }
        fclose(f);
        rbe_document_verbatim(p->doc, "%s", text);
        free(text);
    }
    rbe_document_unfold(p->doc);
    for (i = 0; i < p->r->note_count; i++)
        rbe_document_paragraph(p->doc, "Note: %s.", p->r->notes[i]);
}

/* Every row as it was read, which the criteria link to. */
static enum rbe_status raw_rows(const struct page *p)
{
    /* A conversation's row holds the time of every token: such stand beside the page only. */
    enum { TOO_LONG = 128 * 1024 };

    rbe_document_heading(p->doc, 2, "Raw rows");
    rbe_document_paragraph(p->doc, "Every row that this page was made from, as the programs "
                           "wrote it: all of them line by line in " RBE_DOCUMENT_RAW
                           " beside this page, and the same below.");
    for (size_t i = 0; i < p->r->all; i++) {
        const struct rbe_row *row = &p->r->rows[i];
        char *text = json_dumps(row->v, JSON_COMPACT | JSON_PRESERVE_ORDER);
        const char *model = rbe_string_at(row->v, "model.name");
        if (!text)
            return RBE_ERR_NOMEM;
        rbe_document_raw(p->doc, i + 1, strlen(text) > TOO_LONG
                         ? "Too long for the page: see " RBE_DOCUMENT_RAW : text,
                         "%s:%zu %s%s%s", row->file, row->line, row->kind, model ? ", " : "",
                         model ? model : "");
        free(text);
    }
    return RBE_OK;
}

enum rbe_status rbe_page_write(struct rbe_document *doc, const struct rbe_results *r,
                               const struct rbe_criteria *c, struct rbe_plotter *plotter,
                               struct rbe_diag *d)
{
    const struct page p = {doc, r, c, plotter, d};
    enum rbe_status err;

    first_screen(&p);
    failed_steps(&p);
    if ((err = quality(&p)) || (err = distortion(&p)) || (err = recovery(&p)) ||
        (err = allocation(&p)))
        return err;
    conversions(&p);
    if ((err = speed(&p)) || (err = conversation(&p)) || (err = divergence(&p)))
        return err;
    generation(&p);
    comprehension(&p);
    provenance(&p);
    return raw_rows(&p);
}

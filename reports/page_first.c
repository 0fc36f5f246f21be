/*
 * page_first.c - may I ship this?  Four answers, one sentence, and what else one could ship.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rows.h"
#include "kernels/formats.h"

/* Share of f32's bytes that may be left. */
static double left(void)
{
    return 1 - RBE_LIMIT(C1);
}

/* --- what was measured of a model --------------------------------------------------------- */

struct figures {
    int base, model;
    const struct rbe_model_seen *b, *m;
    const struct rbe_row *time, *base_time, *text;
    double ms, base_ms, f16_ms, speedup, peak, base_peak, f16_bytes, change, target_bytes;
    double other;               /* positions with another most likely token, % */
    bool recorded;              /* its times: by another run */
};

/* The last time for a token with so many threads (0: any); recorded ones where `all`. */
static const struct rbe_row *timed(const struct rbe_page *p, int model, double threads,
                                   bool all)
{
    for (size_t i = all ? p->r->all : p->r->count; model >= 0 && i-- > 0;) {
        const struct rbe_row *row = &p->r->rows[i];
        if (!strcmp(row->kind, RBE_KIND(inference)) && rbe_model_of(p, row) == model &&
            !strcmp(rbe_text_or(RBE_STRING_AT(row->v, mode), ""), "latency") &&
            RBE_NUMBER_AT(row->v, prompt_tokens) == RBE_LIMIT(C2_PROMPT) &&
            (threads <= 0 || RBE_NUMBER_AT(row->v, machine, threads) == threads))
            return row;
    }
    return NULL;
}

/* The peak memory of a process that generates: of the last run that has it. */
static double peak_of(const struct rbe_page *p, int model, bool all)
{
    for (size_t i = all ? p->r->all : p->r->count; model >= 0 && i-- > 0;) {
        const struct rbe_row *row = &p->r->rows[i];
        const double peak = RBE_NUMBER_AT(row->v, peak_bytes);
        if (!strcmp(row->kind, RBE_KIND(inference)) && rbe_model_of(p, row) == model &&
            !isnan(peak))
            return peak;
    }
    return NAN;
}

/* All of it in f16, norms too. */
static bool is_f16(const struct rbe_model_seen *m)
{
    const enum rbe_format f = rbe_format_by_name(rbe_text_or(m->codec, ""));

    return m->rbe && f < RBE_FORMAT_COUNT && rbe_format_facts(f)->float_bytes == 2 &&
           m->bits > 15.5 && m->bits < 16.5;
}

/* The model that holds this original in f16, or -1. */
static int f16_of(const struct rbe_page *p, int base)
{
    for (size_t i = 0; i < p->r->model_count; i++)
        if (p->r->models[i].base == base && p->r->models[i].measured &&
            is_f16(&p->r->models[i]))
            return (int)i;
    return -1;
}

static double ms_of(const struct rbe_row *row)
{
    return row ? RBE_NUMBER_AT(row->v, decode_median_ms) : NAN;
}

static struct figures figures_of(const struct rbe_page *p, int base, int model, bool all)
{
    struct figures f = {.base = base, .model = model, .b = rbe_page_model(p, base),
                        .m = rbe_page_model(p, model)};
    const int f16 = f16_of(p, base);

    f.time = timed(p, model, 0, all);
    f.recorded = f.time && rbe_row_recorded(p, f.time);
    const double threads = f.time ? RBE_NUMBER_AT(f.time->v, machine, threads) : 0;
    f.base_time = timed(p, base, threads, all);
    /* Generated weights predict nothing, so nothing of it can be lost. */
    f.text = all || f.m->label ? NULL : rbe_criteria_paired(p->r, base, model);
    f.ms = ms_of(f.time);
    f.base_ms = ms_of(f.base_time);
    f.f16_ms = ms_of(timed(p, f16, threads, false));
    f.speedup = f.time ? RBE_NUMBER_AT(f.time->v, speedup) : NAN;
    f.peak = f.time ? RBE_NUMBER_AT(f.time->v, peak_bytes) : NAN;
    f.base_peak = f.base_time ? RBE_NUMBER_AT(f.base_time->v, peak_bytes) : NAN;
    if (isnan(f.peak) || isnan(f.base_peak)) {
        f.peak = peak_of(p, model, all);
        f.base_peak = peak_of(p, base, all);
    }
    f.f16_bytes = f16 >= 0 ? rbe_page_model(p, f16)->bytes : 2 * f.m->parameters;
    f.change = f.text ? RBE_NUMBER_AT(f.text->v, percent_change) : NAN;
    const struct rbe_row *kl = all ? NULL : rbe_results_last(p->r, RBE_KIND(divergence), model);
    f.other = kl ? 100 * (1 - RBE_NUMBER_AT(kl->v, top1, agreement)) : NAN;
    f.target_bytes = left() * 4 * f.m->parameters;
    if (rbe_is_gpt2_small(f.m))
        f.target_bytes = RBE_LIMIT(C1_FILE);
    return f;
}

/* --- tiles ----------------------------------------------------------------------------- */

static enum rbe_verdict verdict_of(const struct rbe_page *p, int model, const char *id)
{
    for (size_t i = 0; i < p->c->count; i++)
        if (p->c->rows[i].at == model && !strcmp(p->c->rows[i].id, id))
            return p->c->rows[i].verdict;
    return RBE_NOT_MEASURED;
}

/* Of two checks what both together come to. */
static enum rbe_verdict worse_of(enum rbe_verdict a, enum rbe_verdict b)
{
    return a == RBE_FAIL || b == RBE_FAIL ? RBE_FAIL : a > b ? a : b;
}

enum answer { SIZE, SPEED, QUALITY, MEMORY, ANSWERS };

/* Nothing is judged by recorded rows: whether their numbers meet the targets is all one can
 * say; RBE_NOT_MEASURED where there is no number. */
static enum rbe_verdict answer_of(const struct rbe_page *p, const struct figures *f,
                                  enum answer which)
{
    const struct {
        bool known, met;
    } recorded[ANSWERS] = {
        [SIZE] = {!isnan(f->m->bytes), f->m->bytes <= f->target_bytes},
        [SPEED] = {!isnan(f->ms) && !isnan(f->speedup),
                   RBE_MEETS(C2, f->ms) && RBE_MEETS(C2B, f->speedup)},
        [QUALITY] = {!isnan(f->change), f->change <= RBE_LIMIT(C3)},
        [MEMORY] = {!isnan(f->peak / f->base_peak), f->peak <= left() * f->base_peak},
    };

    if (f->recorded)
        return !recorded[which].known ? RBE_NOT_MEASURED
               : recorded[which].met ? RBE_PASS : RBE_FAIL;
    switch (which) {
    case SIZE: return verdict_of(p, f->model, "C1");
    case SPEED: return worse_of(verdict_of(p, f->model, "C2"), verdict_of(p, f->model, "C2b"));
    case QUALITY: return verdict_of(p, f->model, "C3");
    default: return verdict_of(p, f->model, "C1b");
    }
}

static void tile(const struct rbe_page *p, const struct figures *f, enum answer which,
                 const char *value, const char *note)
{
    static const char *const names[] = {"Size", "Speed", "Quality", "Memory"};
    const enum rbe_verdict v = answer_of(p, f, which);
    const char *word = f->recorded && v == RBE_PASS ? "MET"
                       : f->recorded && v == RBE_FAIL ? "MISSED" : rbe_verdict_name(v);

    rbe_document_tile(p->doc, names[which], word, value, note);
}

/* " text" with a number, or nothing for NAN. */
static void put_number(FILE *f, const char *before, double x, const char *after)
{
    if (!isnan(x))
        fprintf(f, "%s%.*f%s", before, fabs(x) < 10 ? 1 : 0, x, after);
}

static void put_megabytes(FILE *f, double bytes)
{
    char text[32];

    rbe_megabytes(text, sizeof text, bytes);
    fputs(text, f);
}

/* What a tile says below its value. */
static void put_note(FILE *out, const struct figures *f, enum answer which)
{
    switch (which) {
    case SIZE:
        fputs("Target: at most ", out);
        put_megabytes(out, f->target_bytes);
        fputs(", a tenth of f32", out);
        put_number(out, ". ", 4 * f->m->parameters / f->m->bytes, " times smaller than f32");
        put_number(out, ", ", f->f16_bytes / f->m->bytes, " times than f16");
        break;
    case SPEED:
        fprintf(out, "Target: below %.0f ms, and twice as fast as f32", RBE_LIMIT(C2));
        put_number(out, ". ", f->speedup, " times as fast as f32");
        put_number(out, ", ", f->f16_ms / f->ms, " times as f16");
        break;
    case QUALITY:
        fprintf(out, "Target: perplexity at most %.0f %% higher", RBE_LIMIT(C3));
        if (f->text)
            fprintf(out, ". %.5g instead of %.5g%s", RBE_NUMBER_AT(f->text->v, perplexity),
                    RBE_NUMBER_AT(f->text->v, base_perplexity),
                    RBE_TRUE_AT(f->text->v, complete) ? "" : ", on a part of the text");
        else if (f->m->label)
            fputs(". Generated weights predict nothing", out);
        if (f->text)
            put_number(out, ". Another most likely token at ", f->other, " % of positions");
        break;
    default:
        fputs("Target: a tenth of f32's peak", out);
        if (!isnan(f->base_peak)) {
            fputs(", at most ", out);
            put_megabytes(out, left() * f->base_peak);
            fprintf(out, ". It is %.0f %% of f32's", 100 * f->peak / f->base_peak);
        }
    }
    putc('.', out);
}

static void four_tiles(const struct rbe_page *p, const struct figures *f)
{
    for (int k = 0; k < ANSWERS; k++) {
        char value[64] = "-", *note = NULL;
        size_t size;
        FILE *out = open_memstream(&note, &size);
        if (!out) {
            rbe_shortage_note();
            return;
        }
        put_note(out, f, (enum answer)k);
        if (fclose(out))
            rbe_shortage_note();
        if (k == SIZE)
            rbe_megabytes(value, sizeof value, f->m->bytes);
        if (k == SPEED && f->time)
            snprintf(value, sizeof value, f->ms < 1000 ? "%.3g ms a token" : "%.0f ms a token",
                     f->ms);
        if (k == QUALITY && f->text)
            snprintf(value, sizeof value, "%.*f %% %s", fabs(f->change) < 100 ? 1 : 0,
                     fabs(f->change), f->change > 0 ? "worse" : "better");
        if (k == MEMORY && !isnan(f->peak))
            rbe_megabytes(value, sizeof value, f->peak);
        tile(p, f, (enum answer)k, value, note);
        free(note);
    }
}

/* What an original is called: weights that were generated by their shape. */
static const char *title_of(const struct rbe_model_seen *b)
{
    return b && b->label && rbe_is_gpt2_small(b) ? "GPT-2 small's shape"
           : rbe_text_or(b ? b->name : NULL, "A model");
}

static void measured_tiles(const struct rbe_page *p, int base, int model)
{
    const struct figures f = figures_of(p, base, model, false);

    rbe_document_tiles(p->doc, "%s as %s: %.1f million %s, measured in this run",
                       title_of(f.b), rbe_text_or(f.m->name, "?"), f.m->parameters / 1e6,
                       f.m->label ? "synthetic weights, not trained" : "weights");
    four_tiles(p, &f);
}

/* The comparison with the original on most of the text that was recorded, or NULL. */
static const struct rbe_row *recorded_text(const struct rbe_page *p, int base, int model)
{
    const struct rbe_row *best = NULL;

    for (size_t i = p->r->count; i < p->r->all; i++) {
        const struct rbe_row *row = &p->r->rows[i];
        if (!strcmp(row->kind, RBE_KIND(paired)) && rbe_model_of(p, row) == model &&
            rbe_results_model(p->r, RBE_VALUE_AT(row->v, base)) == base &&
            !strcmp(RBE_STRING_AT(row->v, protocol), RBE_CRITERIA_PROTOCOL) &&
            rbe_is_wikitext(row->v) &&
            (!best || RBE_NUMBER_AT(row->v, windows) > RBE_NUMBER_AT(best->v, windows)))
            best = row;
    }
    return best;
}

/* Of an original that was only recorded the RBE model that was timed, the nearest to 45 MB for
 * GPT-2 small; or -1. */
static int recorded_model(const struct rbe_page *p, int base)
{
    int best = -1;

    for (size_t i = 0; i < p->r->model_count; i++) {
        const struct rbe_model_seen *m = &p->r->models[i];
        if (m->rbe && !m->measured && m->base == base && timed(p, (int)i, 0, true) &&
            (best < 0 || fabs(m->bits - rbe_budget_bits()) <
             fabs(p->r->models[best].bits - rbe_budget_bits())))
            best = (int)i;
    }
    return best;
}

static void recorded_tiles(const struct rbe_page *p, int base)
{
    const int model = recorded_model(p, base);

    if (model < 0)
        return;
    struct figures f = figures_of(p, base, model, true);
    f.text = f.m->label ? NULL : recorded_text(p, base, model);
    f.change = f.text ? RBE_NUMBER_AT(f.text->v, percent_change) : NAN;
    rbe_document_tiles(
        p->doc, "%s as %s: %.1f million %s. Recorded %.10s on %s, %.0f CPUs, not by this run",
        title_of(f.b), rbe_text_or(f.m->name, "?"), f.m->parameters / 1e6,
        f.m->label ? "synthetic weights, not trained" : "weights",
        rbe_text_or(RBE_STRING_AT(f.time->v, time_utc), "?"),
        rbe_text_or(RBE_STRING_AT(f.time->v, machine, cpu), "another machine"),
        RBE_NUMBER_AT(f.time->v, machine, cores));
    four_tiles(p, &f);
}

/* Those of trained originals, or those with generated weights. */
static void all_recorded_tiles(const struct rbe_page *p, bool trained)
{
    for (size_t i = 0; i < p->r->model_count; i++)
        if (!p->r->models[i].rbe && !p->r->models[i].measured &&
            !p->r->models[i].label == trained)
            recorded_tiles(p, (int)i);
}

/* Originals that stand beside the judged one. */
enum others { REAL, TRAINED, GENERATED };

static enum others kind_of(const struct rbe_page *p, const struct rbe_criterion *c)
{
    return rbe_page_model(p, c->base)->label ? GENERATED
           : rbe_criterion_is_real(p->r, c) ? REAL : TRAINED;
}

static void other_tiles(const struct rbe_page *p, enum others kind)
{
    int last = -1;

    for (size_t i = p->c->judged; i < p->c->count; i++) {
        const struct rbe_criterion *c = &p->c->rows[i];
        if (c->at == last || kind_of(p, c) != kind)
            continue;
        last = c->at;
        measured_tiles(p, c->base, last);
    }
}

void rbe_page_tiles(const struct rbe_page *p)
{
    other_tiles(p, REAL);       /* a model that people use says more than ours */
    if (p->c->model >= 0)
        measured_tiles(p, p->c->base, p->c->model);
    other_tiles(p, TRAINED);
    other_tiles(p, GENERATED);
    all_recorded_tiles(p, true);
    all_recorded_tiles(p, false);
}

/* --- what one could ship instead ------------------------------------------------------- */

struct offer {
    int model;
    double bits, bytes, change, ms;
};

static int by_bits(const void *a, const void *b)
{
    const struct offer *x = a, *y = b;

    return (x->bits < y->bits) - (x->bits > y->bits);
}

/* The comparison of a model with its original on so many windows. */
static const struct rbe_row *text_of(const struct rbe_page *p, int base, int model,
                                     double windows)
{
    const struct rbe_row *row;
    size_t i = 0;

    while ((row = rbe_next(p, RBE_KIND(paired), &i)))
        if (rbe_model_of(p, row) == model &&
            rbe_results_model(p->r, RBE_VALUE_AT(row->v, base)) == base &&
            !strcmp(RBE_STRING_AT(row->v, protocol), RBE_CRITERIA_PROTOCOL) &&
            rbe_is_wikitext(row->v) && RBE_NUMBER_AT(row->v, windows) == windows)
            return row;
    return NULL;
}

/* Was the model timed in turns with `judged`? */
static bool same_run(const struct rbe_page *p, int judged, int model)
{
    const struct rbe_row *own = timed(p, judged, 0, false), *row;
    const char *group = own ? RBE_STRING_AT(own->v, group) : NULL;
    size_t i = 0;

    while (group && (row = rbe_next(p, RBE_KIND(inference), &i))) {
        const char *other = RBE_STRING_AT(row->v, group);
        if (rbe_model_of(p, row) == model && other && !strcmp(other, group))
            return true;
    }
    return false;
}

/* The models of the table, the original not among them; `list` has room for all. */
static size_t choices(const struct rbe_page *p, int base, int model, struct offer *list)
{
    const double windows = rbe_page_common_windows(p, base);
    size_t n = 0;

    for (size_t i = 0; i < p->r->model_count; i++) {
        const struct rbe_model_seen *m = &p->r->models[i];
        if ((int)i == base || m->base != base ||
            ((int)i != model && !same_run(p, model, (int)i)))
            continue;
        const struct rbe_row *text = text_of(p, base, (int)i, windows);
        list[n++] = (struct offer){
            (int)i, m->bits, m->bytes, text ? RBE_NUMBER_AT(text->v, percent_change) : NAN,
            ms_of(timed(p, (int)i, 0, false))};
    }
    qsort(list, n, sizeof *list, by_bits);
    return n;
}

/* "RBE", "int8", "f16"; of other programs' files that. */
static const char *format_name(const struct rbe_model_seen *m)
{
    const enum rbe_format f = rbe_format_by_name(rbe_text_or(m->codec, ""));

    if (!m->rbe)
        return "as given";
    if (f == RBE_FORMAT_COUNT || rbe_format_facts(f)->feedback)
        return "RBE";
    return rbe_format_name(f);
}

/* With two threads, or where there is no such row the last. */
static const struct rbe_row *usual_time(const struct rbe_page *p, int model)
{
    const struct rbe_row *row = timed(p, model, 2, false);

    return row ? row : timed(p, model, 0, false);
}

/* The rows of the table. */
enum quantity {
    FILE_MB, THAN_F32, THAN_F16, PEAK_MB, ONE_THREAD, TWO_THREADS, AS_F32, AS_F16, PROMPT,
    PERPLEXITY, CHANGE, DIVERGENCE, QUANTITIES
};

static const struct {
    const char *title, *format;
} quantities[QUANTITIES] = {
    [FILE_MB] = {"file, MB", "%.2f"},
    [THAN_F32] = {"times smaller than f32", "%.1f"},
    [THAN_F16] = {"times smaller than f16", "%.1f"},
    [PEAK_MB] = {"peak memory, MB", "%.1f"},
    [ONE_THREAD] = {"ms a token, 1 thread", "%.3g"},
    [TWO_THREADS] = {"ms a token, 2 threads", "%.3g"},
    [AS_F32] = {"times as fast as f32", "%.2f"},
    [AS_F16] = {"times as fast as f16", "%.2f"},
    [PROMPT] = {"prompt, tokens a second", "%.0f"},
    [PERPLEXITY] = {"perplexity", "%.5g"},
    [CHANGE] = {"change of it, %", "%+.2f"},
    [DIVERGENCE] = {"divergence, nats", "%.4f"},
};

/* The original's perplexity on so many windows. */
static double perplexity_of_base(const struct rbe_page *p, int base, double windows)
{
    const struct rbe_row *row;
    size_t i = 0;

    while ((row = rbe_next(p, RBE_KIND(paired), &i)))
        if (RBE_NUMBER_AT(row->v, windows) == windows && rbe_is_wikitext(row->v) &&
            !strcmp(RBE_STRING_AT(row->v, protocol), RBE_CRITERIA_PROTOCOL) &&
            rbe_results_model(p->r, RBE_VALUE_AT(row->v, base)) == base)
            return RBE_NUMBER_AT(row->v, base_perplexity);
    return NAN;
}

static void measured_of(double x[QUANTITIES], const struct rbe_page *p, int base, int model,
                        double windows)
{
    const struct rbe_model_seen *m = rbe_page_model(p, model);
    const bool original = model == base;
    const struct rbe_row *time = usual_time(p, model);
    const struct rbe_row *text = text_of(p, base, model, windows);
    const struct rbe_row *kl = rbe_results_last(p->r, RBE_KIND(divergence), model);

    x[FILE_MB] = 1e-6 * (original ? 4 * m->parameters : m->bytes);
    x[PEAK_MB] = 1e-6 * peak_of(p, model, false);
    x[ONE_THREAD] = ms_of(timed(p, model, 1, false));
    x[TWO_THREADS] = ms_of(timed(p, model, 2, false));
    x[PROMPT] = time ? RBE_NUMBER_AT(time->v, prefill, tokens_per_s) : NAN;
    x[PERPLEXITY] = text ? RBE_NUMBER_AT(text->v, perplexity)
                    : original ? perplexity_of_base(p, base, windows) : NAN;
    x[CHANGE] = text ? RBE_NUMBER_AT(text->v, percent_change) : NAN;
    x[DIVERGENCE] = kl ? RBE_NUMBER_AT(kl->v, kl, mean) : NAN;
}

/* A column for each format, the original (model[0]) first: what is compared stands side by
 * side.  What was measured of none is left out. */
static void decision_columns(const struct rbe_page *p, const int *model, size_t count,
                             int judged, double windows)
{
    const int f16 = f16_of(p, model[0]);
    const double f16_mb = 1e-6 * (f16 >= 0 ? rbe_page_model(p, f16)->bytes
                                  : 2 * rbe_page_model(p, model[0])->parameters);
    const double f32_ms = ms_of(usual_time(p, model[0])), f16_ms = ms_of(usual_time(p, f16));
    double (*x)[QUANTITIES] = calloc(count, sizeof *x);

    if (!x) {
        rbe_shortage_note();
        return;
    }
    rbe_document_cell(p->doc, "model");
    for (size_t i = 0; i < count; i++) {
        const double ms = ms_of(usual_time(p, model[i]));
        measured_of(x[i], p, model[0], model[i], windows);
        x[i][THAN_F32] = x[0][FILE_MB] / x[i][FILE_MB];
        x[i][THAN_F16] = f16_mb / x[i][FILE_MB];
        x[i][AS_F32] = f32_ms / ms;
        x[i][AS_F16] = f16_ms / ms;
        rbe_document_cell(p->doc, "%s", rbe_text_or(rbe_page_model(p, model[i])->name, "?"));
        if (model[i] == judged)
            rbe_document_mark(p->doc);
    }
    for (int k = 0; k < QUANTITIES; k++) {
        bool any = false;
        for (size_t i = 0; i < count; i++)
            any = any || !isnan(x[i][k]);
        if (!any && rbe_page_model(p, model[0])->label)
            continue;           /* generated weights predict nothing */
        rbe_document_cell(p->doc, "%s", quantities[k].title);
        for (size_t i = 0; i < count; i++)
            rbe_number_cell(p->doc, x[i][k] < 1000 ? quantities[k].format : "%.0f", x[i][k]);
    }
    free(x);
}

static void decision_table(const struct rbe_page *p, int base, int judged,
                           const struct offer *list, size_t count)
{
    const struct rbe_model_seen *b = rbe_page_model(p, base);
    const double windows = rbe_page_common_windows(p, base);
    int *model = calloc(count + 1, sizeof *model);
    char *titles = NULL, stored[32];
    size_t size;
    FILE *f = model ? open_memstream(&titles, &size) : NULL;

    if (!f) {
        rbe_shortage_note();
        free(model);
        return;
    }
    fputs("|>f32", f);
    model[0] = base;
    for (size_t i = 0; i < count; i++) {
        model[i + 1] = list[i].model;
        fprintf(f, "|>%s", format_name(rbe_page_model(p, list[i].model)));
    }
    if (fclose(f))
        rbe_shortage_note();
    if (base == p->c->base)
        rbe_document_heading(p->doc, 3, "What you could ship instead");
    else
        rbe_document_heading(p->doc, 3, "The same of %s", title_of(b));
    rbe_document_grid(p->doc, titles);
    decision_columns(p, model, count + 1, judged, windows);
    rbe_megabytes(stored, sizeof stored, b->bytes);
    if (b->label)
        rbe_document_paragraph(
            p->doc, "Synthetic weights and codes: time, file and memory do not depend on "
            "their values. The formats took turns, as above, in several launches of the "
            "program. f32 is what the original is computed in; its own file has %s (%.1f bits "
            "a weight). Times as fast are ratios of these medians; criterion C2b has the "
            "median of the launches' own ratios.", stored, b->bits);
    else
        rbe_document_paragraph(
            p->doc, "The formats took turns: the times with one thread are of one run, those "
            "with two of another; the perplexities are of one run over the first %.0f windows "
            "of the test text. Times are compared with two threads, where they were measured. "
            "f32 is what the original is computed in; its own file has %s (%.1f bits a "
            "weight).", windows, stored, b->bits);
    free(titles);
    free(model);
}

/* --- one sentence ---------------------------------------------------------------------- */

/* Another format that loses less than half as much, the smallest of them, or -1; *both: one
 * that is smaller and loses less. */
static int better_offer(const struct offer *list, size_t count, const struct offer *own,
                         int *both)
{
    int better = -1;

    *both = -1;
    for (size_t i = 0; i < count; i++) {
        const struct offer *c = &list[i];
        if (c->model == own->model || isnan(c->change) || isnan(c->bytes))
            continue;
        if (c->bytes < own->bytes && c->change < own->change)
            *both = (int)i;
        if (c->change < own->change / 2 && (better < 0 || c->bytes < list[better].bytes))
            better = (int)i;
    }
    return better;
}

static void put_offer(FILE *f, const struct rbe_page *p, const struct offer *c)
{
    const struct rbe_model_seen *m = rbe_page_model(p, c->model);
    const bool given = !m->rbe;

    fprintf(f, "%s is %.*f %% %s in ", given ? rbe_text_or(m->name, "?") : format_name(m),
            fabs(c->change) < 100 ? 1 : 0, fabs(c->change), c->change > 0 ? "worse" : "better");
    put_megabytes(f, c->bytes);
    if (!isnan(c->ms))
        fprintf(f, " and %.3g ms a token", c->ms);
}

static void put_reasons(FILE *f, const struct figures *x, const enum rbe_verdict *v)
{
    const char *before = " if you need ";

    if (v[SIZE] != RBE_FAIL) {
        fprintf(f, "%sa file of ", before);
        put_megabytes(f, x->m->bytes);
        fputs(" instead of ", f);
        put_megabytes(f, x->f16_bytes);
        fputs(" (f16)", f);
        before = " or ";
    }
    if (v[SPEED] == RBE_PASS) {
        fprintf(f, "%sa token in %.3g ms (%.1f times as fast as f32", before, x->ms,
                x->speedup);
        put_number(f, ", ", x->f16_ms / x->ms, " times as f16");
        fputs(")", f);
        before = " or ";
    }
    if (!isnan(x->change)) {
        fprintf(f, "%s accept predictions that are %.*f %% %s (by perplexity",
                *before == ' ' && before[1] == 'i' ? " if you" : ", and",
                fabs(x->change) < 100 ? 1 : 0, fabs(x->change),
                x->change > 0 ? "worse" : "better");
        /* A perplexity can come back by training while the predictions differ. */
        put_number(f, "; another most likely token at ", x->other, " % of positions");
        fputs(")", f);
    } else if (before[1] == 'i') {
        fputs(" you have measured more", f);
    }
}

/* Where the targets are missed.  *before is what stands before the next one. */
static void put_misses(FILE *f, const struct figures *x, const enum rbe_verdict *v,
                       const char **before)
{
    if (v[QUALITY] == RBE_FAIL || x->change > RBE_LIMIT(C3)) {
        fprintf(f, "%sthe predictions may be at most %.0f %% worse", *before, RBE_LIMIT(C3));
        *before = ", or if ";
    }
    if (v[SIZE] == RBE_FAIL) {
        fprintf(f, "%sthe file must be at most ", *before);
        put_megabytes(f, x->target_bytes);
        *before = ", or if ";
    }
    if (v[SPEED] == RBE_FAIL) {
        fprintf(f, "%sa token must take below %.0f ms and half the time of f32 (it takes %.3g "
                "ms, f32 %.3g ms)", *before, RBE_LIMIT(C2), x->ms, x->base_ms);
        *before = ", or if ";
    }
    if (v[MEMORY] == RBE_FAIL) {
        fprintf(f, "%sthe peak memory must be a tenth of f32's (it is ", *before);
        put_megabytes(f, x->peak);
        fprintf(f, ", %.0f %%)", 100 * x->peak / x->base_peak);
        *before = ", or if ";
    }
}

static void put_sentence(FILE *f, const struct rbe_page *p, const struct offer *list,
                         size_t count)
{
    const struct figures x = figures_of(p, p->c->base, p->c->model, false);
    struct offer own = {p->c->model, x.m->bits, x.m->bytes, x.change, x.ms};
    const char *before = "; not if ";
    enum rbe_verdict v[ANSWERS];
    int both;

    for (size_t i = 0; i < count; i++)
        if (list[i].model == p->c->model && !isnan(list[i].change))
            own = list[i];
    const int better = better_offer(list, count, &own, &both);
    for (int k = 0; k < ANSWERS; k++)
        v[k] = answer_of(p, &x, (enum answer)k);
    fprintf(f, "Use %s", rbe_text_or(x.m->name, "the encoded model"));
    put_reasons(f, &x, v);
    put_misses(f, &x, v, &before);
    if (both >= 0 || better >= 0) {
        fprintf(f, "%s%s: ", before,
                both >= 0 ? "another format is smaller and loses less" : "less may be lost");
        put_offer(f, p, &list[both >= 0 ? both : better]);
    } else if (before[0] == ';' && isnan(x.change)) {
        fputs("; not before its quality is measured", f);
    } else if (before[0] == ';') {
        fputs("; not if nothing may be lost", f);
    }
    fputs(".", f);
}

void rbe_page_decision(const struct rbe_page *p)
{
    struct offer *list = calloc(p->r->model_count + 1, sizeof *list);
    char *text = NULL;
    size_t size;
    FILE *f = list ? open_memstream(&text, &size) : NULL;

    if (!f) {
        rbe_shortage_note();
        free(list);
        return;
    }
    const size_t count = p->c->model >= 0 ? choices(p, p->c->base, p->c->model, list) : 0;
    if (p->c->model >= 0)
        put_sentence(f, p, list, count);
    else
        fputs("This run measured no encoded model.", f);
    if (fclose(f))
        rbe_shortage_note();
    rbe_document_verdict(p->doc, "%s", text);
    if (p->c->model >= 0 && p->c->base >= 0)
        decision_table(p, p->c->base, p->c->model, list, count);
    int last = -1;
    for (size_t i = p->c->judged; i < p->c->count; i++) {
        const struct rbe_criterion *c = &p->c->rows[i];
        if (c->at == last || kind_of(p, c) != GENERATED || !timed(p, c->at, 0, false))
            continue;
        last = c->at;
        decision_table(p, c->base, last, list, choices(p, c->base, last, list));
    }
    free(text);
    free(list);
}

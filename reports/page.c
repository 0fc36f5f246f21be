/*
 * page.c - what the report says first, and in which order the evidence follows.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rows.h"

void rbe_page_verdict(char *out, size_t size, const struct rbe_criteria *c)
{
    snprintf(out, size, "%zu of %zu checks pass, %zu fail, %zu within error, %zu not measured",
             c->pass, c->judged, c->fail, c->within_error, c->not_measured);
}

static void criteria_table(const struct rbe_page *p, bool other)
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
static size_t row_number(const struct rbe_page *p, const char *source)
{
    char at[RBE_CRITERION_TEXT];

    for (size_t i = 0; i < p->r->count; i++) {
        snprintf(at, sizeof at, "%s:%zu", p->r->rows[i].file, p->r->rows[i].line);
        if (!strcmp(at, source))
            return i + 1;
    }
    return 0;
}

/* "Encoded, NAME takes 4.23 MB instead of 46.82 MB ...": size, speed and quality. */
static void put_summary(const struct rbe_page *p, FILE *f)
{
    const struct rbe_model_seen *b = rbe_page_model(p, p->c->base);
    const struct rbe_model_seen *m = rbe_page_model(p, p->c->model);
    const struct rbe_row *time =
        rbe_criteria_timed(p->r, p->c->model, RBE_KEY(decode_median_ms));
    const struct rbe_row *base_time =
        rbe_criteria_timed(p->r, p->c->base, RBE_KEY(decode_median_ms));
    const struct rbe_row *text = rbe_criteria_paired(p->r, p->c->base, p->c->model);
    char bytes[32], original[32], crowd[64];

    if (!m) {
        fputs("This run measured no encoded model. ", f);
        return;
    }
    rbe_megabytes(bytes, sizeof bytes, m->bytes);
    rbe_megabytes(original, sizeof original, 4 * m->parameters);
    fprintf(f, "Encoded, %s (%.1f million weights) takes %s instead of %s",
            rbe_text_or(b ? b->name : m->name, "the model"), m->parameters / 1e6, bytes,
            original);
    if (b && b->label)
        fprintf(f, " (%s)", b->label);
    if (time) {
        const double ms = RBE_NUMBER_AT(time->v, decode_median_ms);
        const double times = RBE_NUMBER_AT(time->v, speedup);
        fprintf(f, "; it writes a token in %.3g ms", ms);
        if (base_time)
            fprintf(f, " instead of %.3g ms", RBE_NUMBER_AT(base_time->v, decode_median_ms));
        if (!isnan(times))
            fprintf(f, " (%.2f times as fast)", times);
        if (rbe_oversubscribed_row(time->v, crowd, sizeof crowd))
            fprintf(f, ", timed with %s", crowd);
    } else {
        fputs("; its speed was not measured", f);
    }
    if (text) {
        const double change = RBE_NUMBER_AT(text->v, percent_change);
        fprintf(f, "; its perplexity is %.2f instead of %.2f (%.*f %% %s)%s. ",
                RBE_NUMBER_AT(text->v, perplexity), RBE_NUMBER_AT(text->v, base_perplexity),
                fabs(change) < 100 ? 1 : 0, fabs(change), change > 0 ? "worse" : "better",
                RBE_TRUE_AT(text->v, complete) ? "" : ", on a part of the text only");
    } else {
        fputs("; its quality was not measured. ", f);
    }
}

static void list_verdicts(const struct rbe_page *p, enum rbe_verdict v)
{
    for (size_t i = 0; i < p->c->judged; i++) {
        const struct rbe_criterion *c = &p->c->rows[i];
        if (c->verdict == v)
            rbe_document_item(p->doc, "%s, %s: %s (wanted: %s; margin: %s)", c->id, c->what,
                              c->rbe, c->target, rbe_text_or(c->margin, "none"));
    }
}

/* The summary in one box, then each check that failed, or may have. */
static void summary(const struct rbe_page *p)
{
    char verdict[128], *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f) {
        rbe_shortage_note();
        return;
    }
    put_summary(p, f);
    rbe_page_verdict(verdict, sizeof verdict, p->c);
    fprintf(f, "%s.", verdict);
    if (fclose(f))
        rbe_shortage_note();
    rbe_document_verdict(p->doc, "%s", text);
    free(text);
    if (p->c->fail)
        rbe_document_paragraph(p->doc, "Failed:");
    list_verdicts(p, RBE_FAIL);
    if (p->c->within_error)
        rbe_document_paragraph(p->doc, "Within the error of the measurement:");
    list_verdicts(p, RBE_WITHIN_ERROR);
}

static enum rbe_status first_screen(const struct rbe_page *p)
{
    const struct rbe_model_seen *b = rbe_page_model(p, p->c->base);
    enum rbe_status err;

    rbe_document_heading(p->doc, 1, "Does a language model still work at a tenth of its size?");
    rbe_document_paragraph(p->doc,
        "A language model such as GPT-2 is a large table of numbers, its weights. Riemannian "
        "Basis Encoding (RBE) stores them as short seeds and generates them anew while it "
        "multiplies, in about 2.9 bits a weight instead of 32. A book chapter promises eleven "
        "things of it, C1 to C11: a tenth of the memory, twice the speed, at most 5 %% worse "
        "predictions, and so on. Some are checked in two or three ways (C1 and C1b), which "
        "makes %zu checks. This page says which of them hold, measured.", p->c->judged);
    summary(p);
    rbe_document_paragraph(p->doc,
        "A token is a word or a piece of one: a model reads and writes text token by token. "
        "Perplexity says how well it predicts: among how many equally likely tokens it would "
        "have to guess the next one. Lower is better. The original is the same model with "
        "32-bit numbers (f32), run by the same program on the same machine.");
    if (rbe_is_shipped(b))
        rbe_document_paragraph(p->doc,
            "rbe-mini has the architecture of GPT-2 and a tenth of its parameters; it ships "
            "with the project. It is not GPT-2: where a promise is a number of GPT-2 small "
            "alone, the table says NOT MEASURED.");
    if ((err = rbe_page_rate_plot(p)))
        return err;
    rbe_document_heading(p->doc, 2, "The promises, one by one");
    criteria_table(p, false);
    rbe_document_paragraph(p->doc,
        "PASS: the target is met. FAIL: it is missed, by the margin. WITHIN ERROR: the "
        "interval of the measurement contains the target, so that neither is shown. NOT "
        "MEASURED: no run has measured it; the table below says why. A positive margin is room "
        "to spare; intervals in parentheses are 95 %% confidence intervals, and a number that "
        "has one passes, or fails, only when all of it does.");
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
        rbe_document_cell(p->doc, "%s", rbe_text_or(c->source, "-"));
        const size_t number = row_number(p, c->source);
        if (number)
            rbe_document_link(p->doc, number);
    }
    return RBE_OK;
}

enum rbe_status rbe_page_write(struct rbe_document *doc, const struct rbe_results *r,
                               const struct rbe_criteria *c, struct rbe_plotter *plotter,
                               struct rbe_diag *d)
{
    const struct rbe_page p = {doc, r, c, plotter, d};
    enum rbe_status err;

    if ((err = first_screen(&p)))
        return err;
    rbe_section_failed_steps(&p);
    if ((err = rbe_section_rate(&p)) || (err = rbe_section_codecs(&p)) ||
        (err = rbe_section_recovery(&p)) || (err = rbe_section_allocation(&p)) ||
        (err = rbe_section_speed(&p)) || (err = rbe_section_conversation(&p)) ||
        (err = rbe_section_divergence(&p)))
        return err;
    rbe_section_generation(&p);
    rbe_section_comprehension(&p);
    rbe_section_provenance(&p);
    return rbe_section_raw_rows(&p);
}

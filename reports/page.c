/*
 * page.c - what the report says first, and in which order the evidence follows.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <string.h>

#include "base/rows.h"

void rbe_page_verdict(char *out, size_t size, const struct rbe_criteria *c)
{
    snprintf(out, size, "%zu of %zu checks pass, %zu fail, %zu within error, %zu not measured",
             c->pass, c->judged, c->fail, c->within_error, c->not_measured);
}

static void criteria_row(const struct rbe_page *p, const struct rbe_criterion *c, bool model)
{
    rbe_document_cell(p->doc, "%s", c->id);
    rbe_document_cell(p->doc, "%s", c->what);
    rbe_document_cell(p->doc, "%s", rbe_verdict_name(c->verdict));
    rbe_document_cell(p->doc, "%s", c->target);
    rbe_document_cell(p->doc, "%s", c->original);
    rbe_document_cell(p->doc, "%s", c->rbe);
    rbe_document_cell(p->doc, "%s", c->margin);
    if (model)
        rbe_document_cell(p->doc, "%s", c->model);
}

/* Is it what a real model loses, which stands before all others? */
static bool is_first(const struct rbe_page *p, const struct rbe_criterion *c)
{
    return !strcmp(c->id, rbe_limits[RBE_LIMIT_C3].id) && rbe_criterion_is_real(p->r, c);
}

/* Each criterion with all the models that it was judged on, one below the other. */
static void criteria_table(const struct rbe_page *p)
{
    const bool others = p->c->count > p->c->judged;

    rbe_document_table(p->doc,
                       others ? "|promise|verdict|target|original (f32)|RBE|margin|model"
                              : "|promise|verdict|target|original (f32)|RBE|margin");
    for (size_t i = p->c->judged; i < p->c->count; i++)
        if (is_first(p, &p->c->rows[i]))
            criteria_row(p, &p->c->rows[i], others);
    for (size_t i = 0; i < p->c->judged; i++)
        for (size_t k = i; k < p->c->count; k = k < p->c->judged ? p->c->judged : k + 1) {
            const struct rbe_criterion *c = &p->c->rows[k];
            if (c->limit == p->c->rows[i].limit && !is_first(p, c))
                criteria_row(p, c, others);
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

static void list_verdicts(const struct rbe_page *p, enum rbe_verdict v)
{
    for (size_t i = 0; i < p->c->judged; i++) {
        const struct rbe_criterion *c = &p->c->rows[i];
        if (c->verdict == v)
            rbe_document_item(p->doc, "%s, %s: %s (wanted: %s; margin: %s)", c->id, c->what,
                              c->rbe, c->target, rbe_text_or(c->margin, "none"));
    }
}

/* Each check that failed, or may have. */
static void misses(const struct rbe_page *p)
{
    char verdict[128];

    rbe_page_verdict(verdict, sizeof verdict, p->c);
    rbe_document_paragraph(p->doc, "%s.", verdict);
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

    if (b)
        rbe_document_heading(p->doc, 1, "May I ship %s as RBE?", rbe_text_or(b->name, "it"));
    else
        rbe_document_heading(p->doc, 1, "May I ship a model as RBE?");
    rbe_page_tiles(p);
    rbe_page_decision(p);
    if ((err = rbe_page_lead_plot(p)))
        return err;
    rbe_document_contents(p->doc);
    return RBE_OK;
}

/* What a reader must know to read the numbers. */
static void words(const struct rbe_page *p)
{
    rbe_document_heading(p->doc, 2, "What the words mean");
    rbe_document_paragraph(p->doc,
        "A language model such as GPT-2 is a large table of numbers, its weights. Riemannian "
        "Basis Encoding (RBE) stores them as short seeds and generates the weights from the "
        "seeds while it multiplies: about 2.9 bits a weight instead of 32.");
    rbe_document_paragraph(p->doc,
        "A token is a word or a piece of one: a model reads and writes text token by token. "
        "Perplexity says how well it predicts: among how many equally likely tokens it would "
        "have to guess the next one. Lower is better. Divergence (in nats) says how far its "
        "predictions are from the original's; 0 means no difference. The original is the same "
        "model with 32-bit numbers (f32), run by the same program on the same machine; f16 "
        "are 16-bit numbers, int8 and int4 whole numbers of 8 and 4 bits with a scale for each "
        "group.");
    if (rbe_is_shipped(rbe_page_model(p, p->c->base)))
        rbe_document_paragraph(p->doc,
            "rbe-mini has the architecture of GPT-2 and a tenth of its parameters; it ships "
            "with the project. It is not GPT-2: where a promise is a number of GPT-2 small "
            "alone, the table says NOT MEASURED.");
}

/* Returns the number of the table. */
static size_t promises(const struct rbe_page *p)
{
    rbe_document_heading(p->doc, 2, "The promises, one by one");
    rbe_document_paragraph(p->doc,
        "The targets are those of chapter 8 of a book on Riemannian Basis Encoding, in Korean. "
        "The chapter's title means \"GPT-2 RBE conversion: practical compression of large "
        "language models\"; the title of the book is not known to this project. It promises "
        "eleven things, C1 to C11: a tenth of the memory, twice the speed, at most 5 %% worse "
        "predictions, and so on. Some are checked in two or three ways (C1 and C1b), which "
        "makes %zu checks.", p->c->judged);
    const size_t table = rbe_document_tables(p->doc);
    criteria_table(p);
    misses(p);
    rbe_document_paragraph(p->doc,
        "PASS: the target is met. FAIL: it is missed, by the margin. WITHIN ERROR: the "
        "interval of the measurement contains the target, so that neither is shown. NOT "
        "MEASURED: no run has measured it; the table below says why. A positive margin is "
        "better than the target; intervals in parentheses are 95 %% confidence intervals, and "
        "a number that has one passes, or fails, only when all of it does.");
    rbe_document_heading(p->doc, 3, "How each was measured, or why not");
    rbe_document_table(p->doc, "|verdict|measured on|how, or why not|raw row");
    for (size_t i = 0; i < p->c->count; i++) {
        const struct rbe_criterion *c = &p->c->rows[i];
        rbe_document_cell(p->doc, "%s", c->id);
        rbe_document_cell(p->doc, "%s", rbe_verdict_name(c->verdict));
        rbe_document_cell(p->doc, "%s", c->model);
        rbe_document_cell(p->doc, "%s%s%s", c->how, c->projection[0] ? "; " : "",
                          c->projection);
        rbe_document_cell(p->doc, "%s", rbe_text_or(c->source, "-"));
        const size_t number = row_number(p, c->source);
        if (number)
            rbe_document_link(p->doc, number);
    }
    return table;
}

enum rbe_status rbe_page_write(struct rbe_document *doc, const struct rbe_results *r,
                               const struct rbe_criteria *c, struct rbe_plotter *plotter,
                               size_t *criteria, struct rbe_diag *d)
{
    const struct rbe_page p = {doc, r, c, plotter, d};
    enum rbe_status err;

    if ((err = first_screen(&p)))
        return err;
    words(&p);
    *criteria = promises(&p);
    rbe_section_failed_steps(&p);
    if ((err = rbe_section_rate(&p)) || (err = rbe_section_speed(&p)) ||
        (err = rbe_section_conversation(&p)))
        return err;
    rbe_section_generation(&p);
    rbe_section_comprehension(&p);
    if ((err = rbe_section_divergence(&p)) || (err = rbe_section_recovery(&p)) ||
        (err = rbe_section_allocation(&p)) || (err = rbe_section_codecs(&p)) ||
        (err = rbe_section_kernels(&p)))
        return err;
    rbe_section_provenance(&p);
    return rbe_section_raw_rows(&p);
}

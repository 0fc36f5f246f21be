/*
 * page.c - what the report says first, and in which order the evidence follows.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <stdlib.h>
#include <string.h>

void rbe_page_verdict(char *out, size_t size, const struct rbe_criteria *c)
{
    snprintf(out, size, "%zu of %zu checks pass, %zu fail, %zu not measured", c->pass,
             c->judged, c->fail, c->not_measured);
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

static void first_screen(const struct rbe_page *p)
{
    const struct rbe_model_seen *b = rbe_page_model(p, p->c->base);
    const struct rbe_model_seen *m = rbe_page_model(p, p->c->model);
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
                             "f32, %s as %s.", verdict, rbe_text_or(b->name, "?"),
                             m->parameters / 1e6, original, bytes, rbe_text_or(m->name, "RBE"));
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

enum rbe_status rbe_page_write(struct rbe_document *doc, const struct rbe_results *r,
                               const struct rbe_criteria *c, struct rbe_plotter *plotter,
                               struct rbe_diag *d)
{
    const struct rbe_page p = {doc, r, c, plotter, d};
    enum rbe_status err;

    first_screen(&p);
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

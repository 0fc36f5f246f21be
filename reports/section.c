/*
 * section.c - rows found, and cells of tables filled.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rows.h"

const struct rbe_model_seen *rbe_page_model(const struct rbe_page *p, int i)
{
    return i < 0 ? NULL : &p->r->models[i];
}

const char *rbe_text_or(const char *s, const char *other)
{
    return s && *s ? s : other;
}

void rbe_number_cell(struct rbe_document *doc, const char *format, double x)
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

void rbe_megabytes_cell(struct rbe_document *doc, double bytes)
{
    char text[32];

    rbe_megabytes(text, sizeof text, bytes);
    rbe_document_cell(doc, "%s", isnan(bytes) ? "-" : text);
}

void rbe_share_cell(struct rbe_document *doc, double share, const json_t *interval)
{
    if (isnan(share) || !interval)
        rbe_number_cell(doc, "%.1f %%", 100 * share);
    else
        rbe_document_cell(doc, "%.1f %% (%.1f to %.1f)", 100 * share,
                          100 * json_number_value(json_array_get(interval, 0)),
                          100 * json_number_value(json_array_get(interval, 1)));
}

/* "name" or "name (synthetic ...)". */
static void model_cell(const struct rbe_page *p, int i)
{
    const struct rbe_model_seen *m = rbe_page_model(p, i);

    if (m)
        rbe_document_cell(p->doc, "%s%s%s%s", rbe_text_or(m->name, "?"), m->label ? " (" : "",
                          m->label ? m->label : "", m->label ? ")" : "");
    else
        rbe_document_cell(p->doc, "-");
}

int rbe_model_of(const struct rbe_page *p, const struct rbe_row *row)
{
    return rbe_results_model(p->r, RBE_VALUE_AT(row->v, model));
}

const struct rbe_row *rbe_next(const struct rbe_page *p, const char *kind, size_t *i)
{
    while (*i < p->r->count) {
        const struct rbe_row *row = &p->r->rows[(*i)++];
        if (!strcmp(row->kind, kind))
            return row;
    }
    return NULL;
}

const struct rbe_row *rbe_next_of_all(const struct rbe_page *p, const char *kind,
                                      size_t *i)
{
    const struct rbe_row *row = rbe_next(p, kind, i);

    while (!row && *i < p->r->all) {
        row = &p->r->rows[(*i)++];
        if (strcmp(row->kind, kind))
            row = NULL;
    }
    return row;
}

bool rbe_page_any(const struct rbe_page *p, const char *kind)
{
    size_t i = 0;

    return rbe_next(p, kind, &i) != NULL;
}

bool rbe_any_of_all(const struct rbe_page *p, const char *kind)
{
    size_t i = 0;
    return rbe_next_of_all(p, kind, &i) != NULL;
}

/* Why a step of the run failed or was left out, or NULL. */
static const char *step_reason(const struct rbe_page *p, const char *name)
{
    const struct rbe_row *row;
    size_t i = 0;

    while (name && (row = rbe_next(p, RBE_KIND(step), &i)))
        if (!RBE_TRUE_AT(row->v, ok) && !strcmp(RBE_STRING_AT(row->v, step), name))
            return rbe_text_or(RBE_STRING_AT(row->v, reason), "no reason given");
    return NULL;
}

bool rbe_page_has(const struct rbe_page *p, const char *kind, const char *step, const char *why)
{
    size_t i = 0;

    if (rbe_next(p, kind, &i))
        return true;
    const bool recorded = rbe_any_of_all(p, kind);
    const char *reason = step_reason(p, step);
    rbe_document_paragraph(p->doc, "NOT MEASURED%s: %s%s%s.%s",
                           recorded ? " in this run" : "", reason ? "the step '" : why,
                           reason ? step : "", reason ? "' did not run" : "",
                           recorded ? " What follows was recorded at another time." : "");
    if (reason)
        rbe_document_paragraph(p->doc, "It said: %s", reason);
    return recorded;
}

bool rbe_row_recorded(const struct rbe_page *p, const struct rbe_row *row)
{
    return row >= p->r->rows + p->r->count;
}

void rbe_row_begin(const struct rbe_page *p, const struct rbe_row *row)
{
    if (!rbe_row_recorded(p, row) || rbe_document_is_apart(p->doc))
        return;
    rbe_document_apart(p->doc, "Recorded earlier, not by this run (%s, %.0f CPUs):",
                       rbe_text_or(RBE_STRING_AT(row->v, machine, cpu), "machine not named"),
                       RBE_NUMBER_AT(row->v, machine, cores));
}

void rbe_row_model_cell(const struct rbe_page *p, const struct rbe_row *row)
{
    rbe_row_begin(p, row);
    const struct rbe_model_seen *m = rbe_page_model(p, rbe_model_of(p, row));

    if (rbe_row_recorded(p, row))
        rbe_document_cell(p->doc, "%s (%s%srecorded %.10s)",
                          m ? rbe_text_or(m->name, "?") : "?", m && m->label ? m->label : "",
                          m && m->label ? "; " : "",
                          rbe_text_or(RBE_STRING_AT(row->v, time_utc), "?"));
    else
        model_cell(p, rbe_model_of(p, row));
}

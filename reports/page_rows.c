/*
 * page_rows.c - failed steps, machines, and the rows themselves.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rows.h"

/* --- provenance ------------------------------------------------------------------------ */

void rbe_section_failed_steps(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0, failed = 0;

    while ((row = rbe_next(p, RBE_KIND(step), &i)))
        failed += !RBE_TRUE_AT(row->v, ok);
    if (failed) {
        rbe_document_heading(p->doc, 2, "Steps that failed or were left out");
        rbe_document_table(p->doc, "step|reason");
        i = 0;
        while ((row = rbe_next(p, RBE_KIND(step), &i)))
            if (!RBE_TRUE_AT(row->v, ok)) {
                char step[96];
                rbe_step_name(step, row->v);
                rbe_document_cell(p->doc, "%s", step);
                rbe_document_cell(p->doc, "%s",
                                  rbe_text_or(RBE_STRING_AT(row->v, reason), "?"));
            }
    }
}

static bool same_machine(const json_t *a, const json_t *b)
{
    static const char *const paths[] = {
        RBE_KEY(machine, cpu),       RBE_KEY(machine, arch),   RBE_KEY(machine, cores),
        RBE_KEY(machine, cpu_quota), RBE_KEY(machine, kernel), RBE_KEY(machine, isa),
        RBE_KEY(machine, emulator),  RBE_KEY(commit),          RBE_KEY(dirty)};
    bool same = true;

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const json_t *x = rbe_value_at(a, paths[i]), *y = rbe_value_at(b, paths[i]);
        same &= x == y || json_equal(x, y);
    }
    return same;
}

void rbe_section_provenance(const struct rbe_page *p)
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
            again = same_machine(p->r->rows[k].v, v) &&
                    (k < p->r->count) == (i < p->r->count);
        if (again || !RBE_STRING_AT(v, machine, cpu))
            continue;
        shown++;
        rbe_document_cell(p->doc, "%s", RBE_STRING_AT(v, machine, cpu));
        const char *emulator = RBE_STRING_AT(v, machine, emulator);
        rbe_document_cell(p->doc, "%s%s%s", rbe_text_or(RBE_STRING_AT(v, machine, arch), "-"),
                          emulator ? ", emulated by " : "", emulator ? emulator : "");
        const double quota = RBE_NUMBER_AT(v, machine, cpu_quota);
        if (isnan(quota))
            rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(v, machine, cores));
        else
            rbe_document_cell(p->doc, "%.0f, quota of %.3g", RBE_NUMBER_AT(v, machine, cores),
                              quota);
        rbe_megabytes_cell(p->doc, RBE_NUMBER_AT(v, machine, memory_bytes));
        rbe_document_cell(p->doc, "%s", rbe_text_or(RBE_STRING_AT(v, machine, kernel), "-"));
        const json_t *isa = RBE_VALUE_AT(v, machine, isa);
        if (json_is_array(isa)) {
            char list[256] = "";
            for (size_t k = 0; k < json_array_size(isa); k++)
                snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", k ? " " : "",
                         rbe_text_or(json_string_value(json_array_get(isa, k)), "?"));
            rbe_document_cell(p->doc, "%s", list);
        } else {
            rbe_document_cell(p->doc, "%s", rbe_text_or(json_string_value(isa), "-"));
        }
        rbe_document_cell(p->doc, "%.12s%s", rbe_text_or(RBE_STRING_AT(v, commit), "-"),
                          RBE_TRUE_AT(v, dirty) ? " and changes" : "");
        rbe_document_cell(p->doc, "%s%s", i < p->r->count ? "" : "recorded ",
                          rbe_text_or(RBE_STRING_AT(v, time_utc), "-"));
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
                    rbe_text_or(RBE_STRING_AT(row->v, command), "-"));
        }
        if (fclose(f))
            rbe_shortage_note();
        rbe_document_verbatim(p->doc, "%s", text);
        free(text);
    } else {
        rbe_shortage_note();
    }
    rbe_document_unfold(p->doc);
    for (i = 0; i < p->r->note_count; i++)
        rbe_document_paragraph(p->doc, "Note: %s.", p->r->notes[i]);
}

void rbe_page_bench_file(char out[32], size_t i)
{
    snprintf(out, 32, i ? "bench_%zu.json" : "bench.json", i + 1);
}

/* Every row as it was read, which the criteria link to. */
enum rbe_status rbe_section_raw_rows(const struct rbe_page *p)
{
    /* A conversation's row holds the time of every token: such stand beside the page only. */
    enum { TOO_LONG = 128 * 1024 };
    char file[32];

    rbe_document_heading(p->doc, 2, "Raw rows");
    rbe_document_paragraph(p->doc, "Every row that this page was made from, as the programs "
                           "wrote it, is on a line of " RBE_DOCUMENT_RAW " next to this page "
                           "(index.html also has them below); the results of rbe-bench are in "
                           "separate files.");
    rbe_document_file(p->doc, RBE_DOCUMENT_RAW, "%s: %zu rows", RBE_DOCUMENT_RAW, p->r->all);
    for (size_t i = 0; i < p->r->bench_count; i++) {
        rbe_page_bench_file(file, i);
        rbe_document_file(p->doc, file, "%s: %zu results of rbe-bench, from %s", file,
                          json_array_size(RBE_VALUE_AT(p->r->bench[i], benchmarks)),
                          p->r->bench_file[i]);
    }
    for (size_t i = 0; i < p->r->all; i++) {
        const struct rbe_row *row = &p->r->rows[i];
        char *text = json_dumps(row->v, JSON_COMPACT | JSON_PRESERVE_ORDER);
        const char *model = RBE_STRING_AT(row->v, model, name);
        if (!text)
            return RBE_ERR_NOMEM;
        rbe_document_raw(p->doc, i + 1, strlen(text) > TOO_LONG ? NULL : text, "%s:%zu %s%s%s",
                         row->file, row->line, row->kind, model ? ", " : "",
                         model ? model : "");
        free(text);
    }
    return RBE_OK;
}

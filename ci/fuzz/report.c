/*
 * report.c - what is done with results that were read.
 *
 * SPDX-License-Identifier: MIT
 */
#include "ci/fuzz/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ci/fuzz/fuzz.h"
#include "reports/page.h"

static void write_page(const struct rbe_document *doc, size_t size)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);

    if (size % 8 == 0)
        FUZZ_NEED(!rbe_document_html(doc, "title", f));
    else if (size % 8 == 1)
        FUZZ_NEED(!rbe_document_markdown(doc, f));
    else if (size % 8 == 2)
        rbe_document_print_table(doc, 0, 7, 72, f);
    fclose(f);
    free(text);
}

bool rbe_fuzz_report(const char *folder, size_t size)
{
    struct rbe_results *r;
    struct rbe_criteria c;
    struct rbe_document *doc = NULL;
    size_t table;
    struct rbe_diag d = {""};

    if (!rbe_fuzz_said(rbe_results_open(&r, folder, &d), &d))
        return false;
    mkdir(rbe_fuzz_path("plots"), 0700);
    /* No gnuplot: the numbers of the plots are written, nothing is drawn. */
    struct rbe_plotter plotter = {.folder = (char *)(uintptr_t)rbe_fuzz_folder()};
    if (rbe_fuzz_said(rbe_criteria_judge(&c, r, NULL, &d), &d)) {
        FUZZ_NEED(!rbe_document_open(&doc, &d));
        if (rbe_fuzz_said(rbe_page_write(doc, r, &c, &plotter, &table, &d), &d))
            write_page(doc, size);
        rbe_document_close(&doc);
        rbe_criteria_free(&c);
    }
    rbe_results_close(&r);
    return true;
}

void rbe_fuzz_compare(const struct rbe_figures *f)
{
    struct rbe_compare_options o = rbe_compare_defaults();
    struct rbe_comparison c;
    struct rbe_diag d = {""};

    o.resamples = 10;
    o.other_machine = true;
    if (rbe_fuzz_said(rbe_compare(&c, f, f, &o, &d), &d)) {
        FUZZ_NEED(c.count == f->count && !c.missing && !c.added);
        rbe_comparison_free(&c);
    }
}

/*
 * page.h - the report: what is said, in which order.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_REPORTS_PAGE_H
#define RBE_REPORTS_PAGE_H

#include "reports/criteria.h"
#include "reports/document.h"
#include "reports/plots.h"
#include "reports/results.h"

/* Fills doc; *criteria: the number of the criteria's table. */
enum rbe_status rbe_page_write(struct rbe_document *doc, const struct rbe_results *r,
                               const struct rbe_criteria *c, struct rbe_plotter *plotter,
                               size_t *criteria, struct rbe_diag *d);

/* "7 of 16 checks pass, 4 fail, 5 not measured". */
void rbe_page_verdict(char *out, size_t size, const struct rbe_criteria *c);

/* The name beside the page of the i-th of Google Benchmark's documents. */
void rbe_page_bench_file(char out[32], size_t i);

#endif

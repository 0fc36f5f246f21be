/*
 * document.h - a report as a list of blocks, written as HTML or Markdown.
 *
 * SPDX-License-Identifier: MIT
 *
 * Text is plain; each writer escapes what its language needs.  Functions that add return
 * nothing: the first failure (out of memory) sticks and the writers return it, nothing written.
 */
#ifndef RBE_REPORTS_DOCUMENT_H
#define RBE_REPORTS_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/status.h"

struct rbe_document;

enum rbe_status rbe_document_open(struct rbe_document **out, struct rbe_diag *d);
void rbe_document_close(struct rbe_document **doc);

void rbe_document_heading(struct rbe_document *doc, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void rbe_document_paragraph(struct rbe_document *doc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The one sentence that the report comes down to. */
void rbe_document_verdict(struct rbe_document *doc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A line of a list. */
void rbe_document_item(struct rbe_document *doc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Text kept as it is: command lines, samples. */
void rbe_document_verbatim(struct rbe_document *doc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Blocks between these fold away behind a line of text. */
void rbe_document_fold(struct rbe_document *doc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void rbe_document_unfold(struct rbe_document *doc);

/* A picture: SVG text put into the page (copied), and the name of the PNG for Markdown. */
void rbe_document_plot(struct rbe_document *doc, const char *svg, const char *png,
                       const char *caption);

/* A table: begins with its column titles, separated by '|'; a title that starts with '>'
 * holds numbers and is set flush right.  Then row after row of as many cells. */
void rbe_document_table(struct rbe_document *doc, const char *columns);
void rbe_document_cell(struct rbe_document *doc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The cell added last becomes a link to what rbe_document_raw() adds under this number. */
void rbe_document_link(struct rbe_document *doc, size_t number);
/* A link to a file beside the page. */
void rbe_document_file(struct rbe_document *doc, const char *file, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Evidence to link to, folded away: `text` word for word, or NULL where it is too long for the
 * page.  Then, and in Markdown, links go to line `number` of RBE_DOCUMENT_RAW beside the page,
 * which the caller writes. */
#define RBE_DOCUMENT_RAW "rows.jsonl"
void rbe_document_raw(struct rbe_document *doc, size_t number, const char *text,
                      const char *title, ...) __attribute__((format(printf, 4, 5)));

enum rbe_status rbe_document_html(const struct rbe_document *doc, const char *title, FILE *f);
enum rbe_status rbe_document_markdown(const struct rbe_document *doc, FILE *f);

/* Table number `table`, from 0, as aligned columns; columns beyond `columns` are left out
 * and cells are cut at `width` characters. */
void rbe_document_print_table(const struct rbe_document *doc, size_t table, size_t columns,
                              size_t width, FILE *f);
#endif

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
/* Tiles side by side, each one answer: a name, a verdict (a word that a cell is coloured by, or
 * ""), the value, and what it is held against.  `caption` says what they are of. */
void rbe_document_tiles(struct rbe_document *doc, const char *caption, ...)
    __attribute__((format(printf, 2, 3)));
void rbe_document_tile(struct rbe_document *doc, const char *name, const char *verdict,
                       const char *value, const char *note);
/* Links to the headings of level 2 that follow. */
void rbe_document_contents(struct rbe_document *doc);
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

/* A picture: SVG text put into the page (copied), and the name of the PNG for Markdown.  PHONE:
 * the plot that follows, drawn for a narrow screen, which shows it instead. */
enum rbe_plot_shape { RBE_PLOT_USUAL, RBE_PLOT_WIDE, RBE_PLOT_PHONE };
void rbe_document_plot(struct rbe_document *doc, const char *svg, const char *png,
                       const char *caption, enum rbe_plot_shape shape);

/* A table: begins with its column titles, separated by '|'; a title that starts with '>'
 * holds numbers and is set flush right.  Then row after row of as many cells. */
void rbe_document_table(struct rbe_document *doc, const char *columns);
void rbe_document_cell(struct rbe_document *doc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A table of numbers that are compared along its rows: it stays one on a narrow screen. */
void rbe_document_grid(struct rbe_document *doc, const char *columns);
/* The rows that follow stand in a table of their own with the same columns, below this text. */
void rbe_document_apart(struct rbe_document *doc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Is the table that was begun last one of those? */
bool rbe_document_is_apart(const struct rbe_document *doc);
/* Tables begun so far. */
size_t rbe_document_tables(const struct rbe_document *doc);
/* The column of the cell added last stands out. */
void rbe_document_mark(struct rbe_document *doc);
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

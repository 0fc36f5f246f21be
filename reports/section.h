/*
 * section.h - what the sections of the page share, and the sections, each in its page_*.c.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_REPORTS_SECTION_H
#define RBE_REPORTS_SECTION_H

#include "reports/page.h"

/* What every section needs. */
struct rbe_page {
    struct rbe_document *doc;
    const struct rbe_results *r;
    const struct rbe_criteria *c;
    struct rbe_plotter *plotter;
    struct rbe_diag *d;
};

/* --- rows ---------------------------------------------------------------------------- */

/* The next measured row of a kind from index *i on, or NULL; *i moves behind it. */
const struct rbe_row *rbe_next(const struct rbe_page *p, const char *kind, size_t *i);
/* The same, recorded rows included: they come last. */
const struct rbe_row *rbe_next_of_all(const struct rbe_page *p, const char *kind, size_t *i);
bool rbe_any_of_all(const struct rbe_page *p, const char *kind);
/* Was any measured in this run? */
bool rbe_page_any(const struct rbe_page *p, const char *kind);
/*
 * Says that no row of a kind was measured in this run, and why: the step of the run that was to
 * measure it and failed (its name is `step`, or NULL), else `why`.  False when there
 * are no recorded rows to show, either.
 */
bool rbe_page_has(const struct rbe_page *p, const char *kind, const char *step,
                  const char *why);
bool rbe_row_recorded(const struct rbe_page *p, const struct rbe_row *row);

/* The model of an index, NULL for -1; the index of a row's model, or -1. */
const struct rbe_model_seen *rbe_page_model(const struct rbe_page *p, int i);
int rbe_model_of(const struct rbe_page *p, const struct rbe_row *row);

/* --- cells of the table that was begun last ---------------------------------------------- */

/* s, or `other` where s is NULL or empty. */
const char *rbe_text_or(const char *s, const char *other);
/* Before the first cell of a row: recorded ones, which come last, get a table of their own. */
void rbe_row_begin(const struct rbe_page *p, const struct rbe_row *row);
/* A number by a format of one double, or a dash for NAN. */
void rbe_number_cell(struct rbe_document *doc, const char *format, double x);
void rbe_megabytes_cell(struct rbe_document *doc, double bytes);
/* "98.1 % (97.0 to 99.2)" of a share and its interval, a pair; a dash where it is missing. */
void rbe_share_cell(struct rbe_document *doc, double share, const json_t *interval);
/* Begins a row with its model, and when it was recorded if this run did not measure it. */
void rbe_row_model_cell(const struct rbe_page *p, const struct rbe_row *row);

/* --- sections ---------------------------------------------------------------------------- */

/* How a model was encoded, by its convert row. */
void rbe_page_encoding(const struct rbe_page *p, int model, char out[64]);

/* Windows measured of most models of an original: what is compared must be of the same text. */
double rbe_page_common_windows(const struct rbe_page *p, int base);

/* --- the first screen (page_first.c) --------------------------------------------------- */

/* Size, speed, quality and memory against their targets; what follows for who would ship it;
 * the formats that one could use instead. */
void rbe_page_tiles(const struct rbe_page *p);
void rbe_page_decision(const struct rbe_page *p);
/* Quality lost against bits. */
enum rbe_status rbe_page_lead_plot(const struct rbe_page *p);

/* --- the rest -------------------------------------------------------------------------- */

/* The curve with every model, and every perplexity. */
enum rbe_status rbe_section_rate(const struct rbe_page *p);
enum rbe_status rbe_section_codecs(const struct rbe_page *p);
enum rbe_status rbe_section_recovery(const struct rbe_page *p);
enum rbe_status rbe_section_allocation(const struct rbe_page *p);
enum rbe_status rbe_section_speed(const struct rbe_page *p);
/* Plots of rbe-bench's documents. */
enum rbe_status rbe_section_kernels(const struct rbe_page *p);
enum rbe_status rbe_section_conversation(const struct rbe_page *p);
enum rbe_status rbe_section_divergence(const struct rbe_page *p);
void rbe_section_generation(const struct rbe_page *p);
void rbe_section_comprehension(const struct rbe_page *p);
void rbe_section_failed_steps(const struct rbe_page *p);
void rbe_section_provenance(const struct rbe_page *p);
enum rbe_status rbe_section_raw_rows(const struct rbe_page *p);

#endif

/*
 * criteria.h - the success criteria C1 to C11 of the chapter, judged on result rows.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_REPORTS_CRITERIA_H
#define RBE_REPORTS_CRITERIA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/criteria.h"
#include "reports/results.h"

/* A number with an interval passes, or fails, when the whole interval does. */
enum rbe_verdict { RBE_PASS, RBE_FAIL, RBE_WITHIN_ERROR, RBE_NOT_MEASURED };

const char *rbe_verdict_name(enum rbe_verdict v);

enum { RBE_CRITERION_TEXT = 256 };

/* One line of the table.  Texts are empty where there is nothing to say. */
struct rbe_criterion {
    const struct rbe_limit *limit;
    const char *id;             /* "C3", "C3b", ... */
    const char *what;           /* in words that need no context */
    enum rbe_verdict verdict;
    bool other;                 /* one of the same checks on another model */
    int base, at;               /* original and RBE model that it is of; -1: none */
    char target[RBE_CRITERION_TEXT];
    char original[RBE_CRITERION_TEXT], rbe[RBE_CRITERION_TEXT], margin[RBE_CRITERION_TEXT];
    char model[RBE_CRITERION_TEXT]; /* what it was measured on */
    char how[2 * RBE_CRITERION_TEXT]; /* how; or why it was not measured */
    char projection[2 * RBE_CRITERION_TEXT]; /* what is no measurement, labelled so */
    char source[RBE_CRITERION_TEXT];  /* file:line of the row */
};

struct rbe_criteria {
    struct rbe_criterion *rows;
    size_t count;
    /* Of the rows that are not `other`. */
    size_t judged, pass, fail, within_error, not_measured;
    int base, model;            /* the pair judged first; -1 = none */
};

/*
 * Judges the pair of original and RBE model that has the full perplexity (model: the RBE
 * model nearest 45 MB for GPT-2 small, 2.89 bits a weight, or the one named; of several
 * originals the one that ships), then each other pair: by all criteria, or, where its weights
 * are generated, by those of size, speed and memory.  `named` may be NULL.
 */
enum rbe_status rbe_criteria_judge(struct rbe_criteria *out, const struct rbe_results *r,
                                   const char *named, struct rbe_diag *d);
void rbe_criteria_free(struct rbe_criteria *c);

/* Is it of another original than the judged one, with weights that somebody trained? */
bool rbe_criterion_is_real(const struct rbe_results *r, const struct rbe_criterion *c);

/* "4.23 MB", decimal; "?" for NAN. */
void rbe_megabytes(char *out, size_t size, double bytes);

/* The bits that 45 MB give to each of GPT-2 small's 124,439,808 parameters. */
double rbe_budget_bits(void);

/* The perplexity rows' protocol that the criteria use. */
#define RBE_CRITERIA_PROTOCOL "P1"

/* The rows that C3 and C2 read: the perplexity of most windows against that original, and the
 * last time for a token of a model (`field` as in the row); NULL where there is none. */
const struct rbe_row *rbe_criteria_paired(const struct rbe_results *r, int base, int model);
const struct rbe_row *rbe_criteria_timed(const struct rbe_results *r, int model,
                                         const char *field);

/* Were there more threads than CPUs, by affinity or quota, when the row was measured?  Then
 * `out` says so: "4 threads on 2 CPUs"; else it is empty. */
bool rbe_oversubscribed_row(const json_t *row, char *out, size_t size);

bool rbe_is_gpt2_small(const struct rbe_model_seen *m);

/* Is it the original that ships with the project? */
bool rbe_is_shipped(const struct rbe_model_seen *m);

/* Is the row of WikiText-103's test text, the one that the targets are of, to the byte? */
bool rbe_is_wikitext(const json_t *row);

#endif

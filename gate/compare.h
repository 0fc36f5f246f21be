/*
 * compare.h - two result files, row by row: better, worse, the same, or too noisy to say.
 *
 * SPDX-License-Identifier: MIT
 *
 * Files: result lines (docs/RESULTS.md), Google Benchmark's JSON, with the samples file beside
 * it where there is one, such a samples file, or the table of rbe-bench.  Timed rows are
 * compared by the ratio of medians (new over base), a seeded bootstrap interval on it and a
 * Mann-Whitney test; where a file has no samples but their median and scatter, by the normal
 * approximation; rows without noise (perplexity, bytes, accuracy) by their values.
 */
#ifndef RBE_GATE_COMPARE_H
#define RBE_GATE_COMPARE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "base/status.h"

enum rbe_change { RBE_SAME, RBE_BETTER, RBE_WORSE, RBE_TOO_NOISY };
const char *rbe_change_name(enum rbe_change c);

/* One figure of one row of one file. */
struct rbe_figure {
    char *key;                  /* what must be equal to be compared */
    const char *unit;
    bool exact;                 /* no noise: samples is one value */
    bool coarse;                /* exact but for pages (memory): judged like a time */
    bool higher;                /* more is better */
    double *samples, value;     /* value: their median; no samples: only that is known */
    double error;               /* then the standard error of value, or NaN; else unset */
    size_t count;               /* of samples, also of those that are not known; 0: it failed */
};

struct rbe_figures {
    struct rbe_figure *v;       /* sorted by key; of equal keys the last row's is kept */
    size_t count;
    char machine[320];          /* of the rows; "" when they do not say */
    unsigned skipped;           /* rows of kinds that hold nothing to compare */
    unsigned failed;            /* rows that could not be measured */
    struct rbe_diag failure;    /* the first: "FILE: NAME: why" */
};

enum rbe_status rbe_figures_read(struct rbe_figures *f, const char *path, struct rbe_diag *d);
void rbe_figures_free(struct rbe_figures *f);

struct rbe_compare_options {
    double threshold;           /* a change of time smaller than this share is "same" */
    double floor_ms;            /* so is one by less than this */
    double exact;               /* the same for exact rows */
    double alpha;               /* share of false better/worse among those (Benjamini-
                                 * Hochberg over all timed rows) */
    unsigned resamples;
    uint64_t seed;
    bool other_machine;         /* compare although the machines differ or are unknown */
    bool missing;               /* go on when the new file lacks rows */
};
/* What is caught where nothing else is asked for, in percent; by the gate, too. */
#define RBE_THRESHOLD 3
struct rbe_compare_options rbe_compare_defaults(void);

struct rbe_comparison_row {
    const struct rbe_figure *base, *fresh;
    double ratio;               /* new over base */
    struct rbe_interval ci;     /* 95 %; NaN for exact rows and single samples */
    double p;                   /* Mann-Whitney, or normal; NaN for exact rows */
    enum rbe_change change;
};

struct rbe_comparison {
    struct rbe_comparison_row *rows;
    size_t count, missing, added;
    const char *first_missing;  /* key, or NULL */
    unsigned counts[4];         /* by enum rbe_change */
    bool machines_differ;       /* or one of them is unknown */
};

/* RBE_ERR_MISMATCH: other or unknown machines, rows missing, or nothing in common.  A row that
 * failed is left out: it is worse where the base has its time.  Borrows a and b. */
enum rbe_status rbe_compare(struct rbe_comparison *c, const struct rbe_figures *a,
                            const struct rbe_figures *b, const struct rbe_compare_options *o,
                            struct rbe_diag *d);
void rbe_comparison_free(struct rbe_comparison *c);

/*
 * 95 % percentile interval of median(b) / median(a), each side drawn anew with replacement in
 * runs of neighbours (n^(1/3) long from 50 samples on, so that what is alike in time stays
 * together).  NaN with fewer than two samples on a side.
 */
struct rbe_interval rbe_bootstrap_medians(const double *a, size_t n, const double *b, size_t m,
                                          unsigned resamples, uint64_t seed);

/* Of a normal distribution: standard deviation over median absolute deviation. */
#define RBE_MAD_TO_SD 1.4826

/* Standard error of the median of n normal samples with this standard deviation as estimated
 * from them; NaN with fewer than five, which tell too little of it. */
double rbe_median_error(double sd, size_t n);

#endif

/*
 * summary.h - from Google Benchmark's JSON to one robust row per benchmark.
 *
 * SPDX-License-Identifier: MIT
 *
 * The repetitions in the JSON are the raw samples; median and median absolute deviation are
 * computed from them here, and a row whose samples scatter too much says so.
 */
#ifndef RBE_BENCH_SUMMARY_H
#define RBE_BENCH_SUMMARY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/status.h"

/* MAD / median above which a row is marked unstable. */
#define RBE_UNSTABLE 0.03

/* Fewer samples show no scatter: such a row is marked unstable too. */
enum { RBE_STABLE_SAMPLES = 3, RBE_ROW_EVENTS = 16 };

struct rbe_bench_row {
    char name[160]; /* without "/manual_time" */
    char kind[16], op[16], format[16], isa[16], cache[8];
    char used[4]; /* "1": the kernel that rbe_kernel_best() takes here; "0", "-" */
    char error[128];            /* why there are no times; else empty */
    unsigned samples, launches;
    double ns_median, ns_mad, ns_min;   /* of one iteration */
    double between; /* MAD / median of the launches' medians; 0 with one launch */
    bool unstable;
    /* Counters, the median over repetitions; NaN when the row has none. */
    double rows, cols, block, aux, vectors, threads, bytes, weights, bits_per_weight, ratio;
    double bytes_per_second, weights_per_second, read_roof, read_fraction;
    double multiply_adds_per_second, peak, peak_fraction; /* those really done: work.h */
    double foreign_max, lost_max, repeats, disturbed; /* over all repetitions */
    double event[RBE_ROW_EVENTS]; /* counters of an iteration, by rbe_bench_rows.event */
};

struct rbe_bench_rows {
    struct rbe_bench_row *row;
    size_t count;
    /* What perf_event counted in this run, by name; absent counters are not among them. */
    char event[RBE_ROW_EVENTS][64];
    unsigned events;
};

/* Rows come as they end, in random order: afterwards they stand in the order of their
 * registration, the repetitions of one in the order they were taken. */
void rbe_summary_sort(json_t *result);

/* Groups the repetitions of a Google Benchmark result by name, in the order they stand there.
 * RBE_ERR_FORMAT: not such a result, or one without repetitions. */
enum rbe_status rbe_summary(struct rbe_bench_rows *out, const json_t *result,
                            struct rbe_diag *d);
void rbe_bench_rows_free(struct rbe_bench_rows *r);

/* Tab-separated, a header of '#' lines from the result's context, NaN as '-'. */
void rbe_summary_tsv(FILE *f, const struct rbe_bench_rows *r, const json_t *result);

/* The same rows as a list of objects, a member for each column; NULL: out of memory. */
json_t *rbe_summary_json(const struct rbe_bench_rows *r, const json_t *result);

/* For people. */
void rbe_summary_table(FILE *f, const struct rbe_bench_rows *r);

#endif

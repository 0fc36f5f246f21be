/*
 * suite.h - what is measured: products of one kernel on one shape, whole models, the search,
 * probes.
 *
 * SPDX-License-Identifier: MIT
 *
 * A case verifies its kernel against rbe_decode_row() before it is timed, and a matrix times a
 * vector in integers against the scalar kernel's bits; one that fails is never timed, and the
 * run fails.
 */
#ifndef RBE_BENCH_SUITE_H
#define RBE_BENCH_SUITE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "bench/data.h"
#include "bench/machine.h"
#include "bench/perf.h"
#include "bench/probe.h"
#include "kernels/attention.h"
#include "kernels/kernel.h"
#include "kernels/trellis.h"

/* Pinned pools of 1, 2, ... threads and their counters; NULL where a count is not used. */
struct rbe_teams {
    struct rbe_team *of[RBE_MAX_CPUS + 1];
    struct rbe_perf *perf[RBE_MAX_CPUS + 1];
};

struct rbe_suite_options {
    double min_seconds;   /* of one repetition */
    double foreign_limit; /* share above which a sample is repeated */
    unsigned repeats_max; /* how often one sample is repeated at most */
    FILE *raw;            /* a JSON line per sample as it is taken, or NULL */
};

struct rbe_suite;

/* Borrows everything; the suite must be closed first.  roofs may be NULL; a probe that runs
 * faster later than at first raises them. */
enum rbe_status rbe_suite_open(struct rbe_suite **out, struct rbe_data *data,
                               const struct rbe_teams *teams, struct rbe_roofs *roofs,
                               const struct rbe_suite_options *o, struct rbe_diag *d);
void rbe_suite_close(struct rbe_suite **s);

/* Whether there is a team of t threads.  Cases on others are refused: RBE_ERR_ARG. */
bool rbe_suite_has_threads(const struct rbe_suite *s, unsigned t);

/*
 * What follows registers a case.  Its matrices and vectors are made when it is first run, so
 * that a case that a filter leaves out costs nothing.
 *
 * One matrix times one vector (or `count` of them, for a gemm kernel). */
struct rbe_product_case {
    const struct rbe_kernel *kernel;
    uint32_t rows, cols, block, aux, count;
    unsigned threads;
    bool cold;
};
enum rbe_status rbe_suite_product(struct rbe_suite *s, const struct rbe_product_case *c,
                                  struct rbe_diag *d);

/* All matrices of a GPT-2 with this many layers, one token: cold, one region per matrix. */
struct rbe_model_case {
    const struct rbe_kernel *kernel;
    const char *size; /* "124M", for the name */
    uint32_t layers, width, vocab, block, aux;
    unsigned threads;
};
enum rbe_status rbe_suite_model(struct rbe_suite *s, const struct rbe_model_case *c,
                                struct rbe_diag *d);

/* Quantising and copying the inputs of such a model: what a token pays beside products. */
enum rbe_status rbe_suite_prepare(struct rbe_suite *s, enum rbe_format f, const char *size,
                                  uint32_t layers, uint32_t width, struct rbe_diag *d);

/* A probe again, among the other rows. */
enum rbe_status rbe_suite_probe(struct rbe_suite *s, const struct rbe_probe *p, size_t bytes,
                                unsigned threads, struct rbe_diag *d);

/*
 * The search for seeds: a column of `rows` white Gaussian weights with its ring's joint, as a
 * conversion without feedback does it, by one version of its step.  Weights are its items.
 */
struct rbe_search_case {
    const struct rbe_trellis *ops;
    enum rbe_format format; /* RBE_SEED or RBE_SEED4 */
    unsigned bits, block;
    size_t rows;
};
enum rbe_status rbe_suite_search(struct rbe_suite *s, const struct rbe_search_case *c,
                                 struct rbe_diag *d);

/* A token's attention over so many positions, in all heads and layers of such a model. */
struct rbe_attention_case {
    const struct rbe_attention *version;
    enum rbe_kv_type type;
    const char *size; /* "124M", for the name */
    uint32_t layers, heads, dim, positions;     /* a multiple of RBE_KV_STEP */
    unsigned threads;
};
enum rbe_status rbe_suite_attention(struct rbe_suite *s, const struct rbe_attention_case *c,
                                    struct rbe_diag *d);

/* The dense library: C [m][n] = A [m][k] B [k][n], the columns of C divided among threads. */
enum rbe_status rbe_suite_dense(struct rbe_suite *s, size_t m, size_t n, size_t k,
                                unsigned threads, struct rbe_diag *d);

/* Seconds per weight and vector of a kernel at its default block, by one short product: to
 * leave out what would take too long. */
double rbe_suite_cost(struct rbe_suite *s, const struct rbe_kernel *k);

const struct rbe_roofs *rbe_suite_roofs(const struct rbe_suite *s);

/* How many cases there are, and the name of each. */
size_t rbe_suite_count(const struct rbe_suite *s);
const char *rbe_suite_name(const struct rbe_suite *s, size_t i);

/* How many of them `filter` selects.  RBE_ERR_ARG: none, or it is no regular expression. */
enum rbe_status rbe_suite_matches(size_t *count, const struct rbe_suite *s,
                                  const char *filter, struct rbe_diag *d);
/* Makes all cases known to Google Benchmark, once. */
void rbe_suite_register(struct rbe_suite *s);

/* For progress: repetitions that `filter` selects, at so many a case. */
void rbe_suite_expect(struct rbe_suite *s, const char *filter, unsigned repetitions);

/* After the run: puts the final roofs, and what fraction of them was reached, into the rows
 * of a Google Benchmark result. */
void rbe_suite_final_roofs(const struct rbe_suite *s, json_t *benchmarks);

/* After the run. */
struct rbe_suite_result {
    unsigned verified, failed; /* cases; failed: wrong, or no memory for its matrices */
    unsigned samples, repeated, disturbed;
    char first_failure[256];
};
struct rbe_suite_result rbe_suite_result(const struct rbe_suite *s);

#endif

/*
 * gbench.h - Google Benchmark for C: registration, the state loop, counters, the run.
 *
 * SPDX-License-Identifier: MIT
 *
 * The only C++ of the project is behind this header (gbench.cc).  Times are manual: the
 * benchmark measures its own iterations and reports their total.
 */
#ifndef RBE_BENCH_GBENCH_H
#define RBE_BENCH_GBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rbe_gbench_state;

/* One repetition of one benchmark; also called with fewer iterations while Google Benchmark
 * looks for their number. */
typedef void rbe_gbench_fn(struct rbe_gbench_state *s, void *arg);

/*
 * True once: then the caller runs *iterations iterations and says with rbe_gbench_seconds()
 * how long they took in all.  What comes before it is not timed.
 *
 *     while (rbe_gbench_next(s, &n))
 *         rbe_gbench_seconds(s, time_of(n));
 */
bool rbe_gbench_next(struct rbe_gbench_state *s, uint64_t *iterations);
void rbe_gbench_seconds(struct rbe_gbench_state *s, double total);

/* A column of this repetition's row.  Values that are not finite are left out of the files:
 * JSON has no word for them. */
void rbe_gbench_counter(struct rbe_gbench_state *s, const char *name, double value);
void rbe_gbench_label(struct rbe_gbench_state *s, const char *text);

/* The row gets an error in place of times; the sweep goes on. */
void rbe_gbench_fail(struct rbe_gbench_state *s, const char *why);

/* `name` is copied, `arg` is not.  Rows carry median, mean, standard deviation and the
 * median absolute deviation ("mad") of all repetitions. */
void rbe_gbench_add(const char *name, rbe_gbench_fn *fn, void *arg);

/* A line of the "context" of every output. */
void rbe_gbench_context(const char *key, const char *value);

/*
 * Takes Google Benchmark's own flags (--benchmark_...) out of argv.  Returns NULL, or the
 * first argument left over or with an impossible value.  Call once, before _run.
 */
const char *rbe_gbench_init(int *argc, char **argv);

/*
 * Runs what the filter selects; returns how many.  With `silent`, nothing is printed on
 * standard output; otherwise Google Benchmark's reporter of --benchmark_format prints.
 * --benchmark_out among the flags names the file its reporter writes.
 */
size_t rbe_gbench_run(bool silent, bool file);

#ifdef __cplusplus
}
#endif
#endif

/*
 * timing.h - timed bursts of tokens, with what else the machine did meanwhile.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_EVAL_TIMING_H
#define RBE_EVAL_TIMING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/stats.h"
#include "base/status.h"
#include "eval/runner.h"

/* A sample during which other processes used more of the CPUs than this is repeated. */
#define RBE_FOREIGN_LIMIT 0.03

/* Counters of the whole machine and of this process, in seconds. */
struct rbe_load {
    double wall, own_cpu, busy, steal;
    double cpus;                /* online CPUs; 0 when the system does not tell */
};
struct rbe_load rbe_load_now(void);

/* Between two readings: shares of all CPUs (0..1; NaN when unknown), own CPUs busy. */
struct rbe_load_share {
    double foreign, steal, own_cpus;
};
struct rbe_load_share rbe_load_between(const struct rbe_load *a, const struct rbe_load *b);

/* A growing list of times with the quality of their measurement. */
struct rbe_times {
    double *ms;                 /* in the order measured */
    size_t count, room;
    double foreign, steal, cpus, weight;    /* sums weighted by wall seconds */
    unsigned repeats;           /* bursts thrown away for foreign CPU use */
    unsigned tainted;           /* bursts kept although above the limit */
};
void rbe_times_free(struct rbe_times *t);

/*
 * Decodes `n` tokens one at a time from what the session holds, greedily after `token`, and
 * keeps each token's time (forward, logits, choice).  A burst above RBE_FOREIGN_LIMIT is
 * repeated up to `retries` times from the same state; the last one is kept whatever it was.
 * The session is left at its length from before.
 */
enum rbe_status rbe_time_decode(struct rbe_times *t, struct rbe_runner *r, uint32_t token,
                                size_t n, unsigned retries, struct rbe_diag *d);

/* Times a prefill of n tokens into an empty session; *first_ms (may be NULL) with the logits
 * and choice of the first token added. */
enum rbe_status rbe_time_prefill(struct rbe_runner *r, const uint32_t *tokens, size_t n,
                                 double *ms, double *first_ms, uint32_t *token,
                                 struct rbe_diag *d);

/* {tokens, median_ms, mad_ms, mean_ms, p50_ms, p95_ms, p99_ms, tokens_per_s} or NULL; the
 * percentiles are null where too few samples were taken. */
json_t *rbe_times_json(const struct rbe_times *t);
/* {foreign_cpu, steal, cpu_utilisation, repeats, tainted, limit}. */
json_t *rbe_times_validity(const struct rbe_times *t);
double rbe_times_median(const struct rbe_times *t);
/* Decimal gigabytes a second of so many bytes in so many milliseconds. */
double rbe_gb_per_s(double bytes, double ms);

/*
 * 95 % interval of median(base) / median(own), by bootstrap over samples drawn alike from
 * both: the lists were taken in step, so index i of both saw the same seconds.  NaN when
 * there are too few, or no memory.
 */
struct rbe_interval rbe_times_speedup_ci(const struct rbe_times *base,
                                         const struct rbe_times *own);

#endif

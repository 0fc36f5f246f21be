/*
 * perplexity.h - perplexity of windows, and the difference of two models on the same ones.
 *
 * SPDX-License-Identifier: MIT
 *
 * A record (docs/RESULTS.md) holds the sum of -log p and the tokens scored of every window;
 * all else follows from these by rbe_perplexity_summarise(), whether they were measured in
 * one go, after an interrupt, or in shards: the same bits.
 */
#ifndef RBE_EVAL_PERPLEXITY_H
#define RBE_EVAL_PERPLEXITY_H

#include <jansson.h>

#include "base/status.h"
#include "eval/runner.h"
#include "eval/windows.h"

/* Sum of -log p over the scored tokens of window i, in double, in order; *scored how many.
 * scratch: w->context doubles. */
enum rbe_status rbe_perplexity_window(struct rbe_runner *r, const struct rbe_windows *w,
                                      size_t i, double *scratch, double *nll, double *scored,
                                      struct rbe_diag *d);

/*
 * The same for the windows [first, first + count), into nll[0 ..] and scored[0 ..]: every
 * thread of the pool takes whole windows, in lanes[i] for thread i (runners of one model,
 * rbe_runner_share(), at most as many as threads).  The values do not depend on their number.
 */
enum rbe_status rbe_perplexity_windows(struct rbe_runner *lanes, unsigned lane_count,
                                       struct rbe_pool *pool, const struct rbe_windows *w,
                                       size_t first, size_t count, double *nll,
                                       double *scored, struct rbe_diag *d);

/* Sets protocol, context, stride, tokens, windows_total, words, text_bytes from w. */
int rbe_perplexity_describe(json_t *record, const struct rbe_windows *w);

/*
 * Sets samples and everything that follows from it.  The record must have been described;
 * resamples 0: RBE_BOOTSTRAP.
 */
int rbe_perplexity_summarise(json_t *record, const double *nll, const double *scored,
                             size_t count, size_t first_window, double seconds,
                             unsigned resamples);

/* The samples of a record as two fresh arrays; RBE_ERR_FORMAT when they are not there. */
enum rbe_status rbe_perplexity_samples(const json_t *record, double **nll, double **scored,
                                       size_t *count, struct rbe_diag *d);

/*
 * Fills the paired record `out` (common fields set already) from two summarised perplexity
 * records of the same windows; RBE_ERR_MISMATCH otherwise.
 */
enum rbe_status rbe_perplexity_pair(json_t *out, const json_t *base, const json_t *model,
                                    unsigned resamples, struct rbe_diag *d);

#endif

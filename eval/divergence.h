/*
 * divergence.h - how far a model's predictions are from the original's, token by token.
 *
 * SPDX-License-Identifier: MIT
 *
 * Both models run over the same window in the same pass; nothing is dumped.  A record holds
 * the sums of every window and two histograms; everything reported follows from these, so
 * shards join to the same bits.
 */
#ifndef RBE_EVAL_DIVERGENCE_H
#define RBE_EVAL_DIVERGENCE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "eval/recording.h"
#include "eval/runner.h"
#include "eval/windows.h"

/* What is summed over the scored tokens of a window. */
enum rbe_divergence_sum {
    RBE_DIV_KL,                 /* KL(base || model), nats */
    RBE_DIV_TOP1,               /* both have the same most likely token */
    RBE_DIV_TOP5,               /* how many of the five most likely tokens both have */
    RBE_DIV_ACCEPTANCE,         /* 1 less the total variation */
    RBE_DIV_DP,                 /* change of the true token's probability */
    RBE_DIV_DP2,                /* its square */
    RBE_DIV_NLL_BASE,           /* -log p of the true token */
    RBE_DIV_NLL_MODEL,
    RBE_DIV_TOKENS,
    RBE_DIV_SUMS
};

enum { RBE_DIV_TOP = 5 };

/* Counts by size on a logarithmic scale: 64 bins an octave (1.1 % wide) from 2^-40 on; bin 0
 * holds what is smaller. */
enum { RBE_HIST_OCTAVE = 64, RBE_HIST_LOW = -40, RBE_HIST_BINS = 48 * RBE_HIST_OCTAVE + 1 };

struct rbe_histogram {
    uint64_t n[RBE_HIST_BINS];
};
void rbe_histogram_add(struct rbe_histogram *h, double x);
/* The q-quantile: the geometric middle of the bin that holds it; NaN when empty. */
double rbe_histogram_quantile(const struct rbe_histogram *h, double q);

struct rbe_divergence {
    size_t windows;
    double *sum[RBE_DIV_SUMS];  /* [windows] each */
    double max_kl;
    struct rbe_histogram kl, dp;        /* dp: of the absolute change */
};

enum rbe_status rbe_divergence_init(struct rbe_divergence *v, size_t windows,
                                    struct rbe_diag *d);
void rbe_divergence_free(struct rbe_divergence *v);
/* Room for `more` windows after those that v has. */
enum rbe_status rbe_divergence_reserve(struct rbe_divergence *v, size_t more,
                                       struct rbe_diag *d);

/* Adds one token to window k: rows of logits [vocab] of both models, and what came. */
void rbe_divergence_token(struct rbe_divergence *v, size_t k, const float *base,
                          const float *model, size_t vocab, uint32_t target);

/*
 * Runs window i of w through r[0] (the base) and r[1..count-1]; v[m - 1] takes model m's
 * divergence as its window k.  All runners have room for the same number of rows.
 * recording (may be NULL): takes the base's predictions, or stands in for its run; windows
 * from 0 in order then.
 */
enum rbe_status rbe_divergence_window(struct rbe_runner *r, size_t count,
                                      const struct rbe_windows *w, size_t i, size_t k,
                                      struct rbe_divergence *v,
                                      struct rbe_recording *recording, struct rbe_diag *d);

/* Sets samples, histograms and all that follows from them, over the first `windows`. */
int rbe_divergence_summarise(json_t *record, const struct rbe_divergence *v, size_t windows,
                             size_t first_window);

/* Adds the histograms and the maximum of b, whose sums are v's own arrays, to v. */
void rbe_divergence_join(struct rbe_divergence *v, const struct rbe_divergence *b);

/* The sums and histograms of a record, added after the windows v has (v from init with no
 * windows, or from an earlier call): how shards are joined. */
enum rbe_status rbe_divergence_read(struct rbe_divergence *v, const json_t *record,
                                    struct rbe_diag *d);

#endif

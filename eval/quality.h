/*
 * quality.h - texts judged by the original model: fluency, coherence, relevance, repetition.
 *
 * SPDX-License-Identifier: MIT
 *
 * No outside judge: log p of a text under the f32 original, alone and after what it answers
 * (evaluation.md 4).  Sums in double, in nats.
 */
#ifndef RBE_EVAL_QUALITY_H
#define RBE_EVAL_QUALITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "base/status.h"
#include "eval/comprehension.h"

/* log p(text | before) under the scorer's model; before may be empty (then after the end of
 * text).  Cut from the left to the context: `before` first. */
enum rbe_status rbe_log_p(struct rbe_scorer *s, uint32_t eos, const uint32_t *before, size_t nb,
                          const uint32_t *text, size_t n, double *log_p, struct rbe_diag *d);

/* The original's opinion of one author's texts, by prompt. */
struct rbe_judged {
    size_t *length;             /* tokens of the text */
    double *alone, *after;      /* log p(text), log p(text | prompt) */
    double *relevant;           /* how probable the true prompt is among the candidates */
    double *repeated;           /* share of 4-grams that came before in the text */
};

/* What relevance does not count: the first tokens of a text, which fit the prompt's last words
 * whatever it is about. */
enum { RBE_RELEVANCE_SKIP = 2 };

/* How probable the first of n candidates is by log p(text | candidate), equal priors. */
double rbe_posterior(const double *log_p, size_t n);

/* A measure of the prompts drawn, index [n] (one may come several times). */
typedef double rbe_measure_fn(const struct rbe_judged *by, const uint32_t *index, size_t n);
rbe_measure_fn rbe_fluency;     /* perplexity of the texts alone, all tokens alike */
rbe_measure_fn rbe_coherence;   /* mean over texts of log p gained by the prompt, per token */
rbe_measure_fn rbe_relevance;   /* mean probability of the true prompts */
rbe_measure_fn rbe_novelty;     /* 1 less the mean share of repeated 4-grams */

/* Ratio of two authors' measures over the same draws, in the sense that 1 is as good as the
 * original and less is worse: a function for rbe_bootstrap(). */
struct rbe_two_judged {
    const struct rbe_judged *original, *model;
    rbe_measure_fn *measure;
    bool smaller_is_better;
};
double rbe_retained(const void *two_judged, const uint32_t *index, size_t n);

/* A ratio to the original's where more and less are worse alike: x or 1 / x, at most 1.  Of an
 * interval of such ratios: 1 is in it when it is in the other. */
double rbe_two_sided(double ratio);
struct rbe_interval rbe_two_sided_interval(struct rbe_interval ratio);

/* Share of a text's n-grams that occurred before in it: 1 - distinct / all; 0 when shorter. */
double rbe_repetition(const uint32_t *text, size_t n, size_t gram);

/* Distinct n-grams over all n-grams of several texts taken together, texts [count][length]
 * of lengths n[count]; NaN when there are none. */
double rbe_distinct(const uint32_t *const *texts, const size_t *n, size_t count, size_t gram);

/* The same of all texts but the i-th into without[i], [count]. */
enum rbe_status rbe_distinct_without(double *without, const uint32_t *const *texts,
                                     const size_t *n, size_t count, size_t gram);

/* 95 % of the ratio b / a, whose values without the i-th of n samples are b[i] / a[i]: by the
 * jackknife on its logarithm.  NaN for n < 2. */
struct rbe_interval rbe_jackknife_ratio(double ratio, const double *a, const double *b,
                                        size_t n);

#endif

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
    double *relevant;           /* 1 when the true prompt was picked among the candidates */
};

/* A measure of the prompts drawn, index [n] (one may come several times). */
typedef double rbe_measure_fn(const struct rbe_judged *by, const uint32_t *index, size_t n);
rbe_measure_fn rbe_fluency;     /* perplexity of the texts alone, all tokens alike */
rbe_measure_fn rbe_coherence;   /* mean over texts of log p gained by the prompt, per token */
rbe_measure_fn rbe_relevance;   /* share of prompts picked */

/* Ratio of two authors' measures over the same draws, in the sense that 1 is as good as the
 * original and less is worse: a function for rbe_bootstrap(). */
struct rbe_two_judged {
    const struct rbe_judged *original, *model;
    rbe_measure_fn *measure;
    bool smaller_is_better;
};
double rbe_retained(const void *two_judged, const uint32_t *index, size_t n);

/* Share of a text's n-grams that occurred before in it: 1 - distinct / all; 0 when shorter. */
double rbe_repetition(const uint32_t *text, size_t n, size_t gram);

/* Distinct n-grams over all n-grams of several texts taken together, texts [count][length]
 * of lengths n[count]; NaN when there are none. */
double rbe_distinct(const uint32_t *const *texts, const size_t *n, size_t count, size_t gram);

#endif

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

#include <stddef.h>
#include <stdint.h>

#include "eval/comprehension.h"
#include "rbe/status.h"

/* log p(text | before) under the scorer's model; before may be empty (then after the end of
 * text).  Cut from the left to the context: `before` first. */
enum rbe_status rbe_log_p(struct rbe_scorer *s, uint32_t eos, const uint32_t *before, size_t nb,
                          const uint32_t *text, size_t n, double *log_p, struct rbe_diag *d);

/* Share of a text's n-grams that occurred before in it: 1 - distinct / all; 0 when shorter. */
double rbe_repetition(const uint32_t *text, size_t n, size_t gram);

/* Distinct n-grams over all n-grams of several texts taken together, texts [count][length]
 * of lengths n[count]; NaN when there are none. */
double rbe_distinct(const uint32_t *const *texts, const size_t *n, size_t count, size_t gram);

#endif

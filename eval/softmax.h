/*
 * softmax.h - log-probabilities from rows of logits, fast enough for every token of a text.
 *
 * SPDX-License-Identifier: MIT
 *
 * Exponentials in float (relative error below 3e-7), sums in double in a fixed order: the
 * result does not depend on the number of threads.  A NaN logit gives NaN.
 */
#ifndef RBE_EVAL_SOFTMAX_H
#define RBE_EVAL_SOFTMAX_H

#include <stddef.h>
#include <stdint.h>

/* log(sum(exp(logits))). */
double rbe_log_sum_exp(const float *logits, size_t n);

/* Index of the largest, the first of equals. */
uint32_t rbe_argmax(const float *logits, size_t n);

/* KL(p || q) in nats for p, q the softmax of the two rows; lse_* their rbe_log_sum_exp().
 * Never negative: rounding below 0 becomes 0. */
double rbe_kl_divergence(const float *p, double lse_p, const float *q, double lse_q, size_t n);

#endif

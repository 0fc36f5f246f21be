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

/* Sum of the smaller of p and q, 1 less their total variation: how often a token drawn from q
 * is one drawn from p, too, when both are drawn by the best coupling.  At most 1. */
double rbe_shared_mass(const float *p, double lse_p, const float *q, double lse_q, size_t n);

/* The indices of the `count` largest, count <= n, the largest first, of equal ones the first;
 * of values that are not numbers any. */
void rbe_largest(uint32_t *top, size_t count, const float *logits, size_t n);

#endif

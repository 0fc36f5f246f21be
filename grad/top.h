/*
 * top.h - a teacher's prediction in few bytes, and the loss by it.
 *
 * SPDX-License-Identifier: MIT
 *
 * Of a prediction p = softmax(t / T) only its K most likely tokens S are kept, ids and p as
 * f16, and the sum of all others, the rest r.  What it stands for depends on the student's own
 * q = softmax(s / T): the rest is spread over the other tokens as the student spreads it,
 *
 *   p'[v] = p[v] / (P + r)                for v in S, P = sum over S of p
 *   p'[v] = r / (P + r) q[v] / (1 - Q)    for the others, Q = sum over S of q
 *
 * so the divergence of loss.h and its gradient by the logits become, with p' in place of p,
 *
 *   KL = sum over S of p' log(p' / q) + r' log(r' / (1 - Q)),   r' = r / (P + r)
 *   d KL / d s = (q - p') / T
 *
 * which is the gradient of that KL, p' held or not: all other tokens are one bucket, and
 * nothing pulls them apart.  It is never more than the KL by the whole prediction.
 */
#ifndef RBE_GRAD_TOP_H
#define RBE_GRAD_TOP_H

#include <stddef.h>
#include <stdint.h>

/* Tokens of a prediction that are kept, at most. */
enum { RBE_TOP_TOKENS = 64 };

/* How many of so large a vocabulary: one is always left. */
static inline size_t rbe_top_tokens(size_t vocab)
{
    return vocab > RBE_TOP_TOKENS ? RBE_TOP_TOKENS : vocab - 1;
}

/* Bytes of a kept prediction: ids are u16 where they fit. */
size_t rbe_top_bytes(size_t vocab);

/* Keeps the prediction of logits [vocab] at the temperature; scratch [vocab].  Of equal logits
 * the first are kept.  to [rbe_top_bytes()]. */
void rbe_top_take(unsigned char *to, const float *logits, float *scratch, size_t vocab,
                  float temperature);

/* Logits [vocab] whose softmax at the temperature is p', for this student [vocab]: what
 * rbe_loss_row() takes for the teacher's. */
void rbe_top_logits(float *logits, const unsigned char *from, const float *student,
                    size_t vocab, float temperature);

#endif

/*
 * loss.h - what recovery training minimises, and its gradient by the logits.
 *
 * SPDX-License-Identifier: MIT
 *
 * For one position, s the student's logits, t the teacher's, y the next token:
 *
 *   loss = (1 - alpha + text) * CE + alpha * factor * KL
 *   CE   = -log softmax(s)[y]
 *   KL   = sum over v of p[v] log(p[v] / q[v]), p = softmax(t / T), q = softmax(s / T)
 *
 * and d loss / d s = (1 - alpha + text) (softmax(s) - onehot(y)) + alpha factor / T (q - p).
 */
#ifndef RBE_GRAD_LOSS_H
#define RBE_GRAD_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/vector.h"

/*
 * "ce": cross entropy alone.  "kl": KL at T = 1 alone.  "chapter": alpha 0.7 on the
 * divergence, T = 4, factor T^2 = 16.  "chapter-plain": the same with factor 1, as the
 * chapter's code has it.  RBE_ERR_ARG names the valid ones.
 */
enum rbe_status rbe_loss_named(struct rbe_loss *l, const char *name, struct rbe_diag *d);

/* Whether a teacher is needed (alpha > 0). */
bool rbe_loss_distils(const struct rbe_loss *l);

void rbe_loss_sums_add(struct rbe_loss_sums *to, const struct rbe_loss_sums *from);

/* A position with this target counts nowhere and has no gradient. */
#define RBE_NO_TARGET UINT32_MAX

/*
 * One position: adds to *sums and, where want_gradient, replaces student [vocab] by weight
 * times the gradient.  teacher [vocab] is overwritten; NULL where the loss does not distil.
 * Without want_gradient student is scratch too.  Logits that are NaN give NaN sums.
 */
void rbe_loss_row(const struct rbe_loss *l, float *student, float *teacher, size_t vocab,
                  uint32_t target, float weight, bool want_gradient,
                  struct rbe_loss_sums *sums);

#endif

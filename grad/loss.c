/*
 * loss.c - the losses by name, and their sums.
 *
 * SPDX-License-Identifier: MIT
 */
#include "grad/loss.h"

#include <string.h>

#include "kernels/cpu.h"
#include "kernels/vector.h"

enum rbe_status rbe_loss_named(struct rbe_loss *l, const char *name, struct rbe_diag *d)
{
    static const struct {
        const char *name;
        struct rbe_loss loss;
    } known[] = {{"ce", {.alpha = 0, .temperature = 1, .factor = 1}},
                 {"kl", {.alpha = 1, .temperature = 1, .factor = 1}},
                 {"chapter", {.alpha = 0.7F, .temperature = 4, .factor = 16}},
                 {"chapter-plain", {.alpha = 0.7F, .temperature = 4, .factor = 1}}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (!strcmp(name, known[i].name)) {
            *l = known[i].loss;
            return RBE_OK;
        }
    *l = (struct rbe_loss){.temperature = 1, .factor = 1};
    return rbe_fail(d, RBE_ERR_ARG, "unknown loss '%s'; valid: ce, kl, chapter, chapter-plain",
                    name);
}

bool rbe_loss_distils(const struct rbe_loss *l)
{
    return l->alpha > 0;
}

void rbe_loss_sums_add(struct rbe_loss_sums *to, const struct rbe_loss_sums *from)
{
    to->loss += from->loss;
    to->ce += from->ce;
    to->kl += from->kl;
    to->original += from->original;
    to->agree += from->agree;
    to->count += from->count;
}

void rbe_loss_row(const struct rbe_loss *l, float *student, float *teacher, size_t vocab,
                  uint32_t target, float weight, bool want_gradient,
                  struct rbe_loss_sums *sums)
{
    const struct rbe_vector *v = rbe_vector_best(rbe_cpu_isa());

    if (target == RBE_NO_TARGET) {
        if (want_gradient)
            memset(student, 0, vocab * sizeof *student);
        return;
    }
    v->loss_row(l, student, rbe_loss_distils(l) ? teacher : NULL, vocab, target, weight,
                want_gradient, sums);
}

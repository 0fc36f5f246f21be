/*
 * twin_worker.c - log-probabilities and greedy tokens of a model, for ci/twin.py.
 *
 * SPDX-License-Identifier: MIT
 *
 * twin_worker MODEL: on stdin lines "GREEDY COUNT ID ID ..."; on stdout for each a line with
 * the log-probabilities of all but the first, then GREEDY tokens that follow, always the
 * likeliest.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "eval/softmax.h"
#include "model/model.h"

struct work {
    struct rbe_session *s;
    float *logits;
    uint32_t vocab;
    struct rbe_diag d;
};

static bool forward(struct work *w, uint32_t id)
{
    return !rbe_forward(w->s, &id, 1, &w->d) &&
           !rbe_logits(w->s, RBE_LAST, 1, w->logits, &w->d);
}

static bool answer(struct work *w, unsigned greedy, unsigned count)
{
    unsigned id;

    rbe_session_truncate(w->s, 0);
    for (unsigned i = 0; i < count; i++) {
        if (scanf("%u", &id) != 1 || id >= w->vocab)
            return false;
        if (i)
            printf("%.9f ", (double)w->logits[id] - rbe_log_sum_exp(w->logits, w->vocab));
        if (!forward(w, id))
            return false;
    }
    for (unsigned i = 0; i < greedy; i++) {
        id = rbe_argmax(w->logits, w->vocab);
        printf("%u ", id);
        if (!forward(w, id))
            return false;
    }
    putchar('\n');
    return true;
}

int main(int argc, char **argv)
{
    const struct rbe_session_limits l = {.max_batch = 1};
    struct rbe_model *m = NULL;
    struct work w = {.d = {""}};
    unsigned greedy, count;
    bool good = true;

    if (argc != 2) {
        fprintf(stderr, "usage: twin_worker MODEL\n");
        return 2;
    }
    if (rbe_init(&w.d) || rbe_model_open(&m, argv[1], &w.d) ||
        rbe_session_open(&w.s, m, l, NULL, &w.d))
        good = false;
    else
        w.logits = malloc((w.vocab = rbe_model_vocab(m)) * sizeof *w.logits);
    while (good && w.logits && scanf("%u %u", &greedy, &count) == 2)
        good = answer(&w, greedy, count);
    if (!good || !w.logits)
        fprintf(stderr, "twin_worker: %s\n", *w.d.text ? w.d.text : "no such line");
    free(w.logits);
    rbe_session_close(&w.s);
    rbe_model_close(&m);
    return !good;
}

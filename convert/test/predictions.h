/*
 * predictions.h - what a model file predicts, for tests that compare two.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CONVERT_TEST_PREDICTIONS_H
#define RBE_CONVERT_TEST_PREDICTIONS_H

#include <stdio.h>
#include <string.h>

#include "kernels/kernel.h"
#include "kernels/test/check.h"
#include "model/model.h"

/* to: [count][vocab], the logits of `path` for the tokens, less their mean at each position:
 * what predictions are made of.  As exact as they come: what a file holds is compared. */
static void check_predictions(float *to, const char *path, const uint32_t *tokens,
                              uint32_t count, uint32_t vocab)
{
    const struct rbe_session_limits l = {.max_batch = count, .max_logits = count,
                                         .kv_cache = RBE_KV_F32};
    struct rbe_model *m = NULL;
    struct rbe_session *s = NULL;
    struct rbe_diag d = {""};

    memset(to, 0, sizeof *to * count * vocab);
    rbe_act_choose_bits(16);
    if (!CHECK(!rbe_model_open(&m, path, &d) && !rbe_session_open(&s, m, l, NULL, &d) &&
               !rbe_forward(s, tokens, count, &d) && !rbe_logits(s, 0, count, to, &d)))
        printf("     %s\n", d.text);
    for (size_t t = 0; t < count; t++) {
        double mean = 0;
        for (size_t k = 0; k < vocab; k++)
            mean += (double)to[t * vocab + k] / vocab;
        for (size_t k = 0; k < vocab; k++)
            to[t * vocab + k] -= (float)mean;
    }
    rbe_session_close(&s);
    rbe_model_close(&m);
}

#endif

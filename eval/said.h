/*
 * said.h - a measured turn, and what is reported of all of them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_EVAL_SAID_H
#define RBE_EVAL_SAID_H

#include <jansson.h>

#include "base/result.h"
#include "model/conversation.h"
#include "eval/timing.h"

struct rbe_said {
    struct rbe_turn turn;
    struct rbe_usage usage;
    struct rbe_load_share share;
    double coherence, quality;  /* of the answer, by the original (docs/RESULTS.md) */
};

/* `summary` of a conversation's row (docs/RESULTS.md), or NULL: out of memory.  turns >= 1;
 * load_s: seconds the model took to load. */
json_t *rbe_said_summary(const struct rbe_said *s, int turns, double load_s);

#endif

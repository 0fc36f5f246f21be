/*
 * child.h - running this program again, in a process of its own and under limits.
 *
 * SPDX-License-Identifier: MIT
 *
 * Memory and start-up belong to a process: what one model needs is measured in a process
 * that never held another.
 */
#ifndef RBE_EVAL_CHILD_H
#define RBE_EVAL_CHILD_H

#include <jansson.h>
#include <rbe/model.h>
#include <stdint.h>

#include "base/status.h"

/* How the worker exits when the model is faulty: no limit is to blame. */
enum { RBE_CHILD_FAULTY = 3 };

struct rbe_child_limits {
    uint64_t address_space;     /* RLIMIT_AS in bytes; 0: none */
};

/*
 * Runs `rbe eval worker` on the model with the given number of threads: prompt tokens in,
 * `tokens` tokens out.  On success *out is its report (see eval_worker.c) with `wall_s`, from
 * fork to end, added.  When the child fails, RBE_ERR_LIMIT with its last line, its name left
 * out, as the reason, or RBE_ERR_ARG when it called the request impossible, RBE_ERR_FORMAT when
 * the model is at fault.
 */
enum rbe_status rbe_child_generate(json_t **out, const char *model, unsigned threads,
                                   unsigned prompt, unsigned tokens, enum rbe_kv_cache kv,
                                   struct rbe_child_limits limits, struct rbe_diag *d);

/*
 * Runs this program with these words (NULL-terminated: its name, two of a command, ...), which
 * make it print rows as JSON lines: they come in a fresh array.  Fails as above.
 */
enum rbe_status rbe_child_rows(json_t **out, char *const *argv, struct rbe_diag *d);

/* Median of a report's milliseconds from token to token: the first one, which waits for the
 * prompt, left out.  NaN when there is no other. */
double rbe_child_median(const json_t *report);

#endif

/*
 * merge.h - joining the result files of shards into the unsharded result.
 *
 * SPDX-License-Identifier: MIT
 *
 * Records hold the samples of their windows, items or prompts; joined in order and summed up by
 * the function that sums up an unsharded run, they give the same bits.
 */
#ifndef RBE_EVAL_MERGE_H
#define RBE_EVAL_MERGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/*
 * files: arrays of records (rbe_result_read()), one per shard, named by `names` in messages.
 * Joins perplexity, divergence, comprehension and generation records of the same model, text
 * and protocol, task or sampling; recomputes paired ones.  Of several records of one shard in
 * a file (results saved while it went on) the last counts.  Parts that are missing, or there
 * twice, are RBE_ERR_MISMATCH; records of other kinds RBE_ERR_ARG.  A fresh array in *out.
 */
enum rbe_status rbe_merge(json_t **out, json_t *const *files, const char *const *names,
                          size_t count, struct rbe_diag *d);

/* Whether two records are of the same commit, and both or neither of a changed tree: other
 * programs may compute other numbers. */
bool rbe_merge_same_program(const json_t *a, const json_t *b);

/* The last of the records `old` that holds the same part of the same result as `like`, which
 * need not have its samples yet; NULL when none does.  What --resume goes on from. */
const json_t *rbe_merge_find(const json_t *old, const json_t *like);

#endif

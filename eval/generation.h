/*
 * generation.h - what quality of the original's texts a model retains, from a record's samples.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_EVAL_GENERATION_H
#define RBE_EVAL_GENERATION_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "eval/quality.h"

/* The texts first .. first + count - 1 of one author and the original's opinion of them, as a
 * member of a record's `per_prompt` (docs/RESULTS.md); text i begins at text[i * room].  NULL:
 * out of memory. */
json_t *rbe_generation_samples(const uint32_t *text, size_t room, const struct rbe_judged *by,
                               size_t first, size_t count);

/* The other way round: the texts of such a member and their judgement into the arrays, from
 * `first` on; how many, at most `most`. */
size_t rbe_generation_restore(const json_t *member, uint32_t *text, size_t room,
                              struct rbe_judged *by, size_t first, size_t most);

/*
 * Sets prompts, complete and all measures of a record from its `per_prompt` and
 * `prompts_total`.  Sums run in the order of the prompts: the same samples give the same bits.
 * RBE_ERR_FORMAT when samples are missing, or differ in number.
 */
enum rbe_status rbe_generation_summarise(json_t *record, struct rbe_diag *d);

#endif

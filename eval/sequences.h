/*
 * sequences.h - the long mode of `rbe eval inference`: what the times of whole sequences say.
 *
 * SPDX-License-Identifier: MIT
 *
 * A row keeps the times of every sequence; everything else in it follows from these, so that
 * shards join to what one would compute from all of them at once.
 */
#ifndef RBE_EVAL_SEQUENCES_H
#define RBE_EVAL_SEQUENCES_H

#include <jansson.h>
#include <stdint.h>

#include "base/status.h"
#include "eval/timing.h"

/* The `samples` of a row before its first sequence; NULL: out of memory. */
json_t *rbe_sequences_samples(void);

/* Appends one sequence: milliseconds of the prefill and until the first token, that token,
 * and the times of the tokens after it.  Non-zero: out of memory. */
int rbe_sequences_add(json_t *samples, double prefill_ms, double first_ms, uint32_t token,
                      const struct rbe_times *decode);

/*
 * Sets sequences, complete and all that follows from `samples`, with sequences_total,
 * first_sequence, length and prompt_tokens of the record.  Sums run in the order of the
 * sequences: the same samples give the same bits.  RBE_ERR_FORMAT when samples are missing.
 */
enum rbe_status rbe_sequences_summarise(json_t *record, struct rbe_diag *d);

#endif

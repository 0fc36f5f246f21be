/*
 * lookup.h - the next tokens guessed from the text so far, and checked several at once.
 *
 * SPDX-License-Identifier: MIT
 *
 * Where the last tokens stood in the text before, what followed them is the guess.  The
 * session runs it in one batch with the token that is due, and the logits of the batch serve as
 * long as the guess turns out right: a token then costs a part of a pass.  They are those of
 * tokens that are run one by one, to the bit (rbe_session_alike()), so whatever chooses by
 * them chooses the same.
 *
 * It measures what batches cost and what they save, and guesses only where that has not lost
 * more than a small part of all passes so far: text that does not repeat itself costs next
 * to nothing.
 */
#ifndef RBE_MODEL_LOOKUP_H
#define RBE_MODEL_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/model.h"

/* ALWAYS is for tests: guesses may cost what they like. */
enum rbe_guessing { RBE_GUESS_NEVER, RBE_GUESS_WHERE_IT_PAYS, RBE_GUESS_ALWAYS };

enum { RBE_LOOKUP_GUESS = 3 };      /* tokens, at most */

/* The max_logits that a session needs. */
static inline uint32_t rbe_lookup_rows(enum rbe_guessing when)
{
    return when == RBE_GUESS_NEVER ? 1 : RBE_LOOKUP_GUESS + 1;
}

struct rbe_lookup;

/* Of all since it was opened, prompts left out. */
struct rbe_lookup_counts {
    uint64_t tokens;            /* logits given */
    uint64_t guessed, right;    /* tokens run ahead; those that were then asked for */
    double spent;               /* passes, in the time of one of a single token */
};

/* For a session that cannot (rbe_session_alike()), every token is a pass of its own whatever
 * `when` says. */
enum rbe_status rbe_lookup_open(struct rbe_lookup **out, struct rbe_session *s,
                                const struct rbe_model *m, enum rbe_guessing when,
                                struct rbe_diag *d);
void rbe_lookup_close(struct rbe_lookup **k);

/*
 * The logits after ids [n], which begin with what the session holds, as far as it was asked
 * for: what it does not hold is run.  They last until the next call.  On failure the session
 * may hold less.
 */
enum rbe_status rbe_lookup_logits(struct rbe_lookup *k, const uint32_t *ids, size_t n,
                                  const float **logits, struct rbe_diag *d);

/* Forgets what was run ahead: the session holds what was asked for.  Before it is used by
 * others, or for another text. */
void rbe_lookup_end(struct rbe_lookup *k);

const struct rbe_lookup_counts *rbe_lookup_counts(const struct rbe_lookup *k);

/* A guess at what follows ids [n], at most `most` tokens into `to`; returns how many. */
uint32_t rbe_lookup_guess(const uint32_t *ids, size_t n, uint32_t most, uint32_t *to);

#endif

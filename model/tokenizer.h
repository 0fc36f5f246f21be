/*
 * tokenizer.h - what <rbe/tokenizer.h> keeps for the programs.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_TOKENIZER_H
#define RBE_MODEL_TOKENIZER_H

#include <rbe/tokenizer.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* RBE_ERR_MISMATCH when a model of `vocab` tokens, `eos` the end of text, cannot be run with
 * it; `folder` is for the message.  A model may have up to 1024 rows more, as padding; their
 * tokens have no text and must not be chosen.  Where `eos` is another special token than the
 * files say, it is the end of text from now on. */
enum rbe_status rbe_tokenizer_fits(struct rbe_tokenizer *t, const char *folder,
                                   uint32_t vocab, uint32_t eos, struct rbe_diag *d);

/* From now on special tokens in texts are tokens, whatever `special` says.  Before the
 * first text: encoding is for several threads at once, this is not. */
void rbe_tokenizer_parse_special(struct rbe_tokenizer *t);

/* RBE_ERR_MISMATCH, and in d what differs, when the two may make different tokens of a text, in
 * which special tokens are tokens or (special false) characters.  In what form their files are
 * does not matter, nor which token ends a text. */
enum rbe_status rbe_tokenizer_alike(const struct rbe_tokenizer *a,
                                    const struct rbe_tokenizer *b, bool special,
                                    struct rbe_diag *d);

/* Whether this text is a special token, and which. */
bool rbe_tokenizer_special(const struct rbe_tokenizer *t, const char *text, uint32_t *id);

#endif

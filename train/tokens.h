/*
 * tokens.h - the token stream a training reads, and the order of its windows.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_TRAIN_TOKENS_H
#define RBE_TRAIN_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/tokenizer.h"

struct rbe_tokens {
    uint32_t *ids;              /* [count] */
    size_t count, documents, bytes;     /* bytes: of text */
    char sha256[65];            /* of the ids: what identifies a run's text */
};

/*
 * How documents are laid out.  RBE_LAYOUT_ROWS is that of perplexity protocol P1 over WikiText:
 * lines as rows joined by two newlines, a row of white space empty; of a document in JSON the
 * title as " = Title = " between empty rows, a blank at either end of each line, and
 * punctuation spelled as WikiText does ("1 @,@ 000 , well @-@ known ( it 's so ) .").
 * RBE_LAYOUT_BOTH: plain and rows by turns.
 */
enum rbe_layout { RBE_LAYOUT_PLAIN, RBE_LAYOUT_ROWS, RBE_LAYOUT_BOTH, RBE_LAYOUT_COUNT };

/* "plain", "rows", "both"; NULL past the end. */
const char *rbe_layout_name(enum rbe_layout l);

/*
 * Tokens of text files, one after the other.  NAME.jsonl: an object a line with a string
 * "text" and perhaps a "title", which is put above it; anything else is one document of plain
 * UTF-8.  The end-of-text token stands after each document.  Reading ends after the document
 * that brings `limit` tokens (0: all of them).  A compressed, empty or damaged file is an
 * error that names it; so is one that is not there or may not be read, also where reading ends
 * before it.
 */
enum rbe_status rbe_tokens_open(struct rbe_tokens *out, const char *const *paths, size_t count,
                                size_t limit, enum rbe_layout layout,
                                const struct rbe_tokenizer *t, struct rbe_diag *d);
void rbe_tokens_close(struct rbe_tokens *t);

/*
 * Where window `index` of `length` tokens starts, in a stream of `count`.  Each pass over the
 * text cuts it at an offset of its own, or with cut_alike at that of the first, and takes the
 * windows in an order of its own; both follow from the seed and the index alone, so that a
 * training that goes on after a stop reads on where it was.  count >= 2 * length.
 */
size_t rbe_tokens_window(size_t count, size_t length, uint64_t seed, uint64_t index,
                         bool cut_alike);

#endif

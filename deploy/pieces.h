/*
 * pieces.h - bytes of tokens, given away as whole characters.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_DEPLOY_PIECES_H
#define RBE_DEPLOY_PIECES_H

#include <rbe/chat.h>
#include <stdbool.h>
#include <stddef.h>

/* Pieces of characters wait in it until they are whole. */
struct rbe_pieces {
    rbe_chat_text_fn *fn;
    void *arg;
    char text[256];
    size_t held;
};

/* Takes bytes, maybe parts of characters; false when fn wants no more.  What can no longer
 * become a character goes out as U+FFFD. */
bool rbe_pieces_take(struct rbe_pieces *p, const char *bytes, size_t size);
/* Gives away what is left. */
bool rbe_pieces_end(struct rbe_pieces *p);

#endif

/*
 * nearest.h - the word that was meant, where one that is no word was typed.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_NEAREST_H
#define RBE_BASE_NEAREST_H

#include <stddef.h>

struct rbe_nearest {
    const char *typed;
    char best[64];              /* "" while nothing is near enough */
    unsigned distance;          /* of best */
};

/* Edits that make b of a, without regard to case: a letter put in, left out or changed, two
 * neighbours exchanged.  Of words of more than 63 letters the first 63 count. */
unsigned rbe_word_distance(const char *a, const char *b);

struct rbe_nearest rbe_nearest_to(const char *typed);
/* Takes the candidate where it is nearer than all before it.  Near enough is an edit for every
 * three letters; the beginning of a word, from three letters on, is one edit away from it. */
void rbe_nearest_try(struct rbe_nearest *n, const char *candidate);
/* The same for every word of a list between blanks and commas. */
void rbe_nearest_try_all(struct rbe_nearest *n, const char *list);
/* The same for the files NAME + ending of the folder that this file stands in: their NAMEs. */
void rbe_nearest_try_beside(struct rbe_nearest *n, const char *file, const char *ending);

/* What an error says of it, for "%s": " (did you mean 'x'?)", or "". */
struct rbe_nearest_hint {
    char text[96];
};
struct rbe_nearest_hint rbe_nearest_hint(const struct rbe_nearest *n);
/* All of it for one list. */
struct rbe_nearest_hint rbe_nearest_in(const char *typed, const char *list);

#endif

/*
 * words.h - cutting text into the words that are merged each for itself.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_WORDS_H
#define RBE_MODEL_WORDS_H

#include <stddef.h>

/*
 * A pattern: what a word can be, tried in this order.
 *   1. one of the endings ("'s")
 *   2. characters of the kinds `of`, as many as there are, of the first run that fits; one
 *      character of the kinds `before` may stand in front
 *   3. white space: all there is at the end of the text, else all but its last character, or
 *      that character when there is no more
 * Kinds are the bits of model/unicode.h, and RBE_BLANK, the character U+0020 alone.
 */
enum { RBE_BLANK = 16, RBE_RUNS = 3 };

struct rbe_pattern {
    const char *const *endings;         /* NULL-terminated; all begin with an apostrophe */
    struct {
        unsigned before, of;
    } runs[RBE_RUNS];
};

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
extern const struct rbe_pattern rbe_model_pattern;

/* Bytes of the word at the beginning of text[size], size > 0; 0 when the first character is
 * not valid UTF-8.  One that is invalid further on ends the word.  *at as in
 * rbe_unicode_kind(). */
size_t rbe_next_word(const struct rbe_pattern *p, const char *text, size_t size, size_t *at);

#endif

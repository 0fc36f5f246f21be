/*
 * words.h - cutting text into the words that are merged each for itself.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_WORDS_H
#define RBE_MODEL_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A pattern: what a word can be, tried in this order.
 *   1. one of the English endings ("'s"), of any case when `any_case`
 *   2. characters of the kinds `of`, as many as there are but no more than `most` (0: no
 *      limit), of the first run that fits, then as many of the kinds `then`; one character of
 *      the kinds `before`, but no newline, may stand in front
 *   3. white space with newlines, where `lines`: up to the last of them
 *   4. white space: all there is at the end of the text or before one of the kinds `cuts`, else
 *      all but its last character, or that character when there is no more
 * Kinds are the bits of model/unicode.h; RBE_BLANK, the character U+0020 alone; RBE_NEWLINE,
 * U+000A and U+000D.
 */
enum { RBE_BLANK = 16, RBE_NEWLINE = 32, RBE_RUNS = 3 };

struct rbe_pattern {
    bool any_case, lines;
    unsigned cuts;
    struct {
        unsigned before, of, most, then;
    } runs[RBE_RUNS];
};

/* The patterns that are known, each a line of model/patterns.def. */
enum rbe_pattern_id {
#define RBE_PATTERN(NAME, names, regex, digits, ...) RBE_PATTERN_##NAME,
#include "model/patterns.def"
#undef RBE_PATTERN
    RBE_PATTERN_COUNT
};

/* NULL past the end. */
const struct rbe_pattern *rbe_pattern_at(unsigned id);
/* By the regular expression that a tokenizer.json has for it, character for character; digits:
 * each is cut out before.  By a name that GGUF files have for it.  NULL when none is so. */
const struct rbe_pattern *rbe_pattern_of_regex(const char *regex, bool digits);
const struct rbe_pattern *rbe_pattern_of_name(const char *name);
/* The other way round, of a pattern of the list: *length bytes of the first name; the regular
 * expression, and whether digits are cut out before it. */
const char *rbe_pattern_name(const struct rbe_pattern *p, size_t *length);
const char *rbe_pattern_regex(const struct rbe_pattern *p, bool *digits);

/* Bytes of the word at the beginning of text[size], size > 0; 0 when the first character is
 * not valid UTF-8.  One that is invalid further on ends the word.  *at as in
 * rbe_unicode_kind(). */
size_t rbe_next_word(const struct rbe_pattern *p, const char *text, size_t size, size_t *at);

#endif

/*
 * text.h - texts that people write: reading them, their line ends, their white space.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_TEXT_H
#define RBE_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/utf8.h"

/*
 * Reads a text as people mean it: a byte-order mark in front is no part of it, and lines that
 * end in CR LF (or a lone CR) end in LF, as Python's open() reads them.  *out as of
 * rbe_read_file(); sha256 (may be NULL) is that of the file's bytes.  UTF-16 is an error that
 * says so; else the bytes are not checked.
 */
enum rbe_status rbe_read_text(char **out, size_t *size, char sha256[65], const char *path,
                              struct rbe_diag *d);

/* What rbe_text_plain() took out of a text. */
struct rbe_text_marks {
    bool bom;
    size_t crs;                 /* line ends with a carriage return */
};

/* UTF-16, by its first two bytes: an error that says what to do. */
enum rbe_status rbe_text_utf16(const char *s, size_t size, const char *path,
                               struct rbe_diag *d);

/* The base name of a file for a row, "pipe" for what is none (/dev/fd/63); NULL when out of
 * memory, else the caller frees it. */
char *rbe_text_name(const char *path);

/* In place, for size bytes and the NUL behind them: takes mark and carriage returns out; the
 * new size.  marks may be NULL. */
size_t rbe_text_plain(char *s, size_t size, struct rbe_text_marks *marks);

/* Words of a small text seen so far, not copied. */
struct rbe_words_seen {
    const char *word[32];
    size_t count;
};

/* Whether this one was there before; it is now.  The caller sees to it that there are not more
 * than fit: where each known word is taken once, by the number of those. */
bool rbe_word_again(struct rbe_words_seen *s, const char *word);

/* What Python's str.isspace() takes for white space. */
bool rbe_is_space(uint32_t code);

/* Takes white space off both ends, or off the right one, as Python's str.strip() and
 * str.rstrip() do: *s moves, the new size is returned, nothing is written. */
size_t rbe_strip(const char **s, size_t size);
size_t rbe_strip_right(const char *s, size_t size);

#endif

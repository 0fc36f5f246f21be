/*
 * utf8.h - characters of UTF-8; names and command lines, which are bytes, as the UTF-8 that
 * JSON and pages want.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_UTF8_H
#define RBE_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed UTF-8 character at s, of which `left` bytes may be read, or 0; and
 * its code. */
size_t rbe_utf8_char(const char *s, size_t left, uint32_t *code);
/* Its bytes into out; their number. */
size_t rbe_utf8_put(char out[4], uint32_t code);
/* Bytes of the control character at s (U+0001 to U+001F, U+007F to U+009F), or 0: another one
 * is there. */
size_t rbe_utf8_control(const char *s);
/* Offset of the first byte that is not valid UTF-8 (or is NUL), or size. */
size_t rbe_utf8_valid(const char *s, size_t size);

/*
 * The same text in a fresh string, or NULL when out of memory: every byte that is not part of a
 * UTF-8 character as \xHH, and a backslash that stands before xHH as \x5C.  So whoever puts
 * bytes for all \xHH has the first text again.
 */
char *rbe_utf8_text(const char *s);

#endif

/*
 * unicode.h - what the cutting of text into words must know of characters.
 *
 * SPDX-License-Identifier: MIT
 *
 * The table is part of the program: token ids do not depend on the Unicode version of a
 * library.  16.0 is that of Hugging Face's tokenizers 0.23, all of whose 1.1 million
 * characters are of the same kind (ci/jobs/tokens.sh compares them).
 */
#ifndef RBE_MODEL_UNICODE_H
#define RBE_MODEL_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#define RBE_UNICODE_VERSION "16.0.0"

/* Kinds of characters, as bits: each character is of one. */
enum {
    RBE_LETTER = 1,             /* category L */
    RBE_NUMBER = 2,             /* category N */
    RBE_SPACE = 4,              /* property White_Space */
    RBE_OTHER = 8,
};

/* The kind of a character.  *at is a hint for the next call, which is faster when the
 * characters are of one script: 0 at first. */
unsigned rbe_unicode_kind(uint32_t c, size_t *at);

#endif

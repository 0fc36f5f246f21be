/*
 * normal.h - texts in Unicode's normalization form C, which some tokenizers ask for.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_NORMAL_H
#define RBE_MODEL_NORMAL_H

#include <stddef.h>

#include "base/status.h"

/*
 * text [size] in the form NFC (Unicode Standard Annex 15) as a fresh text *out [*out_size] that
 * the caller frees; NULL where the text is that form at first sight (every character is below
 * U+0300), or is not valid UTF-8.  RBE_ERR_IO: libutf8proc, which is loaded when a text first
 * needs it (base/library.h), is not there.
 */
enum rbe_status rbe_normal_form(char **out, size_t *out_size, const char *text, size_t size,
                                struct rbe_diag *d);

#endif

/*
 * casing.h - capital and small letters of every script, as Python has them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_EVAL_CASING_H
#define RBE_EVAL_CASING_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Python's str.capitalize() of valid UTF-8: the first character as at the beginning of a
 * title, all others small.  A capital sigma at a word's end is the final one.  A fresh string,
 * or NULL when out of memory.
 */
char *rbe_capitalise(const char *s);

/* Is it a small letter, one that rbe_capitalise() would change in front? */
bool rbe_is_small(uint32_t code);

#endif

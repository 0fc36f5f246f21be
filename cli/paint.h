/*
 * paint.h - colours, where a person sees them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CLI_PAINT_H
#define RBE_CLI_PAINT_H

#include <stdio.h>

enum rbe_paint { RBE_PLAIN, RBE_BOLD, RBE_DIM, RBE_GREEN, RBE_YELLOW, RBE_RED };

/* What switches to it, and RBE_PLAIN back: "" unless f is a terminal that has colours (TERM is
 * not dumb) and NO_COLOR is unset or empty. */
const char *rbe_paint(FILE *f, enum rbe_paint p);

/* Columns of the terminal at f, or 80. */
unsigned rbe_columns(FILE *f);

#endif

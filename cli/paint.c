/*
 * paint.c - colours, where a person sees them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "cli/paint.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool is_set(const char *name)
{
    const char *v = getenv(name);

    return v && *v;
}

const char *rbe_paint(FILE *f, enum rbe_paint p)
{
    static const char *const codes[] = {
        [RBE_PLAIN] = "\033[0m", [RBE_BOLD] = "\033[1m", [RBE_DIM] = "\033[2m",
        [RBE_GREEN] = "\033[32m", [RBE_YELLOW] = "\033[33m", [RBE_RED] = "\033[31m",
    };
    const char *term = getenv("TERM");

    if (!isatty(fileno(f)) || is_set("NO_COLOR") || !term || !strcmp(term, "dumb"))
        return "";
    return codes[p];
}

unsigned rbe_columns(FILE *f)
{
    struct winsize w;

    return !ioctl(fileno(f), TIOCGWINSZ, &w) && w.ws_col ? w.ws_col : 80;
}

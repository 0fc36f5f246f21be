/*
 * utf8.c - bytes that may be no text as UTF-8.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t rbe_utf8_size(const char *s, size_t left)
{
    const unsigned char *u = (const unsigned char *)s;
    const size_t n = !left ? 0 : u[0] < 0x80 ? 1 : u[0] < 0xC2 ? 0 : u[0] < 0xE0 ? 2
                     : u[0] < 0xF0 ? 3 : u[0] < 0xF5 ? 4 : 0;

    if (n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((u[i] & 0xC0) != 0x80)
            return 0;
    /* Longer than need be, a surrogate, or past U+10FFFF. */
    if ((u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xED && u[1] > 0x9F) ||
        (u[0] == 0xF0 && u[1] < 0x90) || (u[0] == 0xF4 && u[1] > 0x8F))
        return 0;
    return n;
}

char *rbe_utf8_text(const char *s)
{
    const size_t size = strlen(s);
    char *out = malloc(4 * size + 1), *to = out;

    if (!out)
        return NULL;
    for (size_t i = 0; i < size;) {
        const unsigned char *u = (const unsigned char *)s + i;
        size_t n = rbe_utf8_size(s + i, size - i);
        if (size - i > 3 && u[0] == '\\' && u[1] == 'x' && isxdigit(u[2]) && isxdigit(u[3]))
            n = 0;
        if (n) {
            memcpy(to, s + i, n);
            to += n;
        } else {
            to += sprintf(to, "\\x%02X", u[0]);
        }
        i += n ? n : 1;
    }
    *to = 0;
    return out;
}

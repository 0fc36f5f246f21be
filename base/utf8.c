/*
 * utf8.c - bytes that may be no text as UTF-8.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t rbe_utf8_char(const char *text, size_t left, uint32_t *code)
{
    const unsigned char *s = (const unsigned char *)text;

    if (!left)
        return 0;
    const unsigned c = s[0];
    /* Table 3-7 of the Unicode standard. */
    const size_t n = c < 0x80   ? 1
                     : c < 0xC2 ? 0
                     : c < 0xE0 ? 2
                     : c < 0xF0 ? 3
                     : c < 0xF5 ? 4
                                : 0;
    const unsigned low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    const unsigned high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;

    *code = c;
    if (n < 2)
        return n;
    if (left < n || s[1] < low || s[1] > high)
        return 0;
    *code = c & (0x7F >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3F);
    }
    return n;
}

size_t rbe_utf8_put(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF00 >> n) | code);
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
        uint32_t code;
        size_t n = rbe_utf8_char(s + i, size - i, &code);
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

size_t rbe_utf8_control(const char *s)
{
    const unsigned char c = (unsigned char)s[0], next = c ? (unsigned char)s[1] : 0;

    if (c == 0xC2 && next >= 0x80 && next < 0xA0)
        return 2;
    return (c && c < ' ') || c == 127;
}

size_t rbe_utf8_valid(const char *s, size_t size)
{
    size_t i = 0;
    uint32_t c;

    while (i < size) {
        const size_t n = rbe_utf8_char(s + i, size - i, &c);
        if (!n || !c)
            return i;
        i += n;
    }
    return i;
}

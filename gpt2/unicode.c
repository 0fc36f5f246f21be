/*
 * unicode.c - kinds of characters by a table, and UTF-8.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gpt2/unicode.h"

/* Ascending; the low four bits are the kind of all characters from here on. */
static const uint32_t runs[] = {
#define L(first) 0x##first << 4 | RBE_LETTER,
#define N(first) 0x##first << 4 | RBE_NUMBER,
#define S(first) 0x##first << 4 | RBE_SPACE,
#define O(first) 0x##first << 4 | RBE_OTHER,
#include "gpt2/unicode.def"
#undef L
#undef N
#undef S
#undef O
    0x110000 << 4 | RBE_OTHER};

enum { RUNS = sizeof runs / sizeof runs[0] - 1 };

unsigned rbe_unicode_kind(uint32_t c, size_t *at)
{
    size_t low = *at, high = *at + 1;

    if (c < runs[low] >> 4 || c >= runs[high] >> 4) {
        low = 0;
        high = RUNS;
        while (high - low > 1) {
            const size_t middle = (low + high) / 2;
            if (c < runs[middle] >> 4)
                high = middle;
            else
                low = middle;
        }
        *at = low;
    }
    return runs[low] & 15;
}

size_t rbe_utf8_next(const char *text, size_t left, uint32_t *code)
{
    const unsigned char *s = (const unsigned char *)text;
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

/*
 * unicode.c - kinds of characters by a table, and UTF-8.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/unicode.h"

/* Ascending; the low four bits are the kind of all characters from here on. */
static const uint32_t runs[] = {
#define L(first) 0x##first << 4 | RBE_LETTER,
#define N(first) 0x##first << 4 | RBE_NUMBER,
#define S(first) 0x##first << 4 | RBE_SPACE,
#define O(first) 0x##first << 4 | RBE_OTHER,
#include "model/unicode.def"
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

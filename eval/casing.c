/*
 * casing.c - capital and small letters of every script, as Python has them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/casing.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

struct run {
    uint32_t first, last;
    uint8_t step;
    int32_t move;
};

struct many {
    uint32_t letter;
    const char *becomes;        /* UTF-8 */
};

struct range {
    uint32_t first, last;
};

#include "eval/casing_table.h"

enum { CAPITAL_SIGMA = 0x3A3, FINAL_SIGMA = 0x3C2 };
#define LENGTH(table) (sizeof (table) / sizeof (table)[0])

/* What the letter becomes by the tables, in UTF-8; the number of bytes, at most 6. */
static size_t change(char *out, uint32_t c, const struct run *run, size_t runs,
                     const struct many *many, size_t count)
{
    size_t low = 0, high = runs;

    while (low < high) {
        const size_t mid = (low + high) / 2;
        if (c < run[mid].first)
            high = mid;
        else if (c > run[mid].last)
            low = mid + 1;
        else if ((c - run[mid].first) % run[mid].step)
            break;
        else
            return rbe_utf8_put(out, c + (uint32_t)run[mid].move);
    }
    for (size_t i = 0; i < count; i++)
        if (many[i].letter == c) {
            const size_t n = strlen(many[i].becomes);
            memcpy(out, many[i].becomes, n);
            return n;
        }
    return rbe_utf8_put(out, c);
}

static size_t to_small(char *out, uint32_t c)
{
    return change(out, c, lower, LENGTH(lower), lower_many, LENGTH(lower_many));
}

static size_t to_title(char *out, uint32_t c)
{
    return change(out, c, title, LENGTH(title), title_many, LENGTH(title_many));
}

static bool differs(const char *s, size_t n, uint32_t c)
{
    char same[4];

    return rbe_utf8_put(same, c) != n || memcmp(same, s, n);
}

bool rbe_is_small(uint32_t code)
{
    char out[6];

    return differs(out, to_title(out, code), code) && !differs(out, to_small(out, code), code);
}

static bool is_in(const struct range *range, size_t count, uint32_t c)
{
    size_t low = 0, high = count;

    while (low < high) {
        const size_t mid = (low + high) / 2;
        if (c >= range[mid].first && c <= range[mid].last)
            return true;
        if (c < range[mid].first)
            high = mid;
        else
            low = mid + 1;
    }
    return false;
}

static bool is_cased(uint32_t c)
{
    return is_in(cased, LENGTH(cased), c);
}

static bool is_ignored(uint32_t c)
{
    return is_in(ignored, LENGTH(ignored), c);
}

/* Is the first character of it that is not ignored a letter of either case? */
static bool goes_on(const char *s, size_t size)
{
    uint32_t c;
    size_t n;

    while ((n = rbe_utf8_char(s, size, &c)) && is_ignored(c)) {
        s += n;
        size -= n;
    }
    return n && is_cased(c);
}

char *rbe_capitalise(const char *s)
{
    const size_t size = strlen(s);
    char *out = malloc(3 * size + 1);
    size_t used = 0, n;
    uint32_t c = 0;
    bool in_word = false;       /* the last character that is not ignored is cased */

    for (size_t i = 0; out && i < size; i += n) {
        if (!(n = rbe_utf8_char(s + i, size - i, &c)))
            out[used++] = s[i], n = 1;
        else if (!i)
            used += to_title(out, c);
        else if (c == CAPITAL_SIGMA && in_word && !goes_on(s + i + n, size - i - n))
            used += rbe_utf8_put(out + used, FINAL_SIGMA);
        else
            used += to_small(out + used, c);
        in_word = is_ignored(c) ? in_word : is_cased(c);
    }
    if (out)
        out[used] = 0;
    return out;
}

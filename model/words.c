/*
 * words.c - cutting text into words by a pattern.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/words.h"

#include <string.h>

#include "base/utf8.h"
#include "model/unicode.h"

static const struct {
    const char *names, *regex;
    bool digits;
    struct rbe_pattern pattern;
} patterns[] = {
#define RBE_PATTERN(NAME, names, regex, digits, ...) {names, regex, digits, {__VA_ARGS__}},
#include "model/patterns.def"
#undef RBE_PATTERN
};

const struct rbe_pattern *rbe_pattern_at(unsigned id)
{
    return id < RBE_PATTERN_COUNT ? &patterns[id].pattern : NULL;
}

const struct rbe_pattern *rbe_pattern_of_regex(const char *regex, bool digits)
{
    for (size_t i = 0; i < RBE_PATTERN_COUNT; i++)
        if (patterns[i].digits == digits && !strcmp(patterns[i].regex, regex))
            return &patterns[i].pattern;
    return NULL;
}

const struct rbe_pattern *rbe_pattern_of_name(const char *name)
{
    const size_t n = strcspn(name, " ");

    for (size_t i = 0; !name[n] && i < RBE_PATTERN_COUNT; i++)
        for (const char *p = patterns[i].names; *p; p = strchr(p, ' ') + 1)
            if (!strncmp(p, name, n) && p[n] == ' ')
                return &patterns[i].pattern;
    return NULL;
}

static size_t index_of(const struct rbe_pattern *p)
{
    size_t i = 0;

    while (&patterns[i].pattern != p)
        i++;
    return i;
}

const char *rbe_pattern_name(const struct rbe_pattern *p, size_t *length)
{
    const char *names = patterns[index_of(p)].names;

    *length = strcspn(names, " ");
    return names;
}

const char *rbe_pattern_regex(const struct rbe_pattern *p, bool *digits)
{
    *digits = patterns[index_of(p)].digits;
    return patterns[index_of(p)].regex;
}

/* The kinds of ASCII, which most text is. */
enum { L = RBE_LETTER, N = RBE_NUMBER, O = RBE_OTHER, S = RBE_SPACE,
       B = RBE_SPACE | RBE_BLANK, E = RBE_SPACE | RBE_NEWLINE };
static const uint8_t ascii[128] = {
    O, O, O, O, O, O, O, O, O, S, E, S, S, E, O, O, /* tab to carriage return */
    O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
    B, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
    N, N, N, N, N, N, N, N, N, N, O, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
    L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
    L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
};

/* Bytes of the character at text[size] and its kinds; 0 and none at the end and where it is
 * no character. */
static inline size_t next(const char *text, size_t size, unsigned *kinds, size_t *at)
{
    uint32_t code;

    *kinds = 0;
    if (!size)
        return 0;
    if ((unsigned char)*text < 0x80) {
        *kinds = ascii[(unsigned char)*text];
        return 1;
    }
    const size_t n = rbe_utf8_char(text, size, &code);
    if (n)
        *kinds = rbe_unicode_kind(code, at);
    return n;
}

/* Bytes of the ending at text[size], which begins with an apostrophe; 0: it is none. */
static size_t ending(const struct rbe_pattern *p, const char *text, size_t size)
{
    static const char *const english[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    const char upper = p->any_case ? 0x20 : 0;

    for (size_t i = 0; i < sizeof english / sizeof english[0]; i++) {
        const char *e = english[i];
        size_t n = 1;
        while (n < size && *e && (*e == text[n] || *e == (text[n] | upper)))
            n++, e++;
        if (!*e)
            return n;
    }
    /* The long s, U+017F, is an s of another case. */
    return p->any_case && size > 2 && !memcmp(text + 1, "\xC5\xBF", 2) ? 3 : 0;
}

static size_t white_space(const struct rbe_pattern *p, const char *text, size_t size,
                          size_t one, unsigned kinds, size_t *at)
{
    size_t n, end = one, last = 0, line = kinds & RBE_NEWLINE ? one : 0;

    for (; (n = next(text + end, size - end, &kinds, at)) && (kinds & RBE_SPACE); end += n) {
        last = end;
        if (kinds & RBE_NEWLINE)
            line = end + n;
    }
    if (p->lines && line)
        return line;
    return end == size || (kinds & p->cuts) || !last ? end : last;
}

size_t rbe_next_word(const struct rbe_pattern *p, const char *text, size_t size, size_t *at)
{
    unsigned first, second, kinds;
    const size_t one = next(text, size, &first, at);
    size_t n, end;

    if (!one)
        return 0;
    if (*text == '\'' && (n = ending(p, text, size)))
        return n;
    const size_t two = one + next(text + one, size - one, &second, at);
    for (size_t i = 0; i < RBE_RUNS; i++) {
        const unsigned of = p->runs[i].of, most = p->runs[i].most, then = p->runs[i].then;
        if ((first & p->runs[i].before) && !(first & RBE_NEWLINE) && (second & of))
            end = two;
        else if (first & of)
            end = one;
        else
            continue;
        for (unsigned count = 1; count != most && (n = next(text + end, size - end, &kinds, at))
                                 && (kinds & of); count++)
            end += n;
        while (then && (n = next(text + end, size - end, &kinds, at)) && (kinds & then))
            end += n;
        return end;
    }
    return white_space(p, text, size, one, first, at);
}

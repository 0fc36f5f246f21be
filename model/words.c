/*
 * words.c - cutting text into words by a pattern.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/words.h"

#include <string.h>

#include "base/utf8.h"
#include "model/unicode.h"

static const char *const english[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d", NULL};

const struct rbe_pattern rbe_model_pattern = {
    .endings = english,
    .runs = {{RBE_BLANK, RBE_LETTER}, {RBE_BLANK, RBE_NUMBER}, {RBE_BLANK, RBE_OTHER}}};

/* The kinds of ASCII, which most text is. */
enum { L = RBE_LETTER, N = RBE_NUMBER, O = RBE_OTHER, S = RBE_SPACE,
       B = RBE_SPACE | RBE_BLANK };
static const uint8_t ascii[128] = {
    O, O, O, O, O, O, O, O, O, S, S, S, S, S, O, O, /* tab to carriage return */
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

size_t rbe_next_word(const struct rbe_pattern *p, const char *text, size_t size, size_t *at)
{
    unsigned first, second, kinds;
    const size_t one = next(text, size, &first, at);
    size_t n, end, last;

    if (!one)
        return 0;
    for (const char *const *e = p->endings; *text == '\'' && *e; e++) {
        n = strlen(*e);
        if (n <= size && !memcmp(text, *e, n))
            return n;
    }
    const size_t two = one + next(text + one, size - one, &second, at);
    for (size_t i = 0; i < RBE_RUNS; i++) {
        const unsigned of = p->runs[i].of;
        if ((first & p->runs[i].before) && (second & of))
            end = two;
        else if (first & of)
            end = one;
        else
            continue;
        while ((n = next(text + end, size - end, &kinds, at)) && (kinds & of))
            end += n;
        return end;
    }
    for (end = one, last = 0; (n = next(text + end, size - end, &kinds, at)) &&
                              (kinds & RBE_SPACE); end += n)
        last = end;
    return end == size || !last ? end : last;
}

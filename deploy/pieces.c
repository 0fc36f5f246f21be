/*
 * pieces.c - bytes of tokens, given away as whole characters.
 *
 * SPDX-License-Identifier: MIT
 */
#include "deploy/pieces.h"

#include <string.h>

#include "base/utf8.h"

/* Can more bytes make a character of these? */
static bool begins_character(const char *s, size_t n)
{
    static const char fills[] = {'\x80', '\xBF'};
    uint32_t code;

    for (size_t f = 0; f < sizeof fills; f++) {
        char whole[4];
        memset(whole, fills[f], sizeof whole);
        memcpy(whole, s, n);
        if (rbe_utf8_char(whole, sizeof whole, &code) > n)
            return true;
    }
    return false;
}

/* Gives away what is whole; with `last` also what can no longer become so, as U+FFFD. */
static bool flush(struct rbe_pieces *p, bool last)
{
    static const char broken[] = "\xEF\xBF\xBD";
    bool on = true;

    while (on && p->held) {
        const size_t whole = rbe_utf8_valid(p->text, p->held);
        const size_t left = p->held - whole;
        if (whole)
            on = p->fn(p->arg, p->text, whole);
        memmove(p->text, p->text + whole, left);
        p->held = left;
        if (!left || (left < 4 && !last && begins_character(p->text, left)))
            break;
        on = on && p->fn(p->arg, broken, sizeof broken - 1);
        memmove(p->text, p->text + 1, --p->held);
    }
    return on;
}

bool rbe_pieces_take(struct rbe_pieces *p, const char *bytes, size_t size)
{
    bool on = true;

    while (on && size) {
        const size_t room = sizeof p->text - p->held, n = size < room ? size : room;
        memcpy(p->text + p->held, bytes, n);
        p->held += n;
        bytes += n;
        size -= n;
        on = flush(p, false);
    }
    return on;
}

bool rbe_pieces_end(struct rbe_pieces *p)
{
    return flush(p, true);
}

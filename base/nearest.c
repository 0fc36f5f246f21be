/*
 * nearest.c - edit distances of short words.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/nearest.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { LONGEST = 63, SHORTEST_BEGINNING = 3, LETTERS_AN_EDIT = 3 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static int letter(char c)
{
    return tolower((unsigned char)c);
}

unsigned rbe_word_distance(const char *a, const char *b)
{
    /* row[i % 3][j]: of the first i letters of a and the first j of b. */
    unsigned row[3][LONGEST + 1];
    const size_t n = strnlen(a, LONGEST), m = strnlen(b, LONGEST);

    for (size_t j = 0; j <= m; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *now = row[i % 3], *before = row[(i + 2) % 3], *earlier = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            const unsigned other = letter(a[i - 1]) != letter(b[j - 1]);
            now[j] = least(least(before[j], now[j - 1]) + 1, before[j - 1] + other);
            if (i > 1 && j > 1 && letter(a[i - 1]) == letter(b[j - 2]) &&
                letter(a[i - 2]) == letter(b[j - 1]))
                now[j] = least(now[j], earlier[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

struct rbe_nearest rbe_nearest_to(const char *typed)
{
    return (struct rbe_nearest){.typed = typed, .best = "", .distance = 0};
}

static void try_word(struct rbe_nearest *n, const char *word, size_t size)
{
    const size_t typed = strlen(n->typed);
    char w[LONGEST + 1];

    snprintf(w, sizeof w, "%.*s", (int)(size < LONGEST ? size : LONGEST), word);
    unsigned d = rbe_word_distance(n->typed, w);
    if (typed >= SHORTEST_BEGINNING && !strncasecmp(n->typed, w, typed))
        d = least(d, 1);
    const size_t most = typed < LETTERS_AN_EDIT ? 1 : typed / LETTERS_AN_EDIT;
    /* Of a word of one letter nothing is left. */
    if (d > most || d >= strlen(w) || (*n->best && d >= n->distance))
        return;
    memcpy(n->best, w, sizeof w);
    n->distance = d;
}

void rbe_nearest_try(struct rbe_nearest *n, const char *candidate)
{
    try_word(n, candidate, strlen(candidate));
}

void rbe_nearest_try_all(struct rbe_nearest *n, const char *list)
{
    static const char between[] = " ,\n";

    while (*(list += strspn(list, between))) {
        const size_t size = strcspn(list, between);
        try_word(n, list, size);
        list += size;
    }
}

void rbe_nearest_try_beside(struct rbe_nearest *n, const char *file, const char *ending)
{
    const char *slash = strrchr(file, '/');
    const size_t end = strlen(ending);
    char folder[PATH_MAX];
    const struct dirent *e;
    DIR *dir;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file) : 1,
             slash ? file : ".");
    if (!(dir = opendir(folder)))
        return;
    while ((e = readdir(dir))) {
        const size_t size = strlen(e->d_name);
        if (size > end && !strcmp(e->d_name + size - end, ending))
            try_word(n, e->d_name, size - end);
    }
    closedir(dir);
}

struct rbe_nearest_hint rbe_nearest_hint(const struct rbe_nearest *n)
{
    struct rbe_nearest_hint h = {""};

    if (*n->best)
        snprintf(h.text, sizeof h.text, " (did you mean '%s'?)", n->best);
    return h;
}

struct rbe_nearest_hint rbe_nearest_in(const char *typed, const char *list)
{
    struct rbe_nearest n = rbe_nearest_to(typed);

    rbe_nearest_try_all(&n, list);
    return rbe_nearest_hint(&n);
}

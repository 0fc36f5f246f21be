/*
 * check_nearest.c - distances of words against a plain recursion, and what is proposed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdbool.h>
#include <string.h>

#include "base/nearest.h"
#include "kernels/test/check.h"

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* By the definition. */
static unsigned slow(const char *a, size_t n, const char *b, size_t m)
{
    if (!n || !m)
        return (unsigned)(n + m);
    unsigned d = least(least(slow(a, n - 1, b, m), slow(a, n, b, m - 1)) + 1,
                       slow(a, n - 1, b, m - 1) + (a[n - 1] != b[m - 1]));
    if (n > 1 && m > 1 && a[n - 1] == b[m - 2] && a[n - 2] == b[m - 1])
        d = least(d, slow(a, n - 2, b, m - 2) + 1);
    return d;
}

static void random_word(char *out, struct check_rng *rng)
{
    const uint32_t n = check_below(rng, 6);

    for (uint32_t i = 0; i < n; i++)
        out[i] = (char)('a' + check_below(rng, 3));
    out[n] = 0;
}

static void check_distances(struct check_rng *rng)
{
    char a[8], b[8];

    for (int i = 0; i < 300; i++) {
        random_word(a, rng);
        random_word(b, rng);
        CHECK(rbe_word_distance(a, b) == slow(a, strlen(a), b, strlen(b)));
        CHECK(rbe_word_distance(a, b) == rbe_word_distance(b, a));
    }
    CHECK(rbe_word_distance("Seed", "sEED") == 0);
}

static bool proposes(const char *typed, const char *list, const char *want)
{
    struct rbe_nearest n = rbe_nearest_to(typed);

    rbe_nearest_try_all(&n, list);
    return !strcmp(n.best, want);
}

static void check_proposals(void)
{
    static const char words[] = "convert codecs compare completion chat p1, hf-stride";

    CHECK(proposes("convrt", words, "convert"));
    CHECK(proposes("ocnvert", words, "convert"));
    CHECK(proposes("CHAT", words, "chat"));
    CHECK(proposes("hf_stride", words, "hf-stride"));
    CHECK(proposes("compl", words, "completion"));       /* the beginning of it */
    CHECK(proposes("xyz", words, ""));
    CHECK(proposes("", words, ""));
    CHECK(proposes("q9", words, ""));
    CHECK(!strcmp(rbe_nearest_in("caht", words).text, " (did you mean 'chat'?)"));
    CHECK(!strcmp(rbe_nearest_in("nothing", words).text, ""));
    /* Longer than any word that there is. */
    char longest[200];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    CHECK(proposes(longest, words, ""));
    CHECK(proposes("chat", longest, ""));
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);

    check_distances(&rng);
    check_proposals();
    return check_done();
}

/*
 * check_chat.c - the handle for apps: limits, whole characters, cancelling, many handles.
 *
 * SPDX-License-Identifier: MIT
 */
#include <rbe/chat.h>

#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "kernels/test/check.h"

#define MODEL "datasets/embedded/mini-2.89-tuned.rbe"

static struct rbe_diag d;

struct heard {
    char text[65536];
    size_t size, pieces, stop_after;
    bool whole;                 /* every piece was whole characters */
    struct rbe_chat *cancel;    /* cancelled at the first piece */
};

static bool hear(void *arg, const char *text, size_t size)
{
    struct heard *h = arg;

    if (h->size + size >= sizeof h->text)
        return false;
    memcpy(h->text + h->size, text, size);
    h->text[h->size += size] = 0;
    h->whole = h->whole && rbe_utf8_valid(text, size) == size;
    if (h->cancel)
        rbe_chat_cancel(h->cancel);
    return ++h->pieces != h->stop_after;
}

static struct rbe_chat *open_one(uint32_t threads)
{
    const struct rbe_edge_config how = {.threads = threads, .context = 200, .max_tokens = 20};
    struct rbe_chat *c = NULL;

    CHECK(!rbe_chat_open(&c, MODEL, NULL, &how, &d));
    return c;
}

static void check_answers(void)
{
    struct rbe_chat *c = open_one(2), *one = open_one(1);
    struct heard h = {.whole = true}, g = {.whole = true};
    char first[sizeof h.text], stats[1024];

    if (!c || !one)
        return;
    CHECK(!rbe_chat_say(c, "Where does the river rise?", hear, &h, &d));
    CHECK(h.pieces > 1 && h.whole && !strcmp(h.text, rbe_chat_answer(c)));
    snprintf(first, sizeof first, "%s", h.text);
    /* Other handles and threads change nothing. */
    CHECK(!rbe_chat_say(one, "Where does the river rise?", hear, &g, &d));
    CHECK(!strcmp(g.text, first));
    const size_t n = rbe_chat_stats(c, stats, sizeof stats);
    CHECK(n == strlen(stats) && strstr(stats, "\"turns\":1,"));
    CHECK(strstr(stats, "\"threads\":2,") != NULL);
    CHECK(rbe_chat_stats(c, stats, 10) == n && strlen(stats) == 9);
    /* What was said is remembered, and forgotten when asked. */
    CHECK(!rbe_chat_say(c, "Where does the river rise?", NULL, NULL, &d));
    rbe_chat_reset(c);
    CHECK(!rbe_chat_say(c, "Where does the river rise?", NULL, NULL, &d));
    CHECK(!strcmp(rbe_chat_answer(c), first));
    /* Past the context the oldest turns go. */
    for (int i = 0; i < 8; i++)
        CHECK(!rbe_chat_say(c, "And where does it go from there?", NULL, NULL, &d));
    rbe_chat_stats(c, stats, sizeof stats);
    CHECK(!strstr(stats, "\"forgotten_turns\":0,"));
    rbe_chat_close(&c);
    rbe_chat_close(&one);
    CHECK(!c);
    rbe_chat_close(&c);
}

/* Guessed tokens change no word, also where a batch would have had no room for them. */
static void check_lookup(void)
{
    struct rbe_edge_config how = {.threads = 1, .context = 400, .max_tokens = 20, .batch = 1};
    static const char *const said[] = {"Where does the river rise?", "Who?"};
    struct rbe_chat *plain = NULL, *guesses = NULL;
    unsigned guessed = 0, right = 0, n, m;
    char stats[1024];

    CHECK(!rbe_chat_open(&plain, MODEL, NULL, &how, &d));
    how.lookup = true;
    CHECK(!rbe_chat_open(&guesses, MODEL, NULL, &how, &d));
    for (int i = 0; plain && guesses && i < 10; i++) {
        CHECK(!rbe_chat_say(plain, said[i % 2], NULL, NULL, &d) &&
              !rbe_chat_say(guesses, said[i % 2], NULL, NULL, &d));
        CHECK(!strcmp(rbe_chat_answer(plain), rbe_chat_answer(guesses)));
        rbe_chat_stats(plain, stats, sizeof stats);
        CHECK(strstr(stats, "\"guessed_tokens\":0,\"guessed_right\":0,"));
        rbe_chat_stats(guesses, stats, sizeof stats);
        const char *at = strstr(stats, "\"guessed_tokens\":");
        if (CHECK(at && sscanf(at, "\"guessed_tokens\":%u,\"guessed_right\":%u,", &n, &m) == 2))
            guessed += n, right += m;
    }
    CHECK(guessed > 0 && right > 0 && right <= guessed);
    rbe_chat_close(&plain);
    rbe_chat_close(&guesses);
}

static void check_refusals(void)
{
    struct rbe_chat *c = open_one(1);
    char longest[4096], before[16384], stats[1024];

    if (!c)
        return;
    CHECK(!rbe_chat_say(c, "Who?", NULL, NULL, &d));
    CHECK(rbe_chat_say(c, "", NULL, NULL, &d) == RBE_ERR_ARG);
    CHECK(rbe_chat_say(c, " \n\t", NULL, NULL, &d) == RBE_ERR_ARG);
    CHECK(rbe_chat_say(c, NULL, NULL, NULL, &d) == RBE_ERR_ARG);
    CHECK(rbe_chat_say(c, "a\xFF", NULL, NULL, &d) == RBE_ERR_FORMAT);
    CHECK(strstr(d.text, "byte 1") != NULL);
    memset(longest, 0, sizeof longest);
    for (size_t i = 0; i + 8 < sizeof longest; i += 8)
        memcpy(longest + i, " x9 Qz#!", 8);
    CHECK(rbe_chat_say(c, longest, NULL, NULL, &d) == RBE_ERR_LIMIT);
    CHECK(!*rbe_chat_answer(c));
    /* What it was refused for is what is said, not that it should have ended. */
    rbe_chat_arm(c);
    rbe_chat_cancel(c);
    CHECK(rbe_chat_say(c, longest, NULL, NULL, &d) == RBE_ERR_LIMIT);
    rbe_chat_stats(c, stats, sizeof stats);
    CHECK(strstr(stats, "\"cancelled\":false") != NULL);
    /* None of them was remembered. */
    CHECK(!rbe_chat_say(c, "And then?", NULL, NULL, &d));
    snprintf(before, sizeof before, "%s", rbe_chat_answer(c));
    rbe_chat_reset(c);
    CHECK(!rbe_chat_say(c, "Who?", NULL, NULL, &d));
    CHECK(!rbe_chat_say(c, "And then?", NULL, NULL, &d));
    CHECK(!strcmp(before, rbe_chat_answer(c)));
    rbe_chat_close(&c);

    const struct rbe_edge_config bad[] = {
        {.threads = 1025}, {.context = 513}, {.context = 64, .batch = 65},
        {.context = 64, .max_tokens = 60}, {.context = 64, .max_tokens = UINT32_MAX},
        {.max_tokens = UINT32_MAX - 7}, {.context = UINT32_MAX},
        {.context = 64, .batch = UINT32_MAX}, {.context = 8}, {.sampling.temperature = -1},
        {.sampling.temperature = NAN}, {.sampling.temperature = INFINITY},
        {.sampling.top_p = 2}, {.sampling.top_p = NAN}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(rbe_chat_open(&c, MODEL, NULL, &bad[i], &d) == RBE_ERR_ARG && !c && *d.text);
    struct rbe_edge_config tight = rbe_edge_config_board();
    CHECK(!rbe_chat_open(&c, MODEL, NULL, &tight, &d));
    rbe_chat_close(&c);
    tight.memory_limit = 4 << 20;
    CHECK(rbe_chat_open(&c, MODEL, NULL, &tight, &d) == RBE_ERR_LIMIT && strstr(d.text, MODEL));
    CHECK(rbe_chat_open(&c, "missing.rbe", NULL, &tight, &d) == RBE_ERR_IO && !c);
    CHECK(rbe_chat_open(&c, MODEL, "missing", &(struct rbe_edge_config){0}, &d) && !c);
    CHECK(rbe_chat_open(&c, NULL, NULL, &tight, &d) == RBE_ERR_ARG);
    CHECK(rbe_chat_open(&c, MODEL, NULL, NULL, &d) == RBE_ERR_ARG);
}

/* --- cancelling ------------------------------------------------------------------------- */

static void *cancel_soon(void *arg)
{
    usleep(1000);
    rbe_chat_cancel(arg);
    return NULL;
}

static void check_cancel(void)
{
    struct rbe_chat *c = open_one(1);
    struct heard h = {.whole = true, .cancel = c}, some = {.whole = true, .stop_after = 2};
    char stats[1024];
    pthread_t t;

    if (!c)
        return;
    /* Without a question under way it does nothing. */
    rbe_chat_cancel(c);
    CHECK(!rbe_chat_say(c, "Who?", NULL, NULL, &d));
    CHECK(rbe_chat_say(c, "Where does the river rise?", hear, &h, &d) == RBE_ERR_INTERRUPTED);
    CHECK(h.pieces == 1 && !strcmp(h.text, rbe_chat_answer(c)));
    rbe_chat_stats(c, stats, sizeof stats);
    CHECK(strstr(stats, "\"cancelled\":true") && strstr(stats, "\"turns\":2,"));
    /* The listener may end it too, which is no fault. */
    CHECK(!rbe_chat_say(c, "Where does it go?", hear, &some, &d) && some.pieces == 2);
    /* Announced: a request before it begins counts, for one answer; an older does not. */
    rbe_chat_cancel(c);
    rbe_chat_arm(c);
    CHECK(!rbe_chat_say(c, "Who?", NULL, NULL, &d));
    for (int i = 0; i < 2; i++) {
        struct heard none = {.whole = true};
        rbe_chat_arm(c);
        rbe_chat_cancel(c);
        CHECK(rbe_chat_say(c, i ? "Who?" : "", hear, &none, &d) ==
              (i ? RBE_ERR_INTERRUPTED : RBE_ERR_ARG));
        CHECK(!none.pieces && !*rbe_chat_answer(c));
        CHECK(!rbe_chat_say(c, "Who?", NULL, NULL, &d) && *rbe_chat_answer(c));
    }
    rbe_chat_arm(c);
    rbe_chat_cancel(c);
    rbe_chat_arm(c);
    CHECK(rbe_chat_say(c, "Who?", NULL, NULL, &d) == RBE_ERR_INTERRUPTED);
    /* From another thread, at any moment. */
    for (int i = 0; i < 12; i++) {
        CHECK(!pthread_create(&t, NULL, cancel_soon, c));
        const enum rbe_status err = rbe_chat_say(c, "Where does the river go?", NULL, NULL, &d);
        CHECK(!err || err == RBE_ERR_INTERRUPTED);
        pthread_join(t, NULL);
    }
    rbe_chat_reset(c);
    CHECK(!rbe_chat_say(c, "Where does the river go?", NULL, NULL, &d));
    rbe_chat_close(&c);
}

/* --- the chapter's functions, and leaks --------------------------------------------------- */

static void check_chapter(void)
{
    void *m = rbe_gpt2_init(MODEL);
    char *a = rbe_gpt2_generate(m, "Where does the river rise?");

    CHECK(m && a && *a);
    CHECK(!rbe_gpt2_generate(m, "") && !rbe_gpt2_generate(NULL, "Who?"));
    CHECK(!rbe_gpt2_init("missing.rbe") && !rbe_gpt2_init(NULL));
    free(a);
    rbe_gpt2_release(m);
    rbe_gpt2_release(NULL);
}

/* A hundred turns keep no memory that ten did not. */
static void check_growth(void)
{
    struct rbe_chat *c = open_one(1);
    size_t used[2] = {0};

    for (int i = 0; c && i < 100; i++) {
        const enum rbe_status err = rbe_chat_say(c, i % 3 ? "Who?" : "", NULL, NULL, &d);
        CHECK(!err || err == RBE_ERR_ARG);
        if (i == 10 || i == 99)
            used[i == 99] = mallinfo2().uordblks;
    }
    CHECK(used[1] <= used[0] + 4096);
    rbe_chat_close(&c);
}

/* --- what an app's process keeps ---------------------------------------------------------- */

static struct sigaction before[32];

static void note_signals(struct sigaction all[32])
{
    for (int s = 1; s < 32; s++)
        sigaction(s, NULL, &all[s]);
}

/* Nothing is printed, no signal gets a handler. */
static void check_quiet(void)
{
    struct sigaction after[32];
    char name[] = "/tmp/rbe-quiet-XXXXXX";
    const int file = mkstemp(name), out = dup(1), err = dup(2);

    fflush(NULL);
    dup2(file, 1);
    dup2(file, 2);
    struct rbe_chat *c = NULL;
    const struct rbe_edge_config how = {.threads = 2, .context = 64};
    enum rbe_status bad = rbe_chat_open(&c, "missing.rbe", NULL, &how, NULL);
    bad = bad ? rbe_chat_open(&c, MODEL, NULL, &how, NULL) : RBE_ERR_ARG;
    if (!bad)
        bad = rbe_chat_say(c, "Who?", NULL, NULL, NULL);
    const bool refused = !bad && rbe_chat_say(c, "\xFF", NULL, NULL, NULL) == RBE_ERR_FORMAT;
    rbe_chat_close(&c);
    fflush(NULL);
    dup2(out, 1);
    dup2(err, 2);
    CHECK(!bad && refused && lseek(file, 0, SEEK_END) == 0);
    note_signals(after);
    for (int s = 1; s < 32; s++)
        CHECK(after[s].sa_handler == before[s].sa_handler);
    close(file);
    close(out);
    close(err);
    unlink(name);
}

int main(void)
{
    note_signals(before);
    CHECK(!rbe_init(&d));
    check_quiet();
    check_answers();
    check_lookup();
    check_refusals();
    check_cancel();
    check_chapter();
    check_growth();
    return check_done();
}

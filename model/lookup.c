/*
 * lookup.c - the next tokens guessed from the text so far, and checked several at once.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/lookup.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROWS = RBE_LOOKUP_GUESS + 1 };

/* In passes of one token: of all passes, what guesses may lose; and what they have won is
 * remembered up to so many. */
static const double may_lose = 0.015, remembered = 4;

/* A batch of n tokens costs so many passes until that is measured. */
static double first_cost(unsigned n)
{
    return 1 + 0.2 * (n - 1);
}

struct rbe_lookup {
    struct rbe_session *s;
    uint32_t vocab;
    unsigned rows;              /* 1: never guesses */
    bool always;
    float *logits;              /* [rows][vocab] */
    uint32_t fed[ROWS];         /* the last batch: a token that was due, and a guess */
    uint32_t base;              /* tokens before them */
    unsigned ran, used;         /* of fed; ran is 0 when nothing is left */
    double seconds[ROWS + 1];   /* of a batch of so many */
    unsigned seen[ROWS + 1];    /* how often that was measured */
    double right;               /* share of guessed tokens that are, lately */
    double lost;                /* passes that guesses cost more than they saved */
    struct rbe_lookup_counts counts;
};

enum rbe_status rbe_lookup_open(struct rbe_lookup **out, struct rbe_session *s,
                                const struct rbe_model *m, enum rbe_guessing when,
                                struct rbe_diag *d)
{
    struct rbe_lookup *k = calloc(1, sizeof *k);
    const bool can = when != RBE_GUESS_NEVER && rbe_session_alike(s) >= ROWS;

    *out = NULL;
    if (k) {
        k->s = s;
        k->vocab = rbe_model_vocab(m);
        k->rows = can ? ROWS : 1;
        k->always = when == RBE_GUESS_ALWAYS;
        k->right = 0.8;
        k->logits = malloc(k->rows * (size_t)k->vocab * sizeof *k->logits);
    }
    if (!k || !k->logits) {
        rbe_lookup_close(&k);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for logits");
    }
    *out = k;
    return RBE_OK;
}

void rbe_lookup_close(struct rbe_lookup **k)
{
    if (!*k)
        return;
    free((*k)->logits);
    free(*k);
    *k = NULL;
}

const struct rbe_lookup_counts *rbe_lookup_counts(const struct rbe_lookup *k)
{
    return &k->counts;
}

uint32_t rbe_lookup_guess(const uint32_t *ids, size_t n, uint32_t most, uint32_t *to)
{
    enum { SAME = 3 };          /* tokens that must have stood there before */

    if (n < SAME + 1)
        return 0;
    const uint32_t *const last = ids + n - SAME;
    /* The latest place counts.  A guess that reaches the end goes on with itself: a text that
     * goes in circles does. */
    for (size_t i = n - 1; i >= SAME; i--)
        if (ids[i - 1] == last[SAME - 1] && !memcmp(ids + i - SAME, last, sizeof *ids * SAME)) {
            for (uint32_t j = 0; j < most; j++)
                to[j] = i + j < n ? ids[i + j] : to[i + j - n];
            return most;
        }
    return 0;
}

/* --- what it costs ------------------------------------------------------------------------ */

/* Of this thread: what others do meanwhile is left out. */
static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The least of the first ones, which may warm something up; from there on towards the median,
 * in steps that become short: an outlier moves it no further than any other measurement. */
static void measured(struct rbe_lookup *k, unsigned n, double seconds)
{
    const unsigned seen = k->seen[n]++;
    const double step = seen < 32 ? 1.1 : 1.03;
    double *known = &k->seconds[n];

    if (seen < 3)
        *known = seen && *known < seconds ? *known : seconds;
    else
        *known *= seconds > *known ? step : 1 / step;
}

static double cost(const struct rbe_lookup *k, unsigned n)
{
    return k->seen[n] && k->seen[1] ? k->seconds[n] / k->seconds[1] : first_cost(n);
}

/* Tokens of a batch that makes most of its time, of at most `most`; 1: no guess, as one that
 * were wrong would have cost too much. */
static unsigned best_batch(const struct rbe_lookup *k, unsigned most)
{
    unsigned best = 1;
    double expected = 1, power = 1, gain = 0;

    for (unsigned n = 2; n <= most; n++) {
        expected += power *= k->right;
        if (expected > gain * cost(k, n)) {
            gain = expected / cost(k, n);
            best = n;
        }
    }
    if (best > 1 && k->lost + cost(k, best) - 1 > may_lose * (double)k->counts.tokens)
        best = 1;
    return k->always ? most : best;
}

/* Between bounds that leave a long guess a chance, and a short one. */
static void count_right(struct rbe_lookup *k, bool right)
{
    k->right += 0.1 * ((right ? 0.95 : 0.3) - k->right);
}

void rbe_lookup_end(struct rbe_lookup *k)
{
    if (!k->ran)
        return;
    rbe_session_truncate(k->s, k->base + k->used);
    if (k->used < k->ran)
        count_right(k, false);
    k->lost += cost(k, k->ran) - k->used;
    if (k->lost < -remembered)
        k->lost = -remembered;
    k->ran = k->used = 0;
}

/* --- passes ------------------------------------------------------------------------------- */

/* The token that is due, and the guess behind it. */
static enum rbe_status run_guess(struct rbe_lookup *k, unsigned n, struct rbe_diag *d)
{
    const double start = cpu_now();
    enum rbe_status err;

    k->base = rbe_session_length(k->s);
    if ((err = rbe_forward(k->s, k->fed, n, d)))
        return err;
    err = rbe_logits(k->s, 0, n, k->logits, d);
    if (err) {                  /* maybe of the guess alone */
        rbe_session_truncate(k->s, k->base + 1);
        return err == RBE_ERR_NUMERIC ? rbe_logits(k->s, 0, 1, k->logits, d) : err;
    }
    k->ran = n;
    k->used = 1;
    measured(k, n, cpu_now() - start);
    k->counts.tokens++;
    k->counts.spent += cost(k, n);
    k->counts.guessed += n - 1;
    return RBE_OK;
}

static enum rbe_status run(struct rbe_lookup *k, const uint32_t *ids, size_t n,
                           struct rbe_diag *d)
{
    const uint32_t held = rbe_session_length(k->s);
    const size_t due = n - held;
    const uint32_t room = k->rows > 1 && due == 1 ? rbe_session_alike(k->s) : 1;
    const unsigned most = room < ROWS ? room : ROWS;
    const double start = cpu_now();
    unsigned count = best_batch(k, most);
    enum rbe_status err;

    if (count > 1) {
        k->fed[0] = ids[n - 1];
        count = 1 + rbe_lookup_guess(ids, n, count - 1, k->fed + 1);
    }
    if (count > 1)
        return run_guess(k, count, d);
    if ((due && (err = rbe_forward(k->s, ids + held, due, d))) ||
        (err = rbe_logits(k->s, RBE_LAST, 1, k->logits, d)))
        return err;
    if (due == 1) {
        measured(k, 1, cpu_now() - start);
        k->counts.tokens++;
        k->counts.spent++;
    }
    return RBE_OK;
}

enum rbe_status rbe_lookup_logits(struct rbe_lookup *k, const uint32_t *ids, size_t n,
                                  const float **logits, struct rbe_diag *d)
{
    *logits = k->logits;
    if (k->used < k->ran && n == (size_t)k->base + k->used + 1 &&
        ids[n - 1] == k->fed[k->used]) {
        *logits = k->logits + (size_t)k->used++ * k->vocab;
        k->counts.right++;
        count_right(k, true);
        k->counts.tokens++;
        return RBE_OK;
    }
    rbe_lookup_end(k);
    return run(k, ids, n, d);
}

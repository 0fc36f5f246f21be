/*
 * check_sampler.c - choices computed by hand, and frequencies against probabilities.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <rbe/sampler.h>
#include <stdlib.h>
#include <string.h>

#include "base/stats.h"
#include "kernels/cpu.h"
#include "kernels/elementwise.h"
#include "kernels/test/check.h"

enum { DRAWS = 40000 };

static uint32_t once(const float *logits, size_t vocab, struct rbe_sampling how)
{
    struct rbe_sampler *s = rbe_sampler_open(vocab, how);
    const uint32_t id = rbe_sample(s, logits);

    rbe_sampler_close(&s);
    CHECK(!s);
    return id;
}

static void check_greedy(void)
{
    const float logits[] = {1, 5, -3, 5, 4}, odd[] = {NAN, -INFINITY, -2, NAN};
    const float nans[] = {NAN, NAN}, same[] = {7, 7, 7};

    CHECK(once(logits, 5, (struct rbe_sampling){.top_p = 1}) == 1);
    CHECK(once(odd, 4, (struct rbe_sampling){.top_p = 1}) == 2);
    CHECK(once(odd, 4, (struct rbe_sampling){.temperature = 1, .top_p = 1}) == 2);
    CHECK(once(nans, 2, (struct rbe_sampling){.temperature = 1, .top_p = 1}) < 2);
    CHECK(once(same, 3, (struct rbe_sampling){.top_p = 1}) == 0);
    CHECK(once(logits, 1, (struct rbe_sampling){.temperature = 1, .top_p = 1}) == 0);
    /* Keeping one is greedy at any temperature. */
    for (uint64_t seed = 0; seed < 100; seed++) {
        const struct rbe_sampling k = {.temperature = 9, .top_k = 1, .top_p = 1, .seed = seed};
        const struct rbe_sampling p = {.temperature = 9, .top_p = 1e-6F, .seed = seed};
        CHECK(once(logits, 5, k) == 1);
        CHECK(once(logits, 5, p) == 1);
    }
}

/* Draws many and compares each id's share with `want`, within five standard errors. */
static void check_shares(const float *logits, size_t vocab, struct rbe_sampling how,
                         const double *want)
{
    struct rbe_sampler *s = rbe_sampler_open(vocab, how);
    unsigned hits[16] = {0};

    for (int i = 0; i < DRAWS; i++)
        hits[rbe_sample(s, logits)]++;
    for (size_t i = 0; i < vocab; i++) {
        CHECK_NEAR(hits[i] / (double)DRAWS, want[i],
                   5 * sqrt(want[i] * (1 - want[i]) / DRAWS));
        CHECK(want[i] > 0 || hits[i] == 0);
    }
    rbe_sampler_close(&s);
}

/* Logits log 8, log 4, log 2, log 1, log 1: probabilities 1/2, 1/4, 1/8, 1/16, 1/16. */
static void check_by_hand(void)
{
    const float l[] = {0.6931472F, 2.0794415F, 0, 1.3862944F, 0};
    /* ids by probability: 1 (8), 3 (4), 0 (2), 2 (1), 4 (1) */

    check_shares(l, 5, (struct rbe_sampling){.temperature = 1, .top_p = 1, .seed = 1},
                 (const double[]){0.125, 0.5, 0.0625, 0.25, 0.0625});
    check_shares(l, 5, (struct rbe_sampling){.temperature = 1, .top_k = 2, .top_p = 1},
                 (const double[]){0, 2. / 3, 0, 1. / 3, 0});
    check_shares(l, 5, (struct rbe_sampling){.temperature = 1, .top_k = 4, .top_p = 1},
                 (const double[]){2. / 15, 8. / 15, 1. / 15, 4. / 15, 0});
    /* 1/2 + 1/4 = 3/4 < 0.8 <= 7/8: three stay. */
    check_shares(l, 5, (struct rbe_sampling){.temperature = 1, .top_p = 0.8F},
                 (const double[]){1. / 7, 4. / 7, 0, 2. / 7, 0});
    /* The token that reaches p is kept: 0.4 needs only the first. */
    check_shares(l, 5, (struct rbe_sampling){.temperature = 1, .top_p = 0.4F},
                 (const double[]){0, 1, 0, 0, 0});
    /* Top 3 first (8, 4, 2 of 14), then 0.8 of those: 12/14 reaches it. */
    check_shares(l, 5, (struct rbe_sampling){.temperature = 1, .top_k = 3, .top_p = 0.8F},
                 (const double[]){0, 2. / 3, 0, 1. / 3, 0});
    /* Temperature 1/2 squares: 64, 16, 4, 1, 1 of 86. */
    check_shares(l, 5, (struct rbe_sampling){.temperature = 0.5F, .top_p = 1},
                 (const double[]){4. / 86, 64. / 86, 1. / 86, 16. / 86, 1. / 86});
    check_shares(l, 5, (struct rbe_sampling){.temperature = 1, .top_k = 100, .top_p = 1},
                 (const double[]){0.125, 0.5, 0.0625, 0.25, 0.0625});
    /* A temperature whose inverse is infinite, logits whose difference is, a p that one token
     * passes: the likeliest.  A temperature that flattens all: each alike. */
    const float wide[] = {-3e38F, 3e38F, 0, -INFINITY};
    check_shares(l, 5, (struct rbe_sampling){.temperature = 1e-40F, .top_p = 1},
                 (const double[]){0, 1, 0, 0, 0});
    check_shares(l, 5, (struct rbe_sampling){.temperature = 1e-40F, .top_k = 3, .top_p = 0.5F},
                 (const double[]){0, 1, 0, 0, 0});
    check_shares(wide, 4, (struct rbe_sampling){.temperature = 100, .top_k = 4, .top_p = 1},
                 (const double[]){0, 1, 0, 0});
    check_shares(l, 5, (struct rbe_sampling){.temperature = 1, .top_p = 1e-38F},
                 (const double[]){0, 1, 0, 0, 0});
    check_shares(l, 5, (struct rbe_sampling){.temperature = 1e30F, .top_p = 1},
                 (const double[]){0.2, 0.2, 0.2, 0.2, 0.2});
}

static void check_seeds(struct check_rng *rng)
{
    enum { VOCAB = 1000, LENGTH = 200 };
    const struct rbe_sampling how[] = {{.temperature = 1, .top_p = 1},
                                       {.temperature = 0.8F, .top_k = 40, .top_p = 0.95F}};
    static float logits[VOCAB];
    unsigned differ = 0;

    for (int i = 0; i < VOCAB; i++)
        logits[i] = 4 * check_unit(rng);
    for (size_t h = 0; h < 2; h++) {
        struct rbe_sampling other = how[h];
        other.seed = 1;
        struct rbe_sampler *a = rbe_sampler_open(VOCAB, how[h]);
        struct rbe_sampler *b = rbe_sampler_open(VOCAB, how[h]);
        struct rbe_sampler *c = rbe_sampler_open(VOCAB, other);
        for (int i = 0; i < LENGTH; i++) {
            const uint32_t x = rbe_sample(a, logits);
            CHECK(x == rbe_sample(b, logits) && x < VOCAB);
            differ += x != rbe_sample(c, logits);
        }
        rbe_sampler_close(&a);
        rbe_sampler_close(&b);
        rbe_sampler_close(&c);
    }
    CHECK(differ > LENGTH);
    struct rbe_sampler *none = NULL;
    rbe_sampler_close(&none);
}

/* --- against a plain choice --------------------------------------------------------------- */

enum { WORDS = 700 };
static float chance[WORDS];

static int likelier(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return chance[x] != chance[y] ? (chance[x] < chance[y] ? 1 : -1) : (x < y ? -1 : 1);
}

/* All of them sorted. */
static uint32_t plain_choice(const float *logits, struct rbe_sampling how, uint64_t *state)
{
    const double u = (double)(rbe_random_next(state) >> 11) * 0x1p-53;
    const size_t k = how.top_k && how.top_k < WORDS ? how.top_k : WORDS;
    uint32_t ids[WORDS];
    float most = -INFINITY;
    double mass = 0, within = 0, sum = 0;
    size_t n = 0;

    for (size_t i = 0; i < WORDS; i++)
        most = logits[i] > most ? logits[i] : most;
    for (size_t i = 0; i < WORDS; i++) {
        chance[i] = (logits[i] - most) * (1 / how.temperature);
        ids[i] = (uint32_t)i;
    }
    rbe_elementwise_best(rbe_cpu_isa())->softmax(chance, WORDS);
    qsort(ids, WORDS, sizeof *ids, likelier);
    while (n < k && !(k == WORDS && mass >= (double)how.top_p))
        mass += chance[ids[n++]];
    for (size_t i = 0; k < WORDS && i < n; i++) {
        within += chance[ids[i]];
        if (within >= (double)how.top_p * mass) {
            mass = within;
            n = i + 1;
        }
    }
    for (size_t i = 0; i < n; i++) {
        sum += chance[ids[i]];
        if (sum > u * mass)
            return ids[i];
    }
    return ids[0];
}

/* Logits with many equals, so that the order of ids counts. */
static void check_plain(struct check_rng *rng)
{
    static const uint32_t ks[] = {0, 1, 2, 40, 349, 350, 351, 699, 700};
    static const float ps[] = {1, 0.3F, 0.9F, 0.985F, 0.995F, 0.999999F};
    float logits[WORDS];
    unsigned wrong = 0;

    for (size_t i = 0; i < WORDS; i++)
        logits[i] = (float)check_below(rng, 20) * 0.4F;
    for (size_t k = 0; k < sizeof ks / sizeof *ks; k++)
        for (size_t p = 0; p < sizeof ps / sizeof *ps; p++) {
            const struct rbe_sampling how = {.temperature = 0.7F, .top_k = ks[k],
                                             .top_p = ps[p], .seed = k};
            struct rbe_sampler *s = rbe_sampler_open(WORDS, how);
            uint64_t state = how.seed;
            const bool all = (!ks[k] || ks[k] >= WORDS) && ps[p] == 1;   /* in order of ids */
            for (int i = 0; i < 20 && !all; i++)
                wrong += rbe_sample(s, logits) != plain_choice(logits, how, &state);
            rbe_sampler_close(&s);
        }
    CHECK(wrong == 0);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);

    rbe_cpu_init();
    check_greedy();
    check_by_hand();
    check_seeds(&rng);
    check_plain(&rng);
    return check_done();
}

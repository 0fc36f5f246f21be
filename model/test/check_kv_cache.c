/*
 * check_kv_cache.c - a cache of f16 or int8 gives the same numbers however tokens came into it.
 *
 * SPDX-License-Identifier: MIT
 *
 * With the RBE model that ships, whose products give the same bits in batches and one by one.
 */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "kernels/cpu.h"
#include "kernels/kernel.h"
#include "kernels/test/check.h"
#include "model/data.h"
#include "model/model.h"

/* Not a multiple of what the cache is laid out in, and long enough for blocks of every kind. */
enum { TOKENS = 99, KEPT = 41, VOCAB_MAX = 8192 };

static struct rbe_model *model;
static struct rbe_pool *pool;
static uint32_t ids[TOKENS], vocab;
static float want[TOKENS * VOCAB_MAX], got[VOCAB_MAX];

static struct rbe_session *open_session(enum rbe_kv_cache kv, uint32_t batch, unsigned threads)
{
    const struct rbe_session_limits l = {.max_tokens = TOKENS, .max_batch = batch,
                                         .max_logits = 1, .kv_cache = kv};
    struct rbe_session *s = NULL;
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_session_open(&s, model, l, threads == 1 ? NULL : pool, &d)))
        printf("     %s\n", d.text);
    return s;
}

/* Tokens first .. last - 1 in one call; then the last one's logits are what they were. */
static void go_on(struct rbe_session *s, uint32_t first, uint32_t last)
{
    struct rbe_diag d = {""};

    CHECK(rbe_session_length(s) == first);
    CHECK(!rbe_forward(s, ids + first, last - first, &d));
    CHECK(!rbe_logits(s, RBE_LAST, 1, got, &d));
    CHECK(!memcmp(got, want + (size_t)(last - 1) * vocab, vocab * sizeof *got));
}

static void check_type(enum rbe_kv_cache kv, const float *exact, double bound)
{
    static const uint32_t batches[] = {TOKENS, 9, 1};
    struct rbe_diag d = {""};
    double power = 0, error = 0;

    /* Token by token, on one thread: what all else is held to. */
    struct rbe_session *s = open_session(kv, 1, 1);
    CHECK(s && rbe_session_kv_cache(s) == kv);
    for (uint32_t t = 0; s && t < TOKENS; t++) {
        CHECK(!rbe_forward(s, ids + t, 1, &d));
        CHECK(!rbe_logits(s, RBE_LAST, 1, want + (size_t)t * vocab, &d));
    }
    rbe_session_close(&s);
    for (size_t i = 0; i < (size_t)TOKENS * vocab; i++) {
        power += (double)exact[i] * exact[i];
        error += ((double)want[i] - exact[i]) * ((double)want[i] - exact[i]);
    }
    printf("cache of %s: error %.2g of the logits' RMS\n", rbe_kv_cache_name(kv),
           sqrt(error / power));
    CHECK(error > 0 && sqrt(error / power) <= bound);
    for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        if (!(s = open_session(kv, batches[b], 2)))
            continue;
        go_on(s, 0, KEPT);
        go_on(s, KEPT, TOKENS);
        /* Cut off, and put there again; in between other tokens stood there. */
        const uint32_t saved = ids[KEPT + 1];
        rbe_session_truncate(s, KEPT);
        ids[KEPT + 1] = saved + 1 < vocab ? saved + 1 : 0;
        CHECK(!rbe_forward(s, ids + KEPT, 40, &d));
        ids[KEPT + 1] = saved;
        rbe_session_truncate(s, KEPT - 3);
        go_on(s, KEPT - 3, KEPT + 1);
        go_on(s, KEPT + 1, TOKENS);
        rbe_session_truncate(s, 0);
        go_on(s, 0, TOKENS);
        rbe_session_close(&s);
    }
}

int main(int argc, char **argv)
{
    static float exact[TOKENS * VOCAB_MAX];
    struct check_rng rng = check_seed(argc, argv);
    char *path = rbe_data_path("mini-2.89-tuned.rbe");
    struct rbe_diag d = {""};

    if (rbe_cpu_init())
        return 2;
    /* What the cache alone rounds is compared. */
    rbe_act_choose_bits(16);
    if (!CHECK(path != NULL) || !CHECK(!rbe_model_open(&model, path, &d)) ||
        !CHECK(!rbe_pool_open(&pool, 2, &d)))
        return check_done();
    vocab = rbe_model_vocab(model);
    CHECK(vocab <= VOCAB_MAX);
    for (int i = 0; i < TOKENS; i++)
        ids[i] = check_below(&rng, vocab);
    struct rbe_session *s = open_session(RBE_KV_F32, 1, 2);
    for (uint32_t t = 0; s && t < TOKENS; t++)
        CHECK(!rbe_forward(s, ids + t, 1, &d) &&
              !rbe_logits(s, RBE_LAST, 1, exact + (size_t)t * vocab, &d));
    rbe_session_close(&s);
    check_type(RBE_KV_F16, exact, 1e-3);
    check_type(RBE_KV_INT8, exact, 0.02);
    /* An RBE model takes int8 unless told otherwise; what is no kind is refused. */
    if ((s = open_session(RBE_KV_DEFAULT, 1, 1)))
        CHECK(rbe_session_kv_cache(s) == RBE_KV_INT8);
    rbe_session_close(&s);
    const struct rbe_session_limits bad = {.kv_cache = (enum rbe_kv_cache)4};
    CHECK(rbe_session_open(&s, model, bad, NULL, &d) == RBE_ERR_ARG && !s);
    rbe_pool_close(&pool);
    rbe_model_close(&model);
    free(path);
    return check_done();
}

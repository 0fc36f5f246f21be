/*
 * check_lookup.c - tokens that are guessed change nothing but the time: what is chosen stays
 * the same to the token, greedily and with random numbers, to the end of the context and
 * after what was cut off.
 *
 * SPDX-License-Identifier: MIT
 */
#include <rbe/sampler.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/conversation.h"
#include "model/data.h"
#include "model/lookup.h"

enum { PROMPT = 24, CONTEXT = 120, CUT = 70 };

static void check_guess(void)
{
    static const uint32_t ids[] = {1, 2, 3, 4, 5, 1, 2, 3, 6, 7, 8, 1, 2, 3};
    static const uint32_t round[] = {5, 7, 7, 7, 7};
    uint32_t to[RBE_LOOKUP_GUESS];

    /* The latest of two places; a guess goes on with itself at the end; none. */
    CHECK(rbe_lookup_guess(ids, 14, 3, to) == 3 && to[0] == 6 && to[1] == 7 && to[2] == 8);
    CHECK(rbe_lookup_guess(ids, 8, 2, to) == 2 && to[0] == 4 && to[1] == 5);
    CHECK(rbe_lookup_guess(round, 5, 3, to) == 3 && to[0] == 7 && to[1] == 7 && to[2] == 7);
    CHECK(rbe_lookup_guess(ids, 12, 3, to) == 0 && rbe_lookup_guess(ids, 3, 3, to) == 0 &&
          rbe_lookup_guess(ids, 0, 3, to) == 0 && rbe_lookup_guess(ids, 14, 0, to) == 0);
}

static struct rbe_session *open_session(struct rbe_model *m, enum rbe_kv_cache kv,
                                        uint32_t rows)
{
    const struct rbe_session_limits l = {.max_tokens = CONTEXT, .max_logits = rows,
                                         .kv_cache = kv};
    struct rbe_session *s = NULL;
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_session_open(&s, m, l, NULL, &d)))
        printf("     %s\n", d.text);
    return s;
}

/* Goes on from ids [from] to the end of the context; at times a token was not chosen. */
static void write_on(struct rbe_lookup *k, struct rbe_session *s, struct rbe_model *m,
                     struct rbe_sampling how, uint32_t *ids, uint32_t from)
{
    struct rbe_sampler *sampler = rbe_sampler_open(rbe_model_vocab(m), how);
    float *own = malloc(rbe_model_vocab(m) * sizeof *own);
    const float *logits = own;
    struct rbe_diag d = {""};

    for (uint32_t n = from; n < CONTEXT; n++) {
        const uint32_t held = rbe_session_length(s);
        if (k)
            CHECK(!rbe_lookup_logits(k, ids, n, &logits, &d));
        else
            CHECK(!rbe_forward(s, ids + held, n - held, &d) &&
                  !rbe_logits(s, RBE_LAST, 1, own, &d));
        ids[n] = rbe_sample(sampler, logits);
        /* Words that come from elsewhere: a question, say. */
        if (n % 31 == 0)
            ids[n] = ids[n - 7];
    }
    rbe_sampler_close(&sampler);
    free(own);
}

static void check_text(struct rbe_model *m, enum rbe_kv_cache kv, struct rbe_sampling how,
                       enum rbe_guessing when, bool guesses, const uint32_t *prompt)
{
    uint32_t want[2][CONTEXT], got[CONTEXT];
    struct rbe_session *s = open_session(m, kv, 1);
    struct rbe_lookup *k = NULL;
    struct rbe_diag d = {""};

    memcpy(want[0], prompt, PROMPT * sizeof *prompt);
    write_on(NULL, s, m, how, want[0], PROMPT);
    /* From the middle, with other random numbers and another token before. */
    rbe_session_truncate(s, CUT);
    memcpy(want[1], want[0], sizeof want[0]);
    want[1][CUT] = (want[1][CUT] + 1) % rbe_model_vocab(m);
    how.seed++;
    write_on(NULL, s, m, how, want[1], CUT + 1);
    how.seed--;
    rbe_session_close(&s);

    s = open_session(m, kv, rbe_lookup_rows(when));
    CHECK(!rbe_lookup_open(&k, s, m, when, &d));
    memcpy(got, prompt, PROMPT * sizeof *prompt);
    write_on(k, s, m, how, got, PROMPT);
    CHECK(!memcmp(got, want[0], sizeof got));
    rbe_lookup_end(k);
    CHECK(rbe_session_length(s) == CONTEXT - 1);
    rbe_session_truncate(s, CUT);
    memcpy(got, want[1], (CUT + 1) * sizeof *got);
    how.seed++;
    write_on(k, s, m, how, got, CUT + 1);
    CHECK(!memcmp(got, want[1], sizeof got));
    const struct rbe_lookup_counts *n = rbe_lookup_counts(k);
    printf("%s, temperature %.1f: %llu of %llu guesses right, %llu tokens\n",
           rbe_kv_cache_name(rbe_session_kv_cache(s)), (double)how.temperature,
           (unsigned long long)n->right, (unsigned long long)n->guessed,
           (unsigned long long)n->tokens);
    if (!guesses)
        CHECK(!n->guessed && !n->right && n->spent == (double)n->tokens);
    else if (when == RBE_GUESS_ALWAYS)
        CHECK(n->right > 0 && n->guessed > n->right);
    rbe_lookup_close(&k);
    rbe_session_close(&s);
}

/* A text whose guesses are all wrong: what they cost stays within its bound. */
static void check_loss(struct rbe_model *m)
{
    enum { WORDS = 3 };
    struct rbe_session *s = open_session(m, RBE_KV_DEFAULT, RBE_LOOKUP_GUESS + 1);
    uint32_t ids[CONTEXT];
    struct rbe_lookup *k = NULL;
    struct rbe_diag d = {""};
    const float *logits;

    /* The same three words, and each time another one. */
    for (uint32_t i = 0; i < CONTEXT; i++)
        ids[i] = i % (WORDS + 1) < WORDS ? i % (WORDS + 1) : 10 + i;
    CHECK(!rbe_lookup_open(&k, s, m, RBE_GUESS_WHERE_IT_PAYS, &d));
    for (int i = 0; i < 3; i++) {
        rbe_session_truncate(s, 0);
        for (uint32_t n = 1; n <= CONTEXT; n++)
            CHECK(!rbe_lookup_logits(k, ids, n, &logits, &d));
        rbe_lookup_end(k);
    }
    const struct rbe_lookup_counts *n = rbe_lookup_counts(k);
    printf("%llu guesses, all wrong: %.1f passes for %llu tokens\n",
           (unsigned long long)n->guessed, n->spent, (unsigned long long)n->tokens);
    CHECK(n->guessed > 0 && !n->right);
    CHECK(n->spent <= 1.02 * (double)n->tokens + 1);
    rbe_lookup_close(&k);
    rbe_session_close(&s);
}

/* The same answers, over turns that are forgotten and answers that end early. */
static void check_talk(struct rbe_model *m, const char *path)
{
    static const char *const questions[] = {
        "Where does the river rise?", "And where does it go?", "Where does the river rise?"};
    struct rbe_turn turn[2];
    struct rbe_session *s[2];
    struct rbe_conversation *c[2] = {NULL};
    struct rbe_tokenizer *t = NULL;
    struct rbe_diag d = {""};
    uint64_t right = 0;
    bool dropped = false;

    if (!CHECK(!rbe_find_tokenizer(&t, NULL, path, rbe_model_config(m), &d)))
        return;
    for (int i = 0; i < 2; i++) {
        const enum rbe_guessing when = i ? RBE_GUESS_ALWAYS : RBE_GUESS_NEVER;
        const struct rbe_conversation_options how = {
            .sampling = {.temperature = 0.5F, .top_k = 20, .top_p = 1, .seed = 3},
            .max_tokens = 32, .min_tokens = 24, .context = CONTEXT, .batch = 16,
            .lookup = when};
        s[i] = open_session(m, RBE_KV_DEFAULT, rbe_lookup_rows(when));
        CHECK(!rbe_conversation_open(&c[i], s[i], m, t, how, &d));
    }
    for (int i = 0; i < 6; i++) {
        for (int k = 0; k < 2; k++)
            if (!CHECK(!rbe_conversation_turn(c[k], questions[i % 3], NULL, NULL, &turn[k],
                                              &d)))
                printf("     %s\n", d.text);
        CHECK(turn[0].tokens == turn[1].tokens && !strcmp(turn[0].answer, turn[1].answer) &&
              !memcmp(turn[0].ids, turn[1].ids,
                      (turn[0].context_tokens + turn[0].tokens) * sizeof *turn[0].ids));
        right += turn[1].run.right;
        dropped |= turn[0].dropped > 0;
        rbe_turn_free(&turn[0]);
        rbe_turn_free(&turn[1]);
    }
    CHECK(right > 0 && dropped);
    for (int i = 0; i < 2; i++) {
        rbe_conversation_close(&c[i]);
        rbe_session_close(&s[i]);
    }
    rbe_tokenizer_close(&t);
}

int main(int argc, char **argv)
{
    static const struct rbe_sampling greedy = {.top_p = 1};
    static const struct rbe_sampling cold = {.temperature = 0.3F, .top_p = 1, .seed = 7};
    static const struct rbe_sampling warm = {.temperature = 0.8F, .top_k = 40, .top_p = 0.9F};
    struct check_rng rng = check_seed(argc, argv);
    char *rbe = rbe_data_path("mini-2.89-tuned.rbe"), *plain = rbe_data_path("rbe-mini");
    struct rbe_model *m = NULL;
    struct rbe_diag d = {""};
    uint32_t prompt[PROMPT];

    if (rbe_cpu_init())
        return 2;
    check_guess();
    if (!CHECK(rbe && plain))
        return check_done();
    /* A prompt that says everything twice. */
    for (int i = 0; i < PROMPT; i++)
        prompt[i] = i < PROMPT / 2 ? check_below(&rng, 8000) : prompt[i - PROMPT / 2];
    if (CHECK(!rbe_model_open(&m, rbe, &d))) {
        check_text(m, RBE_KV_INT8, greedy, RBE_GUESS_ALWAYS, true, prompt);
        check_text(m, RBE_KV_INT8, cold, RBE_GUESS_ALWAYS, true, prompt);
        check_text(m, RBE_KV_INT8, warm, RBE_GUESS_WHERE_IT_PAYS, true, prompt);
        check_text(m, RBE_KV_F16, cold, RBE_GUESS_ALWAYS, true, prompt);
        check_text(m, RBE_KV_F32, greedy, RBE_GUESS_ALWAYS, false, prompt);
        check_loss(m);
        check_talk(m, rbe);
    }
    rbe_model_close(&m);
    if (CHECK(!rbe_model_open(&m, plain, &d)))
        check_text(m, RBE_KV_DEFAULT, greedy, RBE_GUESS_ALWAYS, false, prompt);
    rbe_model_close(&m);
    free(rbe);
    free(plain);
    return check_done();
}

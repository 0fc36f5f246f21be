/*
 * check_conversation.c - history, the context's limit, times and what is reported of them.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "eval/child.h"
#include "model/conversation.h"
#include "eval/said.h"
#include "eval/softmax.h"
#include "eval/timing.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/data.h"

/* --- history ----------------------------------------------------------------------------- */

struct heard {
    char text[4096];
    size_t size;
    unsigned calls, stop_after;
};

static bool hear(void *arg, const char *bytes, size_t size)
{
    struct heard *h = arg;

    memcpy(h->text + h->size, bytes, size);
    h->size += size;
    h->text[h->size] = 0;
    return ++h->calls != h->stop_after;
}

/* The first token of the answer is what a fresh session says after the same tokens: nothing of
 * the cache was wrong. */
static void check_cache(struct rbe_runner *fresh, const struct rbe_turn *t)
{
    struct rbe_diag d = {""};

    CHECK(!rbe_runner_forward(fresh, 0, t->ids, t->context_tokens, &d));
    CHECK(!rbe_logits(fresh->session, RBE_LAST, 1, fresh->logits, &d));
    CHECK(rbe_argmax(fresh->logits, fresh->vocab) == t->ids[t->context_tokens]);
}

static void check_history(struct rbe_runner *r, struct rbe_runner *fresh,
                          const struct rbe_tokenizer *t)
{
    const struct rbe_conversation_options how = {.sampling = {.top_p = 1}, .max_tokens = 24,
                                                 .min_tokens = 24};
    struct rbe_conversation *c;
    struct rbe_turn turn;
    struct rbe_diag d = {""};
    uint32_t context = 0;
    bool dropped = false;

    CHECK(!rbe_conversation_open(&c, r->session, r->model, t, how, &d));
    for (int i = 0; i < 16; i++) {
        struct heard h = {.size = 0};
        if (!CHECK(!rbe_conversation_turn(c, "Where does the river rise, and where does it go?",
                                          hear, &h, &turn, &d)))
            break;
        CHECK(turn.tokens >= 1 && turn.tokens <= 24 && turn.first_ms > 0);
        CHECK(turn.context_tokens + 24 <= r->n_ctx);
        CHECK(!strncmp(h.text, turn.answer, strlen(turn.answer)));
        CHECK(turn.dropped ? turn.context_tokens <= r->n_ctx * 3 / 4
                           : turn.context_tokens == context + turn.prompt_tokens);
        if (turn.dropped && !dropped)
            check_cache(fresh, &turn);
        if (i == 1)
            check_cache(fresh, &turn);
        dropped = dropped || turn.dropped;
        context = turn.context_tokens + turn.tokens;
        rbe_turn_free(&turn);
    }
    CHECK(dropped);

    /* The listener stops the answer. */
    struct heard h = {.stop_after = 3};
    CHECK(!rbe_conversation_turn(c, "And then?", hear, &h, &turn, &d));
    CHECK(turn.tokens == 3);
    rbe_turn_free(&turn);

    /* Too long a question is refused, and the conversation goes on. */
    char *longest = calloc(1, 4000);
    for (int i = 0; i < 700; i++)
        strcat(longest, "word ");
    CHECK(rbe_conversation_turn(c, longest, NULL, NULL, &turn, &d) == RBE_ERR_LIMIT);
    free(longest);
    CHECK(!rbe_conversation_turn(c, "Still there?", NULL, NULL, &turn, &d));
    rbe_turn_free(&turn);
    rbe_conversation_reset(c);
    CHECK(!rbe_conversation_turn(c, "Who?", NULL, NULL, &turn, &d));
    CHECK(turn.context_tokens == turn.prompt_tokens);
    rbe_turn_free(&turn);
    rbe_conversation_close(&c);
}

/* --- ChatML ------------------------------------------------------------------------------- */

enum { THE = 262, LAST = 8190 };        /* " the", and a token that no merge needs */

static void put_json(const char *dir, const char *name, const json_t *j)
{
    char *path = rbe_path_join(dir, name);

    CHECK(!json_dump_file(j, path, JSON_COMPACT));
    free(path);
}

/* The vocabulary that ships with " the" as <|im_end|> and another token as <|im_start|>, so
 * that an answer of the model soon ends. */
static struct rbe_tokenizer *chatml_tokenizer(const char *folder)
{
    char dir[] = "/tmp/rbe-check-chat-XXXXXX", line[300], a[128], b[128];
    char *path = rbe_path_join(folder, "vocab.json");
    json_t *old = json_load_file(path, 0, NULL), *vocab = json_object(), *id;
    json_t *merges = json_array();
    struct rbe_tokenizer *t = NULL;
    struct rbe_diag d = {""};
    const char *key;

    free(path);
    json_object_foreach(old, key, id)
        json_object_set(vocab, json_integer_value(id) == THE    ? "<|im_end|>"
                               : json_integer_value(id) == LAST ? "<|im_start|>" : key, id);
    path = rbe_path_join(folder, "merges.txt");
    FILE *f = fopen(path, "r");
    free(path);
    while (f && fgets(line, sizeof line, f)) {
        char both[256];
        if (sscanf(line, "%127s %127s", a, b) != 2)
            continue;
        snprintf(both, sizeof both, "%s%s", a, b);
        if (json_object_get(vocab, a) && json_object_get(vocab, b) &&
            json_object_get(vocab, both))
            json_array_append_new(merges, json_pack("[s, s]", a, b));
    }
    if (f)
        fclose(f);
    CHECK(mkdtemp(dir));
    json_t *all = json_pack(
        "{s:{s:s, s:b}, s:{s:o, s:o}, s:[{s:i, s:s, s:b}, {s:i, s:s, s:b}]}",
        "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "model", "vocab", vocab,
        "merges", merges, "added_tokens", "id", THE, "content", "<|im_end|>",
        "special", 1, "id", LAST, "content", "<|im_start|>", "special", 1);
    put_json(dir, "tokenizer.json", all);
    if (!CHECK(!rbe_tokenizer_open(&t, dir, &d)))
        printf("     %s\n", d.text);
    path = rbe_path_join(dir, "tokenizer.json");
    unlink(path);
    free(path);
    rmdir(dir);
    json_decref(all);
    json_decref(old);
    return t;
}

/* The ids at *at are those of text. */
static void expect_text(const struct rbe_tokenizer *t, const uint32_t *all, size_t *at,
                        const char *text)
{
    uint32_t *ids = NULL;
    size_t n = 0;

    CHECK(!rbe_tokenizer_encode(t, text, strlen(text), true, &ids, &n, NULL));
    if (!CHECK(!memcmp(all + *at, ids, n * sizeof *ids)))
        printf("     not '%s'\n", text);
    *at += n;
    free(ids);
}

static void check_chatml(struct rbe_runner *r, const struct rbe_tokenizer *gpt2,
                         const char *folder)
{
    struct rbe_conversation_options how = {.sampling = {.top_p = 1}, .max_tokens = 32,
                                           .min_tokens = 1};
    struct rbe_tokenizer *t = chatml_tokenizer(folder);
    struct rbe_conversation *c;
    struct rbe_turn turn;
    struct rbe_diag d = {""};
    char asked[1000] = "", after[1100];
    bool ended = false, dropped = false;

    if (!t)
        return;
    CHECK(rbe_has_chatml(t) && !rbe_has_chatml(gpt2));
    CHECK(!rbe_conversation_open(&c, r->session, r->model, t, how, &d));
    for (int i = 0; i < 5; i++)
        strcat(asked, "Where does the water of the river rise?<|im_end|>");
    snprintf(after, sizeof after, "user\n%s", asked);
    for (int i = 0; i < 6; i++) {
        struct heard h = {.size = 0};
        if (!CHECK(!rbe_conversation_turn(c, asked, hear, &h, &turn, &d)))
            break;
        size_t at = turn.context_tokens - turn.prompt_tokens;
        const bool first = !at;
        CHECK(first == !i);
        if (!first)
            expect_text(t, turn.ids, &at, "<|im_end|>\n");
        /* What a user writes is text. */
        uint32_t *ids = NULL;
        size_t n = 0;
        CHECK(!rbe_tokenizer_encode(t, after, strlen(after), false, &ids, &n, &d));
        at = turn.context_tokens - turn.prompt_tokens + (first ? 1 : 3);
        CHECK(!memcmp(turn.ids + at, ids, n * sizeof *ids));
        free(ids);
        at += n;
        expect_text(t, turn.ids, &at, "<|im_end|>\n<|im_start|>assistant\n");
        CHECK(at == turn.context_tokens);
        for (uint32_t k = 0; k < turn.tokens; k++)
            CHECK(turn.ids[at + k] != THE || turn.tokens == 1);
        CHECK(!strstr(h.text, "<|im_end|>"));
        ended |= turn.tokens < how.max_tokens;
        /* After the oldest are gone, a message begins the history. */
        CHECK(turn.ids[0] == LAST);
        dropped |= turn.dropped > 0;
        rbe_turn_free(&turn);
    }
    CHECK(ended && dropped);
    rbe_conversation_close(&c);
    how.plain = true;
    CHECK(!rbe_conversation_open(&c, r->session, r->model, t, how, &d));
    CHECK(!rbe_conversation_turn(c, "Who?", NULL, NULL, &turn, &d));
    size_t at = 0;
    expect_text(t, turn.ids, &at, "Question: Who?\nAnswer:");
    CHECK(at == turn.context_tokens);
    rbe_turn_free(&turn);
    rbe_conversation_close(&c);
    rbe_tokenizer_close(&t);
}

static void check_timing(struct rbe_runner *r)
{
    struct rbe_times t = {0};
    struct rbe_diag d = {""};
    const uint32_t prompt[8] = {464, 7850, 374, 2696, 287, 262, 3817, 1299};
    double ms, first;
    uint32_t token;

    CHECK(!rbe_time_prefill(r, prompt, 8, &ms, &first, &token, &d));
    CHECK(ms > 0 && first >= ms && token < r->vocab);
    CHECK(!rbe_time_decode(&t, r, token, 5, 0, &d));
    CHECK(t.count == 5 && rbe_session_length(r->session) == 8 && rbe_times_median(&t) > 0);
    json_t *o = rbe_times_json(&t);
    CHECK(json_is_null(json_object_get(o, "p99_ms")));
    CHECK(json_is_null(json_object_get(o, "p95_ms")));
    CHECK(json_is_real(json_object_get(o, "median_ms")));
    json_decref(o);
    rbe_times_free(&t);
    /* By hand: 10 12 14 20 ms: median 13, deviations 3 1 1 7, of which the median is 2. */
    double four[4] = {20, 10, 14, 12}, half[4] = {10, 5, 7, 6};
    t = (struct rbe_times){.ms = four, .count = 4};
    const struct rbe_times quick = {.ms = half, .count = 4};
    o = rbe_times_json(&t);
    CHECK_NEAR(rbe_number_at(o, "median_ms"), 13, 1e-12);
    CHECK_NEAR(rbe_number_at(o, "mad_ms"), 2, 1e-12);
    CHECK_NEAR(rbe_number_at(o, "mean_ms"), 14, 1e-12);
    CHECK_NEAR(rbe_number_at(o, "tokens_per_s"), 4 / 0.056, 1e-9);
    json_decref(o);
    /* 1 to 100 ms: p95 is at 0.95 * 99 = 94.05 steps from the first, p99 at 98.01. */
    double hundred[100];
    for (int i = 0; i < 100; i++)
        hundred[i] = 100 - i;
    const struct rbe_times long_list = {.ms = hundred, .count = 100};
    o = rbe_times_json(&long_list);
    CHECK_NEAR(rbe_number_at(o, "p50_ms"), 50.5, 1e-12);
    CHECK_NEAR(rbe_number_at(o, "p95_ms"), 95.05, 1e-9);
    CHECK_NEAR(rbe_number_at(o, "p99_ms"), 99.01, 1e-9);
    json_decref(o);
    /* 45 MB in 9 ms. */
    CHECK_NEAR(rbe_gb_per_s(45e6, 9), 5, 1e-12);
    /* What a worker reports: the first token waits for the prompt and does not count. */
    o = json_pack("{s:[f,f,f,f]}", "token_ms", 100.0, 3.0, 1.0, 2.0);
    CHECK(rbe_child_median(o) == 2);
    json_decref(o);
    o = json_pack("{s:[f]}", "token_ms", 100.0);
    CHECK(isnan(rbe_child_median(o)));
    json_decref(o);
    /* Half the time at every index: twice as fast in every draw. */
    const struct rbe_interval ci = rbe_times_speedup_ci(&t, &quick);
    CHECK(ci.low == 2 && ci.high == 2);
    /* Two of four CPUs busy for a second, half of one by this process: 1.5 of 4 foreign. */
    const struct rbe_load a = {.wall = 1, .own_cpu = 2, .busy = 10, .steal = 0, .cpus = 4};
    const struct rbe_load b = {.wall = 2, .own_cpu = 2.5, .busy = 12, .steal = 0.4, .cpus = 4};
    const struct rbe_load_share s = rbe_load_between(&a, &b);
    CHECK_NEAR(s.foreign, 0.375, 1e-12);
    CHECK_NEAR(s.steal, 0.1, 1e-12);
    CHECK_NEAR(s.own_cpus, 0.5, 1e-12);
}

/* Two turns worked out by hand. */
static void check_summary(void)
{
    double one[4] = {10, 20, 30, 40}, two[2] = {60, 20};
    struct rbe_said s[2] = {
        {.turn = {.tokens = 5, .first_ms = 100, .token_ms = one}, .coherence = 1,
         .quality = 10, .usage = {.resident_bytes = 7}},
        {.turn = {.tokens = 3, .first_ms = 500, .token_ms = two, .dropped = 2}, .coherence = 2,
         .quality = 1000}};
    json_t *o = rbe_said_summary(s, 2, 1.5);

    CHECK(rbe_number_at(o, "tokens") == 8 && rbe_number_at(o, "turns") == 2);
    CHECK(rbe_number_at(o, "first_token_ms_max") == 500);
    /* Too few tokens for a p95: the largest stands for it. */
    CHECK(rbe_number_at(o, "p95_ms_max") == 60);
    CHECK(rbe_number_at(o, "turns_within") == 1);     /* the second has 60 > 50 ms */
    /* 10 20 20 30 40 60: the middle is 25. */
    CHECK(rbe_number_at(o, "p50_ms") == 25);
    CHECK(json_is_null(json_object_get(o, "p95_ms")));
    CHECK(rbe_number_at(o, "resident_bytes_max") == 7);
    CHECK(rbe_number_at(o, "dropped_turns") == 2);
    CHECK(rbe_number_at(o, "coherence") == 1.5);
    CHECK_NEAR(rbe_number_at(o, "quality"), 100, 1e-9);       /* geometric mean */
    CHECK(json_is_null(json_object_get(o, "hundred_tokens_s")));
    json_decref(o);
    /* A hundred tokens: 1.5 s of loading, 100 ms, then 99 times 10 ms. */
    double many[120];
    for (int i = 0; i < 120; i++)
        many[i] = 10;
    s[0].turn.token_ms = many;
    s[0].turn.tokens = 121;
    o = rbe_said_summary(s, 1, 1.5);
    CHECK_NEAR(rbe_number_at(o, "hundred_tokens_s"), 1.5 + 0.1 + 0.99, 1e-12);
    CHECK(rbe_number_at(o, "p95_ms") == 10 && rbe_number_at(o, "p99_ms") == 10);
    json_decref(o);
}

int main(void)
{
    char *folder = rbe_data_path("rbe-mini");
    struct rbe_tokenizer *t = NULL;
    struct rbe_runner r = {0}, fresh = {0};
    struct rbe_pool *pool = NULL;
    struct rbe_diag d = {""};

    rbe_cpu_init();
    if (!CHECK(folder) || !CHECK(!rbe_pool_open(&pool, 0, &d)) ||
        !CHECK(!rbe_runner_open(&r, folder, 1, RBE_KV_DEFAULT, pool, &d)) ||
        !CHECK(!rbe_runner_open(&fresh, folder, 1, RBE_KV_DEFAULT, pool, &d)) ||
        !CHECK(!rbe_tokenizer_open(&t, folder, &d))) {
        printf("%s\n", d.text);
        return check_done();
    }
    check_history(&r, &fresh, t);
    check_chatml(&r, t, folder);
    check_timing(&r);
    check_summary();
    rbe_tokenizer_close(&t);
    rbe_runner_close(&r);
    rbe_runner_close(&fresh);
    rbe_pool_close(&pool);
    free(folder);
    return check_done();
}

/*
 * chat.c - a conversation behind one handle.
 *
 * SPDX-License-Identifier: MIT
 */
#include <rbe/chat.h>

#include <jansson.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/criteria.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/text.h"
#include "base/threads.h"
#include "base/utf8.h"
#include "deploy/pieces.h"
#include "model/conversation.h"
#include "model/data.h"
#include "model/model.h"

enum { BATCH = 32, MOST_THREADS = 1024 };

struct rbe_chat {
    struct rbe_edge_config how;
    struct rbe_model *model;
    struct rbe_tokenizer *tokenizer;
    struct rbe_pool *pool;
    struct rbe_session *session;
    struct rbe_conversation *conversation;
    struct rbe_turn turn;       /* the last one */
    uint64_t turns, forgotten;
    size_t memory;
    double load_ms;
    bool cancelled;
    bool armed;                 /* `stop` is about the next answer already */
    atomic_bool stop;
};

struct rbe_edge_config rbe_edge_config_board(void)
{
    return (struct rbe_edge_config){.memory_limit = (size_t)RBE_LIMIT(C8),
                                    .threads = (uint32_t)RBE_LIMIT(C8_THREADS),
                                    .batch = (uint32_t)RBE_LIMIT(C8_BATCH),
                                    .context = (uint32_t)RBE_LIMIT(C8_TOKENS),
                                    .sampling = {.top_p = 1}};
}

/* Zeros become what they stand for; refuses what cannot be.  n_ctx 0: not known yet, and what
 * depends on it stays as it is. */
static enum rbe_status settle(struct rbe_edge_config *h, uint32_t n_ctx, struct rbe_diag *d)
{
    if (h->threads > MOST_THREADS)
        return rbe_fail(d, RBE_ERR_ARG, "%u threads: the limit is %u", h->threads,
                        (unsigned)MOST_THREADS);
    if (!(h->sampling.temperature >= 0 && isfinite(h->sampling.temperature)) ||
        !(h->sampling.top_p >= 0 && h->sampling.top_p <= 1))
        return rbe_fail(d, RBE_ERR_ARG, "temperature %g and top_p %g: 0 or more, 0 to 1",
                        (double)h->sampling.temperature, (double)h->sampling.top_p);
    /* As an empty struct says it. */
    if (h->sampling.top_p == 0)
        h->sampling.top_p = 1;
    if (!n_ctx && !h->context)
        return RBE_OK;
    if (n_ctx && h->context > n_ctx)
        return rbe_fail(d, RBE_ERR_ARG, "a context of %u tokens: the model has %u", h->context,
                        n_ctx);
    if (!h->context)
        h->context = n_ctx;
    if (h->batch > h->context)
        return rbe_fail(d, RBE_ERR_ARG, "a batch of %u tokens: the context is %u", h->batch,
                        h->context);
    if (!h->batch)
        h->batch = h->context < BATCH ? h->context : BATCH;
    if (!h->max_tokens)
        h->max_tokens = h->context / 4;
    if (!h->max_tokens || h->max_tokens > h->context || h->context - h->max_tokens < 8)
        return rbe_fail(d, RBE_ERR_ARG, "answers of %u tokens do not fit a context of %u",
                        h->max_tokens, h->context);
    return RBE_OK;
}

/* What the app holds besides is not counted. */
static enum rbe_status check_limit(const char *model, size_t bytes, size_t limit,
                                   struct rbe_diag *d)
{
    if (!limit || bytes <= limit)
        return rbe_memory_check_quota(model, bytes, d);
    return rbe_fail(d, RBE_ERR_LIMIT, "%s: needs %.1f MB: more than the limit of %.1f MB",
                    model, (double)bytes / 1e6, (double)limit / 1e6);
}

static enum rbe_status open_chat(struct rbe_chat *c, const char *model, const char *tokenizer,
                                 struct rbe_diag *d)
{
    struct rbe_edge_config *h = &c->how;
    enum rbe_status err;
    size_t bytes;

    if ((err = settle(h, 0, d)) || (err = rbe_model_open_bytes(&bytes, model, d)) ||
        (err = check_limit(model, bytes, h->memory_limit, d)) ||
        (err = rbe_model_open(&c->model, model, d)) ||
        (err = settle(h, rbe_model_context(c->model), d)))
        return err;
    const enum rbe_guessing when = h->lookup ? RBE_GUESS_WHERE_IT_PAYS : RBE_GUESS_NEVER;
    const uint32_t rows = rbe_lookup_rows(when);
    /* Guesses are checked in one batch. */
    const struct rbe_session_limits l = {.max_tokens = h->context,
                                         .max_batch = h->batch < rows ? rows : h->batch,
                                         .max_logits = rows};
    c->memory = bytes + rbe_session_bytes(c->model, l) +
                rbe_model_vocab(c->model) * (2 + (size_t)rows) * sizeof(float) +
                3 * h->context * sizeof(float);
    if ((err = check_limit(model, c->memory, h->memory_limit, d)) ||
        (err = rbe_find_tokenizer(&c->tokenizer, tokenizer, model, rbe_model_config(c->model),
                                  d)) ||
        (err = rbe_pool_open(&c->pool, h->threads, d)) ||
        (err = rbe_session_open(&c->session, c->model, l, c->pool, d)))
        return err;
    const struct rbe_conversation_options o = {
        .sampling = h->sampling, .max_tokens = h->max_tokens, .min_tokens = 1,
        .plain = h->plain, .context = h->context, .batch = h->batch, .lookup = when,
        .stop = &c->stop};
    return rbe_conversation_open(&c->conversation, c->session, c->model, c->tokenizer, o, d);
}

enum rbe_status rbe_chat_open(struct rbe_chat **out, const char *model, const char *tokenizer,
                              const struct rbe_edge_config *how, struct rbe_diag *d)
{
    const double start = rbe_now();
    enum rbe_status err;

    if (out)
        *out = NULL;
    if (!out || !model || !how)
        return rbe_fail_null(d);
    struct rbe_chat *c = calloc(1, sizeof *c);
    if (!c)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    c->how = *how;
    if ((err = open_chat(c, model, tokenizer, d))) {
        rbe_chat_close(&c);
        return err;
    }
    c->load_ms = 1e3 * (rbe_now() - start);
    *out = c;
    return RBE_OK;
}

void rbe_chat_close(struct rbe_chat **pp)
{
    struct rbe_chat *c = pp ? *pp : NULL;

    if (!c)
        return;
    rbe_turn_free(&c->turn);
    rbe_conversation_close(&c->conversation);
    rbe_session_close(&c->session);
    rbe_pool_close(&c->pool);
    rbe_tokenizer_close(&c->tokenizer);
    rbe_model_close(&c->model);
    free(c);
    *pp = NULL;
}

static bool take_bytes(void *arg, const char *bytes, size_t size)
{
    return rbe_pieces_take(arg, bytes, size);
}

enum rbe_status rbe_chat_say(struct rbe_chat *c, const char *question, rbe_chat_text_fn *fn,
                             void *arg, struct rbe_diag *d)
{
    struct rbe_pieces s = {.fn = fn, .arg = arg};
    const size_t size = question ? strlen(question) : 0;
    const char *words = question;

    if (!c)
        return rbe_fail_null(d);
    rbe_turn_free(&c->turn);
    c->cancelled = false;
    if (!c->armed)
        atomic_store(&c->stop, false);
    c->armed = false;
    if (!size || !rbe_strip(&words, size))
        return rbe_fail(d, RBE_ERR_ARG, "an empty question");
    const size_t bad = rbe_utf8_valid(question, size);
    if (bad < size)
        return rbe_fail(d, RBE_ERR_FORMAT, "the question is not UTF-8 at byte %zu", bad);
    enum rbe_status err = rbe_conversation_turn(c->conversation, question,
                                                fn ? take_bytes : NULL, &s, &c->turn, d);
    const bool stopped = atomic_exchange(&c->stop, false);
    if (!err) {
        if (fn)
            rbe_pieces_end(&s);
        c->turns++;
        c->forgotten += c->turn.dropped;
        if (stopped)
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "cancelled");
    }
    c->cancelled = err == RBE_ERR_INTERRUPTED;
    return err;
}

void rbe_chat_cancel(struct rbe_chat *c)
{
    if (c)
        atomic_store(&c->stop, true);
}

void rbe_chat_arm(struct rbe_chat *c)
{
    if (!c)
        return;
    if (!c->armed)
        atomic_store(&c->stop, false);
    c->armed = true;
}

void rbe_chat_reset(struct rbe_chat *c)
{
    if (c)
        rbe_conversation_reset(c->conversation);
}

const char *rbe_chat_answer(const struct rbe_chat *c)
{
    return c && c->turn.answer ? c->turn.answer : "";
}

size_t rbe_chat_stats(const struct rbe_chat *c, char *out, size_t size)
{
    if (!c || (size && !out))
        return 0;
    const struct rbe_turn *t = &c->turn;
    double sum = 0;

    for (uint32_t i = 0; t->token_ms && i + 1 < t->tokens; i++)
        sum += t->token_ms[i];
    /* By the library: an app's locale may write numbers with a comma. */
    json_t *o = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:f, s:I, s:I, s:b}", "turns",
        (json_int_t)c->turns, "question_tokens", (json_int_t)t->prompt_tokens, "answer_tokens",
        (json_int_t)t->tokens, "context_tokens", (json_int_t)t->context_tokens + t->tokens,
        "guessed_tokens", (json_int_t)t->run.guessed, "guessed_right", (json_int_t)t->run.right,
        "forgotten_turns", (json_int_t)c->forgotten, "first_token_ms", t->first_ms,
        "ms_per_token", t->tokens > 1 ? json_real(sum / (t->tokens - 1)) : json_null(),
        "load_ms", c->load_ms, "threads", (json_int_t)rbe_pool_threads(c->pool),
        "memory_bytes", (json_int_t)c->memory, "cancelled", c->cancelled);
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(4)) : NULL;
    const int n = text ? snprintf(out, size, "%s", text) : 0;

    json_decref(o);
    free(text);
    return (size_t)n;
}

/* --- the chapter's names ---------------------------------------------------------------- */

void *rbe_gpt2_init(const char *path)
{
    const struct rbe_edge_config how = {.sampling = {.top_p = 1}};
    struct rbe_chat *c;

    return rbe_init(NULL) || rbe_chat_open(&c, path, NULL, &how, NULL) ? NULL : c;
}

char *rbe_gpt2_generate(void *model, const char *input)
{
    return model && !rbe_chat_say(model, input, NULL, NULL, NULL)
               ? strdup(rbe_chat_answer(model)) : NULL;
}

void rbe_gpt2_release(void *model)
{
    struct rbe_chat *c = model;

    rbe_chat_close(&c);
}

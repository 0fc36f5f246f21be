/*
 * check_null.c - every public call with NULL in place of what it needs (include/rbe/status.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include <rbe/chat.h>
#include <rbe/codec.h>
#include <rbe/model.h>
#include <rbe/tokenizer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/test/check.h"

#define MODEL "datasets/embedded/mini-2.89-tuned.rbe"

static struct rbe_diag d;
static struct rbe_chat *chat;
static struct rbe_coded *coded;
static struct rbe_model *model;
static struct rbe_pool *pool;
static struct rbe_sampler *sampler;
static struct rbe_session *session;
static struct rbe_tokenizer *tokenizer;
static const float numbers[4096];
static const struct rbe_coding how = {.codec = "int8"};
static const struct rbe_edge_config edge = {.threads = 1, .context = 64};
static float floats[4];
static uint32_t *ids, id = 1;
static size_t count;
static char text[64];

#define REFUSED(call) (*d.text = 0, (call) == RBE_ERR_ARG && strstr(d.text, "NULL"))
#define NOTHING(call) ((call), true)

/* What needs no pointer. */
#define FREE(NAME)                                                                             \
    NAME(rbe_init) NAME(rbe_version) NAME(rbe_strerror) NAME(rbe_edge_config_board)            \
    NAME(rbe_sampler_open)

#define CLOSES(CLOSE)                                                                          \
    CLOSE(chat) CLOSE(coded) CLOSE(model) CLOSE(pool) CLOSE(sampler) CLOSE(session)            \
    CLOSE(tokenizer)

/* CALL(function, that it does what it should without one thing that it needs): */
#define CALLS(CALL)                                                                            \
    CALL(rbe_chat_open, REFUSED(rbe_chat_open(NULL, MODEL, NULL, &edge, &d)))                  \
    CALL(rbe_chat_open, REFUSED(rbe_chat_open(&chat, NULL, NULL, &edge, &d)) && !chat)         \
    CALL(rbe_chat_open, REFUSED(rbe_chat_open(&chat, MODEL, NULL, NULL, &d)) && !chat)         \
    CALL(rbe_chat_say, REFUSED(rbe_chat_say(NULL, "Who?", NULL, NULL, &d)))                    \
    CALL(rbe_chat_cancel, NOTHING(rbe_chat_cancel(NULL)))                                      \
    CALL(rbe_chat_arm, NOTHING(rbe_chat_arm(NULL)))                                            \
    CALL(rbe_chat_reset, NOTHING(rbe_chat_reset(NULL)))                                        \
    CALL(rbe_chat_answer, !*rbe_chat_answer(NULL))                                             \
    CALL(rbe_chat_stats, !rbe_chat_stats(NULL, text, sizeof text))                             \
    CALL(rbe_gpt2_init, !rbe_gpt2_init(NULL))                                                  \
    CALL(rbe_gpt2_generate, !rbe_gpt2_generate(NULL, "Who?"))                                  \
    CALL(rbe_gpt2_release, NOTHING(rbe_gpt2_release(NULL)))                                    \
    CALL(rbe_coded_open, REFUSED(rbe_coded_open(NULL, numbers, 64, 64, &how, NULL, &d)))       \
    CALL(rbe_coded_open, REFUSED(rbe_coded_open(&coded, NULL, 64, 64, &how, NULL, &d)))        \
    CALL(rbe_coded_open, REFUSED(rbe_coded_open(&coded, numbers, 64, 64, NULL, NULL, &d)))     \
    CALL(rbe_coded_open, !coded)                                                               \
    CALL(rbe_coded_bytes, !rbe_coded_bytes(NULL))                                              \
    CALL(rbe_coded_row, NOTHING(rbe_coded_row(NULL, 0, floats)))                               \
    CALL(rbe_coded_kernel, !rbe_coded_kernel(NULL))                                            \
    CALL(rbe_coded_multiply, REFUSED(rbe_coded_multiply(NULL, numbers, 1, floats, NULL, &d)))  \
    CALL(rbe_model_open, REFUSED(rbe_model_open(NULL, MODEL, &d)))                             \
    CALL(rbe_model_open, REFUSED(rbe_model_open(&model, NULL, &d)) && !model)                  \
    CALL(rbe_model_vocab, !rbe_model_vocab(NULL))                                              \
    CALL(rbe_model_context, !rbe_model_context(NULL))                                          \
    CALL(rbe_model_eos, !rbe_model_eos(NULL))                                                  \
    CALL(rbe_model_path, !rbe_model_path(NULL))                                                \
    CALL(rbe_model_file_bytes, !rbe_model_file_bytes(NULL))                                    \
    CALL(rbe_model_is_rbe, !rbe_model_is_rbe(NULL))                                            \
    CALL(rbe_model_bytes_per_token, !rbe_model_bytes_per_token(NULL))                          \
    CALL(rbe_session_bytes, !rbe_session_bytes(NULL, (struct rbe_session_limits){0}))          \
    CALL(rbe_session_open,                                                                     \
         REFUSED(rbe_session_open(&session, NULL, (struct rbe_session_limits){0}, NULL, &d)))  \
    CALL(rbe_session_open, !session)                                                           \
    CALL(rbe_session_length, !rbe_session_length(NULL))                                        \
    CALL(rbe_session_truncate, NOTHING(rbe_session_truncate(NULL, 0)))                         \
    CALL(rbe_forward, REFUSED(rbe_forward(NULL, &id, 1, &d)))                                  \
    CALL(rbe_logits, REFUSED(rbe_logits(NULL, RBE_LAST, 1, floats, &d)))                       \
    CALL(rbe_sample, !rbe_sample(NULL, floats))                                                \
    CALL(rbe_pool_open, REFUSED(rbe_pool_open(NULL, 1, &d)))                                   \
    CALL(rbe_pool_threads, rbe_pool_threads(NULL) == 1)                                        \
    CALL(rbe_tokenizer_open, REFUSED(rbe_tokenizer_open(NULL, MODEL, &d)))                     \
    CALL(rbe_tokenizer_open, REFUSED(rbe_tokenizer_open(&tokenizer, NULL, &d)) && !tokenizer)  \
    CALL(rbe_tokenizer_for, REFUSED(rbe_tokenizer_for(&tokenizer, NULL, NULL, &d)))            \
    CALL(rbe_tokenizer_for, !tokenizer)                                                        \
    CALL(rbe_tokenizer_vocab, !rbe_tokenizer_vocab(NULL))                                      \
    CALL(rbe_tokenizer_eos, !rbe_tokenizer_eos(NULL))                                          \
    CALL(rbe_tokenizer_begin, !rbe_tokenizer_begin(NULL, &id))                                 \
    CALL(rbe_tokenizer_encode,                                                                 \
         REFUSED(rbe_tokenizer_encode(NULL, "Who?", 4, false, &ids, &count, &d)) && !ids)      \
    CALL(rbe_tokenizer_bytes, !rbe_tokenizer_bytes(NULL, 1, &count))                           \
    CALL(rbe_tokenizer_text, !rbe_tokenizer_text(NULL, &id, 1, &count))

/* The same with handles that are open. */
#define OPEN_CALLS(CALL)                                                                       \
    CALL(rbe_chat_say, rbe_chat_say(chat, NULL, NULL, NULL, NULL) == RBE_ERR_ARG)              \
    CALL(rbe_chat_stats, !rbe_chat_stats(chat, NULL, 1) && rbe_chat_stats(chat, NULL, 0))      \
    CALL(rbe_gpt2_generate, !rbe_gpt2_generate(chat, NULL))                                    \
    CALL(rbe_coded_row, NOTHING(rbe_coded_row(coded, 0, NULL)))                                \
    CALL(rbe_coded_multiply, REFUSED(rbe_coded_multiply(coded, NULL, 1, floats, NULL, &d)))    \
    CALL(rbe_coded_multiply, REFUSED(rbe_coded_multiply(coded, numbers, 1, NULL, NULL, &d)))   \
    CALL(rbe_coded_multiply, !rbe_coded_multiply(coded, NULL, 0, NULL, NULL, &d))              \
    CALL(rbe_session_open,                                                                     \
         REFUSED(rbe_session_open(NULL, model, (struct rbe_session_limits){0}, NULL, &d)))     \
    CALL(rbe_forward, REFUSED(rbe_forward(session, NULL, 1, &d)))                              \
    CALL(rbe_forward, !rbe_forward(session, NULL, 0, &d))                                      \
    CALL(rbe_forward, !rbe_forward(session, &id, 1, &d))                                       \
    CALL(rbe_logits, REFUSED(rbe_logits(session, RBE_LAST, 1, NULL, &d)))                      \
    CALL(rbe_sample, !rbe_sample(sampler, NULL))                                               \
    CALL(rbe_tokenizer_for, REFUSED(rbe_tokenizer_for(NULL, model, NULL, &d)))                 \
    CALL(rbe_tokenizer_begin, !rbe_tokenizer_begin(tokenizer, NULL))                           \
    CALL(rbe_tokenizer_encode,                                                                 \
         REFUSED(rbe_tokenizer_encode(tokenizer, NULL, 4, false, &ids, &count, &d)) && !ids)   \
    CALL(rbe_tokenizer_encode,                                                                 \
         REFUSED(rbe_tokenizer_encode(tokenizer, "Who?", 4, false, NULL, &count, &d)))         \
    CALL(rbe_tokenizer_encode,                                                                 \
         REFUSED(rbe_tokenizer_encode(tokenizer, "Who?", 4, false, &ids, NULL, &d)) && !ids)   \
    CALL(rbe_tokenizer_bytes, !rbe_tokenizer_bytes(tokenizer, 1, NULL))                        \
    CALL(rbe_tokenizer_text, !rbe_tokenizer_text(tokenizer, NULL, 1, &count))

/* The calls above, a space around each. */
#define NAME(function, ...) " " #function
#define NAME_CLOSE(type) " rbe_" #type "_close"
static const char tried[] = FREE(NAME) CLOSES(NAME_CLOSE) CALLS(NAME) " ";

/* One that is new has a line above. */
static void check_all_tried(void)
{
    FILE *f = fopen("ci/librbe.symbols", "r");
    char name[128] = " ";
    unsigned symbols = 0;

    CHECK(f != NULL);
    for (; f && fgets(name + 1, sizeof name - 1, f); symbols++) {
        name[strcspn(name, "\n")] = ' ';
        if (!CHECK(strstr(tried, name) != NULL))
            printf("     not tried:%s\n", name);
    }
    CHECK(symbols > 40);
    if (f)
        fclose(f);
}

static void open_all(void)
{
    const struct rbe_session_limits l = {.max_tokens = 16};

    CHECK(!rbe_chat_open(&chat, MODEL, NULL, &edge, &d) && !rbe_model_open(&model, MODEL, &d));
    CHECK(!rbe_session_open(&session, model, l, NULL, &d));
    CHECK(!rbe_tokenizer_for(&tokenizer, model, NULL, &d));
    CHECK(!rbe_coded_open(&coded, numbers, 64, 64, &how, NULL, &d));
    CHECK(!rbe_pool_open(&pool, 1, &d));
    CHECK((sampler = rbe_sampler_open(4, (struct rbe_sampling){.top_p = 1})) != NULL);
}

/* The line stands there before a crash. */
#define TRY(function, right)                                                                   \
    puts(#function);                                                                           \
    CHECK(right);
#define TRY_CLOSE(type) TRY(type, (rbe_##type##_close(NULL), rbe_##type##_close(&type), !type))

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    CHECK(!rbe_init(&d));
    check_all_tried();
    CALLS(TRY)
    CLOSES(TRY_CLOSE)
    open_all();
    OPEN_CALLS(TRY)
    CLOSES(TRY_CLOSE)
    CLOSES(TRY_CLOSE)
    return check_done();
}

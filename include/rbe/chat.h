/*
 * <rbe/chat.h> - a conversation with a model, for apps and bindings of other languages.
 *
 * SPDX-License-Identifier: MIT
 *
 * One handle holds model, tokenizer, cache and threads.  Nothing here prints, exits, or touches
 * signals; text goes out in whole characters.  Call rbe_init() once, before all else.
 *
 * Threads: a handle is used by one thread at a time; rbe_chat_cancel() alone may be called from
 * any thread at any time until rbe_chat_close() begins.  Handles do not know of each other.
 */
#ifndef RBE_INCLUDE_CHAT_H
#define RBE_INCLUDE_CHAT_H

#include <rbe/sampler.h>
#include <rbe/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rbe_chat;

/* Checked before the model is opened, and against it before cache and buffers are allocated. */
struct rbe_edge_config {
    /* Bytes of model file, cache and buffers; 0: none.  The control group's (memory.max) holds
     * besides. */
    size_t memory_limit;
    uint32_t threads;           /* 0: as many as the process may use; at most 1024 */
    uint32_t batch;             /* tokens of a question read at once; 0: 32 */
    uint32_t context;           /* tokens that are remembered; 0: all that the model can */
    uint32_t max_tokens;        /* of an answer; 0: a quarter of the context */
    bool plain;                 /* "Question:" and "Answer:", also where ChatML is known */
    bool lookup;                /* guess tokens that were said before, where that makes answers
                                 * faster: the same text (RBE models only) */
    struct rbe_sampling sampling;
};

/* 256 MiB, 4 threads, 1 token at once, 256 tokens of context, greedy: a board of the Raspberry
 * Pi's class (docs/CHAPTER.md, 8.7.2). */
struct rbe_edge_config rbe_edge_config_board(void);

/*
 * Opens the model (as rbe_model_open() takes it) and its tokenizer (NULL: the model's own, or
 * the installed one that fits).  RBE_ERR_ARG: a number that cannot be; RBE_ERR_LIMIT: the
 * memory limit would be passed, and by what.
 */
enum rbe_status rbe_chat_open(struct rbe_chat **out, const char *model, const char *tokenizer,
                              const struct rbe_edge_config *how, struct rbe_diag *d);
void rbe_chat_close(struct rbe_chat **c);

/* Gets a piece of the answer, whole characters of UTF-8, not NUL-terminated; false ends the
 * answer there. */
typedef bool rbe_chat_text_fn(void *arg, const char *text, size_t size);

/*
 * One question (UTF-8, NUL-terminated), one answer, streamed to fn (may be NULL).  The
 * conversation remembers both; what no longer fits the context is forgotten, the oldest first.
 * RBE_ERR_FORMAT: not UTF-8; RBE_ERR_ARG: nothing but white space; RBE_ERR_LIMIT: too long;
 * these leave the conversation as it was.  RBE_ERR_INTERRUPTED: cancelled; an answer that had
 * begun is remembered as far as it went.
 */
enum rbe_status rbe_chat_say(struct rbe_chat *c, const char *question, rbe_chat_text_fn *fn,
                             void *arg, struct rbe_diag *d);
/*
 * Ends the rbe_chat_say() under way, between two tokens.  When there is none it does nothing: a
 * request that comes late must not end the next answer.  So that one cannot come too early,
 * announce the answer: after rbe_chat_arm(), by the thread that will call rbe_chat_say() next,
 * and before others learn that there is something to cancel, each request counts for that
 * answer, also one that comes before it begins; then it is cancelled before its first token.
 * Arming twice is arming once; not while an answer is under way.
 */
void rbe_chat_cancel(struct rbe_chat *c);
void rbe_chat_arm(struct rbe_chat *c);
/* Forgets everything said. */
void rbe_chat_reset(struct rbe_chat *c);

/* The answer of the last rbe_chat_say(), whole and NUL-terminated; "" when it has none, and of
 * NULL.  It lasts until the next call. */
const char *rbe_chat_answer(const struct rbe_chat *c);

/*
 * Of the last turn and of all, as a JSON object: turns, question_tokens, answer_tokens,
 * context_tokens, guessed_tokens and guessed_right (by lookup), forgotten_turns,
 * first_token_ms, ms_per_token (null when fewer than two tokens were made), load_ms, threads,
 * memory_bytes (planned), cancelled (whether the last rbe_chat_say() was RBE_ERR_INTERRUPTED).
 * Returns its length; writes at most size bytes, NUL-terminated, as snprintf() does.  0: out of
 * memory.
 */
size_t rbe_chat_stats(const struct rbe_chat *c, char *out, size_t size);

/*
 * The chapter's three functions (8.7.1), of greedy sampling.  init: NULL when the model does
 * not open; generate: a fresh string that the caller gives to free(), NULL when it fails.
 */
void *rbe_gpt2_init(const char *path);
char *rbe_gpt2_generate(void *model, const char *input);
void rbe_gpt2_release(void *model);

#endif

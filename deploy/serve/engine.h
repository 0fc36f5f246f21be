/*
 * engine.h - answers requests, one after the other, with sessions whose caches are used again.
 *
 * SPDX-License-Identifier: MIT
 *
 * A request goes to the session that has the longest beginning of its prompt in its cache,
 * whoever's that was; the rest is read.  One thread answers; the others may look at the counts.
 */
#ifndef RBE_DEPLOY_SERVE_ENGINE_H
#define RBE_DEPLOY_SERVE_ENGINE_H

#include <jansson.h>
#include <rbe/model.h>
#include <stdatomic.h>

#include "deploy/serve/request.h"

struct rbe_engine;

struct rbe_engine_options {
    const char *model, *tokenizer;      /* as rbe_chat_open() takes them */
    uint32_t threads;           /* 0: as many as the process may use */
    uint32_t sessions;          /* at least 1 */
    uint32_t context;           /* tokens of a prompt and its answer; 0: the model's */
    uint32_t max_tokens;        /* of an answer */
    uint32_t seconds;           /* of a request; what is made of the answer by then counts */
    enum rbe_kv_cache kv_cache;
    bool plain;
    bool lookup;                /* tokens are guessed from what was said (model/lookup.h) */
};

enum rbe_status rbe_engine_open(struct rbe_engine **out, const struct rbe_engine_options *o,
                                struct rbe_diag *d);
void rbe_engine_close(struct rbe_engine **e);

/* What requests are read by. */
const struct rbe_request_limits *rbe_engine_limits(const struct rbe_engine *e);
/* The model's name for clients: of its file or folder. */
const char *rbe_engine_name(const struct rbe_engine *e);

/* A piece of the answer to prompt `index`: whole characters; false: nobody reads it. */
typedef bool rbe_engine_part_fn(void *arg, size_t index, const char *text, size_t size);

/*
 * Answers into *out: {"choices": [{"index", "text", "finish_reason", "logprobs"}], "usage":
 * {"prompt_tokens", "completion_tokens", "total_tokens"}}; the texts are what part (may be
 * NULL) was given.  finish_reason: stop, length, or time.  RBE_ERR_INTERRUPTED: *stop became
 * true, or part returned false.
 */
enum rbe_status rbe_engine_answer(struct rbe_engine *e, const struct rbe_request *r,
                                  const atomic_bool *stop, rbe_engine_part_fn *part, void *arg,
                                  json_t **out, struct rbe_diag *d);

/* For a time without work, by the thread that answers: lets go of the model's pages, which are
 * read again when they are needed, and of what malloc() holds for itself. */
void rbe_engine_rest(struct rbe_engine *e);

/* Since the start; read at any time. */
struct rbe_engine_counts {
    atomic_ullong prompt_tokens, cached_tokens, answer_tokens, microseconds;
    atomic_ullong guessed_tokens, guessed_right;        /* by lookup */
};
const struct rbe_engine_counts *rbe_engine_counts(const struct rbe_engine *e);

#endif

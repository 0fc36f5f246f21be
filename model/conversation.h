/*
 * conversation.h - turns of a conversation with a model, streamed and timed.
 *
 * SPDX-License-Identifier: MIT
 *
 * A turn is "Question: ...\nAnswer:" followed by the model's tokens; where the vocabulary has
 * the special tokens of ChatML, the question is a message of "user" and the answer one of
 * "assistant", which ends with its token and not with a newline.  What was said stays in
 * the session's cache; when the next turn would not fit the context, the oldest turns are
 * forgotten, down to three quarters of it, and the rest is read again: that turn's first
 * token takes longer, and says so.
 */
#ifndef RBE_MODEL_CONVERSATION_H
#define RBE_MODEL_CONVERSATION_H

#include <rbe/sampler.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/lookup.h"
#include "model/model.h"
#include "model/tokenizer.h"

struct rbe_conversation;

struct rbe_conversation_options {
    struct rbe_sampling sampling;
    uint32_t max_tokens;        /* an answer's end, at the latest */
    uint32_t min_tokens;        /* a newline ends an answer from here on */
    bool plain;                 /* no ChatML */
    uint32_t context;           /* tokens that the session has room for; 0: the model's */
    uint32_t batch;             /* tokens run between two looks at stop; 0: all */
    enum rbe_guessing lookup;   /* of tokens that were said before (model/lookup.h) */
    const atomic_bool *stop;    /* when it is true the turn ends; or NULL */
};

struct rbe_turn {
    uint32_t prompt_tokens;     /* of this turn's question, frame included */
    uint32_t tokens;            /* of the answer */
    uint32_t context_tokens;    /* in the cache when the answer began */
    uint32_t dropped;           /* turns forgotten before this one */
    struct rbe_lookup_counts run;       /* for the tokens after the first */
    double first_ms;            /* from the question's arrival to the first token */
    double *token_ms;           /* [tokens - 1]: from token to token */
    char *answer;               /* text, NUL-terminated; broken UTF-8 at its end cut off */
    uint32_t *ids;              /* [context_tokens + tokens]: history, question, answer */
};
void rbe_turn_free(struct rbe_turn *t);

/* Called with the bytes of each token as it is chosen (maybe part of a character); false stops
 * the answer. */
typedef bool rbe_stream_fn(void *arg, const char *bytes, size_t size);

/* Whether the vocabulary has ChatML's special tokens, <|im_start|> and <|im_end|>. */
bool rbe_has_chatml(const struct rbe_tokenizer *t);

/* The session, of model m, is the conversation's until it is closed. */
enum rbe_status rbe_conversation_open(struct rbe_conversation **out, struct rbe_session *s,
                                      const struct rbe_model *m, const struct rbe_tokenizer *t,
                                      struct rbe_conversation_options o, struct rbe_diag *d);
void rbe_conversation_close(struct rbe_conversation **c);
/* Forgets everything said. */
void rbe_conversation_reset(struct rbe_conversation *c);

/*
 * One question, one answer into *turn (the caller frees it).  stream may be NULL.  A question
 * too long for the context is RBE_ERR_LIMIT and leaves the conversation as it was.  One that
 * is stopped while it is read is forgotten, RBE_ERR_INTERRUPTED; an answer that is stopped ends
 * there and counts.
 */
enum rbe_status rbe_conversation_turn(struct rbe_conversation *c, const char *question,
                                      rbe_stream_fn *stream, void *arg, struct rbe_turn *turn,
                                      struct rbe_diag *d);

/*
 * A whole conversation as the tokens that its next answer follows, as the turns above would
 * have them; *ids is fresh.  Roles: system, user, assistant; the last message is a user's.  The
 * answer ends with the token *end, or, where that is UINT32_MAX, with a newline.
 */
struct rbe_message {
    const char *role, *text;
};
enum rbe_status rbe_conversation_tokens(uint32_t **ids, size_t *n, uint32_t *end,
                                        const struct rbe_tokenizer *t, bool plain,
                                        const struct rbe_message *m, size_t count,
                                        struct rbe_diag *d);

/* The bytes of ids as text, NUL-terminated, an unfinished character at the end cut off; fresh
 * string, NULL when out of memory. */
char *rbe_detokenise(const struct rbe_tokenizer *t, const uint32_t *ids, size_t n);

#endif

/*
 * null_chat.c - rbe/chat.h without a model: what the binding keeps by itself.
 *
 * SPDX-License-Identifier: MIT
 *
 * A question is a number: so many pieces, of one character after the other, of one to four
 * bytes.  One below 0 is refused.
 */
#include <rbe/chat.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rbe_chat {
    atomic_bool stop;
    unsigned long turns;
};

enum rbe_status rbe_init(struct rbe_diag *d)
{
    (void)d;
    return RBE_OK;
}

const char *rbe_strerror(enum rbe_status s)
{
    (void)s;
    return "an error";
}

struct rbe_edge_config rbe_edge_config_board(void)
{
    return (struct rbe_edge_config){.threads = 4};
}

enum rbe_status rbe_chat_open(struct rbe_chat **out, const char *model, const char *tokenizer,
                              const struct rbe_edge_config *how, struct rbe_diag *d)
{
    (void)model;
    (void)tokenizer;
    (void)how;
    (void)d;
    *out = calloc(1, sizeof **out);
    return *out ? RBE_OK : RBE_ERR_NOMEM;
}

void rbe_chat_close(struct rbe_chat **c)
{
    free(*c);
    *c = NULL;
}

enum rbe_status rbe_chat_say(struct rbe_chat *c, const char *question, rbe_chat_text_fn *fn,
                             void *arg, struct rbe_diag *d)
{
    static const char *const pieces[] = {"a", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x8C\x8A"};
    const long n = atol(question);

    if (n < 0) {
        snprintf(d->text, sizeof d->text, "refused: %s", question);
        return RBE_ERR_ARG;
    }
    atomic_store(&c->stop, false);
    for (long i = 0; i < n && !atomic_load(&c->stop); i++)
        if (!fn(arg, pieces[i % 4], strlen(pieces[i % 4])))
            break;
    c->turns++;
    return atomic_load(&c->stop) ? RBE_ERR_INTERRUPTED : RBE_OK;
}

void rbe_chat_cancel(struct rbe_chat *c)
{
    atomic_store(&c->stop, true);
}

void rbe_chat_reset(struct rbe_chat *c)
{
    c->turns = 0;
}

const char *rbe_chat_answer(const struct rbe_chat *c)
{
    (void)c;
    return "whole";
}

size_t rbe_chat_stats(const struct rbe_chat *c, char *out, size_t size)
{
    return (size_t)snprintf(out, size, "{\"turns\":%lu}", c->turns);
}

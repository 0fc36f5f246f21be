/*
 * talker.h - a conversation with a model in a process of its own.
 *
 * SPDX-License-Identifier: MIT
 *
 * Memory and CPU time are counted by process: several models that take turns in one process
 * could not be told apart.  A talker's process holds its model alone.
 */
#ifndef RBE_EVAL_TALKER_H
#define RBE_EVAL_TALKER_H

#include <stdbool.h>

#include "base/status.h"
#include "model/conversation.h"
#include "eval/said.h"

struct rbe_talker_options {
    const char *model;          /* path */
    const char *tokenizer, *vocabulary_of;      /* as rbe_find_tokenizer() takes them */
    bool parse_special;         /* special tokens in questions are tokens */
    struct rbe_conversation_options how;
    enum rbe_kv_cache kv;
    unsigned threads;           /* 0: one for each CPU */
    bool stream;                /* its answers go to stdout as they come */
};

struct rbe_talker;

/* Forks: what this process holds by then is in the other's memory as well, so call it before
 * anything large is opened. */
enum rbe_status rbe_talker_open(struct rbe_talker **out, const struct rbe_talker_options *o,
                                struct rbe_diag *d);
void rbe_talker_close(struct rbe_talker **t);

/* Loads the model; *load_s: seconds that took. */
enum rbe_status rbe_talker_load(struct rbe_talker *t, double *load_s, struct rbe_diag *d);

/* One question, one answer into *s with the process's memory and CPU use (the caller frees
 * s->turn); coherence and quality are left alone. */
enum rbe_status rbe_talker_turn(struct rbe_talker *t, const char *question, struct rbe_said *s,
                                struct rbe_diag *d);

#endif

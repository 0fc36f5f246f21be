/*
 * runner.h - a model opened for evaluation: tokenizer, session, and rows of logits.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_EVAL_RUNNER_H
#define RBE_EVAL_RUNNER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"
#include "model/model.h"
#include "model/tokenizer.h"

struct rbe_runner {
    char *name;                 /* the folder's or file's, without .rbe */
    struct rbe_model *model;
    struct rbe_session *session;
    struct rbe_pool *pool;      /* not owned */
    uint32_t n_ctx, vocab;
    uint32_t rows;              /* logit rows at once */
    enum rbe_kv_cache kv;       /* as it was asked for */
    float *logits;              /* [rows][vocab] */
    double seconds;             /* spent in rbe_runner_* calls since open */
    double load_s;              /* opening took this long */
    bool shared;                /* name and model are another runner's */
};

/* path as rbe_model_open() takes it. rows 0: as many as 32 MiB of logits hold, at most n_ctx;
 * a session for n_ctx tokens in one batch. */
enum rbe_status rbe_runner_open(struct rbe_runner *r, const char *path, uint32_t rows,
                                enum rbe_kv_cache kv, struct rbe_pool *pool,
                                struct rbe_diag *d);
void rbe_runner_close(struct rbe_runner *r);

/* All of them, hashed, into a fresh array; all must have as many tokens as the first, which of
 * several has the default cache: it is the base of comparisons. */
enum rbe_status rbe_runners_open(struct rbe_runner **out, char *const *paths, size_t count,
                                 uint32_t rows, enum rbe_kv_cache kv, struct rbe_pool *pool,
                                 struct rbe_diag *d);
/* What model i of so many is given of that. */
enum rbe_kv_cache rbe_runner_kv(enum rbe_kv_cache kv, size_t i, size_t count);
void rbe_runners_close(struct rbe_runner **runners, size_t count);

/*
 * What else makes models comparable; RBE_ERR_MISMATCH names two that are not.  The tokenizer of
 * all: of `path` when given; else of the first of the models' paths, and those of the others
 * must make the same tokens (special: of special tokens, too).  One that has no tokenizer of
 * its own does not contradict.
 */
enum rbe_status rbe_runners_tokenizer(struct rbe_tokenizer **out, const struct rbe_runner *r,
                                      char *const *paths, size_t count, const char *path,
                                      bool special, struct rbe_diag *d);
/* All hold so many tokens. */
enum rbe_status rbe_runners_hold(const struct rbe_runner *r, size_t count, uint32_t context,
                                 struct rbe_diag *d);
/* All have the same end of text: where that is read or ends what is generated. */
enum rbe_status rbe_runners_same_end(const struct rbe_runner *r, size_t count,
                                     struct rbe_diag *d);

/*
 * A runner of the same model that works on one thread beside others: a session and rows of
 * logits of its own, the model and its name those of `of`, which must outlive it.  An interrupt
 * breaks its work off (rbe_session_stop_early).
 */
enum rbe_status rbe_runner_share(struct rbe_runner *r, const struct rbe_runner *of,
                                 uint32_t rows, struct rbe_diag *d);

/* record[key] = what identifies the model, after rbe_model_hash(), and its cache. */
int rbe_runner_record(struct rbe_runner *r, json_t *record, const char *key);

/*
 * Runs n tokens after the first `keep` of what the session holds already (0: afresh).
 */
enum rbe_status rbe_runner_forward(struct rbe_runner *r, uint32_t keep, const uint32_t *tokens,
                                   size_t n, struct rbe_diag *d);

/* Fills r->logits with count <= rows rows from position `first` of the last forward. */
enum rbe_status rbe_runner_logits(struct rbe_runner *r, size_t first, size_t count,
                                  struct rbe_diag *d);

/*
 * -log p of targets[i] after position first + i of the last forward, i < count (any count),
 * into nll; greedy[i] (may be NULL) says whether the target was the most likely token.
 */
enum rbe_status rbe_runner_nll(struct rbe_runner *r, size_t first, size_t count,
                               const uint32_t *targets, double *nll, uint8_t *greedy,
                               struct rbe_diag *d);

#endif

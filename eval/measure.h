/*
 * measure.h - the evaluations that make rows of models: what each is told, and one call.
 *
 * SPDX-License-Identifier: MIT
 *
 * Rows are given away as they are finished, rbe_evaluation_emit(); docs/RESULTS.md has their
 * fields.  After an interrupt: rows of what was measured, then RBE_ERR_INTERRUPTED.
 */
#ifndef RBE_EVAL_MEASURE_H
#define RBE_EVAL_MEASURE_H

#include <jansson.h>
#include <rbe/sampler.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/file.h"
#include "base/result.h"
#include "eval/comprehension.h"
#include "model/conversation.h"
#include "eval/runner.h"
#include "eval/text.h"
#include "eval/windows.h"

/* What every evaluation is given. */
struct rbe_evaluation {
    char *const *models;        /* paths; the first is the base of comparisons */
    struct rbe_runner *runners; /* [model_count] */
    size_t model_count;
    enum rbe_kv_cache kv;       /* as rbe_runners_open() takes it */
    struct rbe_pool *pool;
    unsigned shard_index, shard_count;  /* 0-based; count 1 when not sharded */
    size_t limit;               /* items at most, 0: all */
    const char *special;        /* how special tokens are read, or NULL */
    const json_t *old;          /* rows to go on from, or NULL */
    struct rbe_result_file *results;
    const char *saved;          /* the name of that file, or NULL */
    void (*show)(const json_t *row, void *arg);
    void *show_arg;
};

/* A record of this kind with `model` = r (NULL: none), the thread count and how special tokens
 * were read; NULL when out of memory. */
json_t *rbe_evaluation_record(const struct rbe_evaluation *e, const char *kind,
                              struct rbe_runner *r);

/* Of so many, those that the shards share. */
size_t rbe_evaluation_shared(const struct rbe_evaluation *e, size_t total);

/*
 * This shard's part of [0, total), or of its first `limit`.  RBE_ERR_ARG when nothing is left
 * for it: `unit` names what is shared ("windows").
 */
enum rbe_status rbe_evaluation_share(const struct rbe_evaluation *e, size_t total,
                                     const char *unit, size_t *first, size_t *count,
                                     struct rbe_diag *d);

/* Says in a part's record how many there are in all parts, where a limit decides that: `total`
 * are those that are shared.  Nothing elsewhere. */
int rbe_evaluation_set_limited(const struct rbe_evaluation *e, json_t *record, size_t total);

/* Appends the record to the results, then shows it; takes the reference. */
enum rbe_status rbe_evaluation_emit(const struct rbe_evaluation *e, json_t *record,
                                    struct rbe_diag *d);

/* Texts that each model writes after prompts out of a text, judged by the first: a row for each
 * model after it. */
struct rbe_generation_plan {
    const char *text;           /* its path */
    int prompts, prompt_tokens; /* how many, of how many tokens */
    int tokens;                 /* of a text at most; prompt_tokens + tokens <= n_ctx */
    int samples;                /* texts kept in the row */
    struct rbe_sampling how;
};
enum rbe_status rbe_measure_generation(const struct rbe_evaluation *e,
                                       const struct rbe_generation_plan *p,
                                       const struct rbe_tokenizer *t, struct rbe_diag *d);

/* Times: a row for each model. */
enum { RBE_INFERENCE_DEPTHS = 16, RBE_INFERENCE_PREFILLS = 5 };
struct rbe_inference_plan {
    int prompt_tokens;
    int sequences, length;      /* so many whole sequences of so many tokens, or 0: */
    uint32_t depths[RBE_INFERENCE_DEPTHS + 1];  /* tokens in the cache before */
    int depth_count, c2;        /* c2: index of the depth after the prompt */
    int tokens;                 /* timed at each depth */
    int retries;                /* of a burst disturbed by other processes */
    int no_child;               /* leave out what a process of its own tells */
    int prefills;               /* of the prompt, 1..RBE_INFERENCE_PREFILLS */
    int launches;               /* 1: here; more: rbe_measure_launches() */
    const char *depth_list;     /* as it was asked for, for launches; or NULL */
};
enum rbe_status rbe_measure_inference(const struct rbe_evaluation *e,
                                      const struct rbe_inference_plan *p, struct rbe_diag *d);

/* The same by p->launches processes in turn, which share tokens and prefills; only the first
 * tells what a process of its own does.  e's runners are not looked at, no sequences. */
enum rbe_status rbe_measure_launches(const struct rbe_evaluation *e,
                                     const struct rbe_inference_plan *p, struct rbe_diag *d);

/* A row for each model, and for each but the first a paired one after it. */
struct rbe_perplexity_plan {
    const struct rbe_text *text;
    const struct rbe_windows *windows;  /* of it */
    double checkpoint_s;        /* partial results are appended this often */
    unsigned resamples;         /* of the bootstrap, 0: RBE_BOOTSTRAP */
};
enum rbe_status rbe_measure_perplexity(const struct rbe_evaluation *e,
                                       const struct rbe_perplexity_plan *p, struct rbe_diag *d);

/* A row for each model but the first. */
struct rbe_divergence_plan {
    const struct rbe_text *text;
    const struct rbe_windows *windows;  /* of it */
    /* The first model's predictions are kept in the one file, or come from the other; with
     * either: no shards, no old rows.  Both may be NULL. */
    const char *record, *recorded;
};
enum rbe_status rbe_measure_divergence(const struct rbe_evaluation *e,
                                       const struct rbe_divergence_plan *p, struct rbe_diag *d);

/* A script of questions that the models answer by turns, streaming, judged by the first model:
 * a row for each.  Opens the models itself (e's runners are not looked at): their processes are
 * forked before. */
struct rbe_conversation_plan {
    const char *script;         /* a question a line; NULL: the shipped one */
    int turns;                  /* the first so many, 0: all */
    struct rbe_conversation_options how;
    const char *tokenizer;      /* as rbe_find_tokenizer() takes it */
    unsigned threads;           /* 0: one for each CPU */
    bool quiet;                 /* no word of what was forgotten */
    /* The answers go to standard output as they come, each after a call of this; question
     * NULL: all is said.  Or NULL. */
    void (*announce)(int turn, const char *model, const char *question);
};
enum rbe_status rbe_measure_conversation(const struct rbe_evaluation *e,
                                         const struct rbe_conversation_plan *p,
                                         struct rbe_diag *d);

/* A generation in a process limited to so much address space: a row for each model.  The
 * models are opened only to name them; one that does not open is an error.  *fits: all did. */
struct rbe_edge_plan {
    uint64_t limit_bytes;
    unsigned tokens, threads;
};
enum rbe_status rbe_measure_edge(const struct rbe_evaluation *e, const struct rbe_edge_plan *p,
                                 bool *fits, struct rbe_diag *d);

/* Decoding without a pause at one depth of the context: a row for each model, one after the
 * other. */
struct rbe_sustained_plan {
    double interval_s;          /* of a point of the curve */
    unsigned intervals;         /* >= 1 */
    uint32_t prompt_tokens;     /* at least two less than n_ctx */
};
enum rbe_status rbe_measure_sustained(const struct rbe_evaluation *e,
                                      const struct rbe_sustained_plan *p, struct rbe_diag *d);

/* What the models said of each choice of some items. */
struct rbe_scores {
    struct rbe_scored {
        double log_p;
        bool greedy;
    } *scored;                  /* [model][count][widest], the caller frees it */
    size_t widest;              /* choices of an item, at most */
    size_t first, count, done;  /* items: the first, wanted, scored */
};

/* A row for each model; e's limit was one of the items' files.  kept (may be NULL; not together
 * with old rows) is filled, also up to an interrupt. */
enum rbe_status rbe_measure_comprehension(const struct rbe_evaluation *e,
                                          const struct rbe_items *x, struct rbe_scores *kept,
                                          struct rbe_diag *d);
/* A JSON line for each choice that a model scored, its text and log p. */
enum rbe_status rbe_scores_write(const struct rbe_scores *s, const struct rbe_evaluation *e,
                                 const struct rbe_items *x, const struct rbe_outfile *out,
                                 struct rbe_diag *d);

#endif

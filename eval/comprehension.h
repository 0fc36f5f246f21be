/*
 * comprehension.h - LAMBADA, HellaSwag, Winogrande and BLiMP, scored as lm-evaluation-harness
 * scores them.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every item is a set of choices, every choice a context and a continuation; its score is
 * log p(continuation | context).
 *
 *   lambada     one choice: the last word, a space before it, a single one after
 *               <|endoftext|>; acc: every token of it is the most likely one; perplexity =
 *               exp(-mean log p)
 *   hellaswag   four endings; acc: highest log p; acc_norm: highest log p per character.
 *               Variant lm-eval: the original's JSON lines, the context made of
 *               activity_label, ctx_a and ctx_b.  Variant text-file: six lines an item, the
 *               context joined already; ctx_b is guessed (a last sentence in lower case)
 *   winogrande  partial evaluation: what follows the blank (a space, where nothing does), given
 *               the text up to it with either option in its place
 *   blimp       the acceptable sentence against the other, after <|endoftext|>; by phenomenon
 *               and by paradigm
 *   choices     contexts and choices of one's own, one JSON object a line; acc and acc_norm as
 *               hellaswag has them
 *
 * Where there are several choices, log_odds is log p of the right one less that of all others
 * together: what accuracy rounds to 0 or 1.
 *
 * Context and continuation are encoded together, and the context alone says where the
 * continuation starts.  Longer than n_ctx + 1 tokens: the context is cut from the left, and the
 * item is counted.  An item is refused, and counted, when a continuation alone is longer than
 * n_ctx or has no token of its own, or a context is nothing but white space:
 * lm-evaluation-harness ends there.
 */
#ifndef RBE_EVAL_COMPREHENSION_H
#define RBE_EVAL_COMPREHENSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "eval/runner.h"
#include "model/tokenizer.h"

enum rbe_task { RBE_LAMBADA, RBE_HELLASWAG, RBE_WINOGRANDE, RBE_BLIMP, RBE_CHOICES,
                RBE_TASK_COUNT };

const char *rbe_task_name(enum rbe_task t);
enum rbe_status rbe_task_parse(enum rbe_task *t, const char *name, struct rbe_diag *d);
/* Its data, as they ship or were fetched (rbe_fetched_path()), a fresh string. */
enum rbe_status rbe_task_data(char **out, enum rbe_task t, struct rbe_diag *d);
/* The samples' columns of the task so named, acc first; how many.  Of an unknown one acc. */
enum { RBE_TASK_COLUMNS = 4 };
size_t rbe_task_columns(const char *name, const char *columns[RBE_TASK_COLUMNS]);

struct rbe_choice {
    uint32_t *tokens;           /* context and continuation */
    uint32_t count, first;      /* tokens first .. count - 1 are scored, first >= 1 */
    uint32_t characters;        /* of the continuation, its leading space not counted */
    uint32_t cut;               /* tokens of the context that were left out */
    char *context, *continuation;       /* of an item: as they were read */
};

enum { RBE_MAX_CHOICES = 64 };

struct rbe_item {
    struct rbe_choice *choice;  /* [choices] */
    unsigned choices, answer;
    unsigned group, paradigm;   /* index of its group; BLiMP: of the phenomenon, the paradigm */
    unsigned file, line;        /* index of its file, and where it ends there */
};

struct rbe_names {
    char **name;
    size_t count;
};

struct rbe_items {
    enum rbe_task task;
    struct rbe_item *item;
    size_t count, room;
    struct rbe_names files;     /* their base names */
    struct rbe_names groups, paradigms;
    char sha256[65];            /* of the file; of the files' hashes for a folder */
    uint64_t bytes;
    const char *variant;        /* "lm-eval", or "text-file" (HellaSwag) */
    char *name;
    size_t limit;               /* items of each file at most, 0: all were loaded */
    size_t refused, cut;        /* items that cannot be scored; items with a context cut */
    char first_refused[200];    /* where the first such item is, and why */
};

/*
 * path: the task's file (JSON lines; HellaSwag also six lines an item), or for BLiMP a folder
 * of .jsonl files.  limit: only the first so many items of each file, 0 for all.  A malformed
 * line, or one of a test split without its answer, is an error with its number.
 */
enum rbe_status rbe_items_load(struct rbe_items *out, enum rbe_task task, const char *path,
                               const struct rbe_tokenizer *t, uint32_t n_ctx, size_t limit,
                               struct rbe_diag *d);
void rbe_items_free(struct rbe_items *x);

/* Adds a choice to an item: what is above, for one context and continuation; RBE_ERR_LIMIT and
 * the reason: the item must be refused. */
enum rbe_status rbe_choice_encode(struct rbe_choice *c, const char *context,
                                  const char *continuation, const struct rbe_tokenizer *t,
                                  uint32_t n_ctx, struct rbe_diag *d);

/* Runs sequences one after the other; what two neighbours share from the start is not run
 * again. */
struct rbe_scorer {
    struct rbe_runner *r;
    uint32_t *held;             /* [n_ctx]: tokens in the session */
    uint32_t held_count;
    double *nll;                /* [n_ctx] */
    uint8_t *greedy;
    uint64_t run, skipped;      /* tokens run, and not run again */
};
enum rbe_status rbe_scorer_open(struct rbe_scorer *s, struct rbe_runner *r, struct rbe_diag *d);
void rbe_scorer_close(struct rbe_scorer *s);
/* log p of the scored tokens of c, and whether each was the most likely. */
enum rbe_status rbe_score(struct rbe_scorer *s, const struct rbe_choice *c, double *log_p,
                          bool *greedy, struct rbe_diag *d);

struct rbe_answer {
    double acc, acc_norm, log_p;        /* 0/1, 0/1, of the right choice */
    double log_odds;
};
/* From the choices' log p; greedy is that of choice 0. */
struct rbe_answer rbe_judge(const struct rbe_item *item, enum rbe_task task,
                            const double *log_p, bool greedy);

/* Sets what says which part of which task a record is: task, variant, items_total, limit,
 * items_refused, items_cut, group_names, paradigm_names, first_item. */
int rbe_comprehension_describe(json_t *record, const struct rbe_items *x, size_t first);

/* Answers to the first items of a described record's part, at most `most`, from its samples;
 * how many. */
size_t rbe_comprehension_restore(const json_t *record, struct rbe_answer *a, size_t most);

/*
 * Sets metrics, groups, paradigms and samples of a record from the answers to items first ..
 * first + count - 1; `base` (may be NULL) the record of the first model: sets paired too.
 */
int rbe_comprehension_summarise(json_t *record, const struct rbe_items *x,
                                const struct rbe_answer *a, size_t first, size_t count,
                                const json_t *base);
/* The same from what stands in the record's samples (task, items_total, group names set). */
int rbe_comprehension_summarise_samples(json_t *record, const json_t *base);

#endif

/*
 * task.h - what tells one comprehension task from another: a file task_*.c for each.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_EVAL_TASK_H
#define RBE_EVAL_TASK_H

#include "eval/comprehension.h"

/* A file that is being read. */
struct rbe_loading {
    struct rbe_items *x;
    const struct rbe_task_kind *kind;
    const struct rbe_tokenizer *t;
    uint32_t n_ctx;
    const char *path;
    unsigned file, line;        /* its index among the items' files */
    bool refused;               /* a choice of the item being read cannot be scored */
};

struct rbe_task_kind {
    const char *name;
    /* Makes an item of one JSON line. */
    enum rbe_status (*line)(struct rbe_loading *l, const json_t *o, struct rbe_diag *d);
    /* Makes items, `limit` at most (0: all), of a file that is no JSON; NULL: all must be. */
    enum rbe_status (*text_file)(struct rbe_loading *l, char *text, size_t limit,
                                 struct rbe_diag *d);
    bool folder;                /* may be a folder of .jsonl files */
    bool greedy;                /* acc: every token is the most likely; else: the best choice */
    const char *data;           /* its name in datasets/MANIFEST, or NULL */
    const char *metric;         /* a column of samples beside acc: acc_norm, log_p; or NULL */
};
extern const struct rbe_task_kind rbe_task_lambada, rbe_task_hellaswag, rbe_task_winogrande,
    rbe_task_blimp, rbe_task_choices;

const struct rbe_task_kind *rbe_task_kind(enum rbe_task t);

/* A fresh item at the end, or NULL: out of memory.  After its last choice, rbe_item_end() takes
 * it back if one of them cannot be scored, and counts. */
struct rbe_item *rbe_item_new(struct rbe_items *x);
enum rbe_status rbe_item_add(struct rbe_loading *l, struct rbe_item *it, const char *context,
                             const char *continuation, struct rbe_diag *d);
void rbe_item_end(struct rbe_loading *l);

/* Errors with the file's name and the line. */
enum rbe_status rbe_item_malformed(const struct rbe_loading *l, const char *what,
                                   struct rbe_diag *d);
/* Test splits come without the answers. */
enum rbe_status rbe_item_unlabelled(const struct rbe_loading *l, const char *key,
                                    struct rbe_diag *d);
bool rbe_item_no_answer(const json_t *answer);

/* The number of the name among these, a new one if need be. */
enum rbe_status rbe_names_index(struct rbe_names *x, const char *name, unsigned *index);

/* The first na bytes of a, b and c, fresh; NULL: out of memory. */
char *rbe_join3(const char *a, size_t na, const char *b, const char *c);

#endif

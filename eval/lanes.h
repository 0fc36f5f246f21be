/*
 * lanes.h - whole items side by side: every thread has sessions of its own.
 *
 * SPDX-License-Identifier: MIT
 *
 * An item (a window, a question, a prompt) runs on one thread through all models, without
 * barriers; its values do not depend on how many threads there are.
 */
#ifndef RBE_EVAL_LANES_H
#define RBE_EVAL_LANES_H

#include <stddef.h>

#include "base/status.h"
#include "eval/runner.h"

struct rbe_lanes {
    struct rbe_runner *runner;  /* [lane][model] */
    size_t models;
    unsigned count;             /* lanes: as many as threads, at most as items */
    struct rbe_pool *pool;      /* not owned */
};

/* Lanes for `items` items and the models of `of` [models], which must outlive them. */
enum rbe_status rbe_lanes_open(struct rbe_lanes *l, const struct rbe_runner *of, size_t models,
                               size_t items, uint32_t rows, struct rbe_pool *pool,
                               struct rbe_diag *d);
void rbe_lanes_close(struct rbe_lanes *l);

/* Works on an item with the runners of one lane, runner [models]; called from its thread. */
typedef enum rbe_status rbe_lane_fn(void *arg, unsigned lane, struct rbe_runner *runner,
                                    size_t item, struct rbe_diag *d);

/*
 * fn for every item of [first, first + count), shown as progress of `what` in `unit` (NULL: not
 * shown).  *done: so many from `first` on are finished: all of them, but for an interrupt
 * (RBE_OK then, too), which ends what is being done; fn then gives RBE_ERR_INTERRUPTED.
 */
enum rbe_status rbe_lanes_run(struct rbe_lanes *l, size_t first, size_t count, rbe_lane_fn *fn,
                              void *arg, const char *what, const char *unit, size_t *done,
                              struct rbe_diag *d);

#endif

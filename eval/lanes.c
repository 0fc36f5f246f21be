/*
 * lanes.c - whole items side by side: every thread has sessions of its own.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/lanes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"

enum rbe_status rbe_lanes_open(struct rbe_lanes *l, const struct rbe_runner *of, size_t models,
                               size_t items, uint32_t rows, struct rbe_pool *pool,
                               struct rbe_diag *d)
{
    const unsigned threads = rbe_pool_threads(pool);
    enum rbe_status err = RBE_OK;

    *l = (struct rbe_lanes){.models = models, .pool = pool,
                            .count = items < threads ? (unsigned)items : threads};
    if (!(l->runner = calloc(models * l->count + 1, sizeof *l->runner)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < models * l->count && !err; i++)
        err = rbe_runner_share(&l->runner[i], &of[i % models], rows, d);
    if (err)
        rbe_lanes_close(l);
    return err;
}

void rbe_lanes_close(struct rbe_lanes *l)
{
    for (size_t i = 0; l->runner && i < l->models * l->count; i++)
        rbe_runner_close(&l->runner[i]);
    free(l->runner);
    memset(l, 0, sizeof *l);
}

struct work {
    struct rbe_lanes *l;
    rbe_lane_fn *fn;
    void *arg;
    enum rbe_status *err;       /* [lane] */
    struct rbe_diag *diag;      /* [lane] */
    struct rbe_progress bar;    /* drawn by thread 0 */
    size_t first, count;
    size_t gap;                 /* the first item taken and not finished, or SIZE_MAX */
    atomic_size_t next, done;   /* items taken; finished */
    pthread_mutex_t lock;       /* of gap */
};

/* An item that an interrupt broke off; those behind it do not count. */
static void leave_gap(struct work *w, size_t i)
{
    pthread_mutex_lock(&w->lock);
    w->gap = i < w->gap ? i : w->gap;
    pthread_mutex_unlock(&w->lock);
}

/* Whoever is free takes the next item. */
static void run_lane(void *arg, unsigned t, unsigned threads)
{
    struct work *w = arg;
    size_t i;

    (void)threads;
    while (t < w->l->count && !w->err[t] && !rbe_interrupted() &&
           (i = atomic_fetch_add(&w->next, 1)) < w->count) {
        w->err[t] = w->fn(w->arg, t, w->l->runner + t * w->l->models, w->first + i,
                          &w->diag[t]);
        if (w->err[t] == RBE_ERR_INTERRUPTED) {
            w->err[t] = RBE_OK;
            leave_gap(w, i);
            return;
        }
        const size_t done = atomic_fetch_add(&w->done, 1) + 1;
        if (!t)
            rbe_progress_update(&w->bar, (double)done, NULL);
    }
}

enum rbe_status rbe_lanes_run(struct rbe_lanes *l, size_t first, size_t count, rbe_lane_fn *fn,
                              void *arg, const char *what, const char *unit, size_t *done,
                              struct rbe_diag *d)
{
    struct work w = {.l = l, .fn = fn, .arg = arg, .first = first, .count = count,
                     .gap = SIZE_MAX, .lock = PTHREAD_MUTEX_INITIALIZER};
    enum rbe_status err = RBE_OK;

    *done = 0;
    if (!(w.err = calloc(l->count + 1, sizeof *w.err)) ||
        !(w.diag = calloc(l->count + 1, sizeof *w.diag))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    if (what)
        rbe_progress_start(&w.bar, what, unit, (double)count);
    else
        w.bar.quiet = true;
    rbe_pool_run(l->pool, run_lane, &w);
    rbe_progress_end(&w.bar);
    for (unsigned t = 0; t < l->count && !err; t++)
        if ((err = w.err[t]))
            *d = w.diag[t];
    *done = atomic_load(&w.done);
    *done = w.gap < *done ? w.gap : *done;
out:
    free(w.err);
    free(w.diag);
    return err;
}

/*
 * measure_divergence.c - models against the first one, token by token.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/rows.h"
#include "eval/divergence.h"
#include "eval/lanes.h"
#include "eval/measure.h"
#include "eval/merge.h"
#include "eval/perplexity.h"

/* Rows of logits a lane makes at once. */
enum { ROWS = 64 };

struct job {
    const struct rbe_evaluation *e;
    const struct rbe_divergence_plan *p;
    size_t first, count, done;  /* windows: the first of this shard, wanted, measured */
    size_t others;              /* models but the first */
    struct rbe_divergence *v;   /* [others] */
};

/* A record without its samples, or NULL: out of memory. */
static json_t *describe(const struct job *j, size_t m)
{
    json_t *r = rbe_evaluation_record(j->e, RBE_KIND(divergence), &j->e->runners[m]);

    if (r && (rbe_runner_record(&j->e->runners[0], r, RBE_KEY(base)) ||
              rbe_text_record(r, j->p->text, j->p->windows->protocol == RBE_P3) ||
              rbe_perplexity_describe(r, j->p->windows) ||
              rbe_evaluation_set_limited(
                  j->e, r, rbe_evaluation_shared(j->e, j->p->windows->count)) ||
              RBE_SET(r, RBE_INT(first_window, j->first)) ||
              RBE_SET(r, RBE_JSON(recorded, json_null())))) {
        json_decref(r);
        r = NULL;
    }
    return r;
}

/* A lane sums windows into the arrays of all, and counts in histograms of its own. */
struct lane_work {
    const struct job *j;
    struct rbe_divergence *v;   /* [lane][others]; sums not owned */
};

static enum rbe_status one_window(void *arg, unsigned lane, struct rbe_runner *r, size_t i,
                                  struct rbe_diag *d)
{
    const struct lane_work *l = arg;
    const struct job *j = l->j;

    return rbe_divergence_window(r, j->e->model_count, j->p->windows, i, i - j->first,
                                 l->v + lane * j->others, NULL, d);
}

static enum rbe_status side_by_side(struct job *j, struct rbe_diag *d)
{
    const size_t left = j->count - j->done, before = j->done;
    struct lane_work work = {.j = j};
    struct rbe_lanes l;
    size_t done = 0, round = 0;
    enum rbe_status err = rbe_lanes_open(&l, j->e->runners, j->e->model_count, left, ROWS,
                                         j->e->pool, d);

    if (err)
        return err;
    const size_t each = l.count * j->others;
    struct rbe_progress bar;
    if (!(work.v = calloc(each + 1, sizeof *work.v)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    rbe_progress_start(&bar, "divergence", "windows", (double)left);
    /* In rounds of a window for each lane: the histograms of one that an interrupt broke off
     * count for none of its windows. */
    while (!err && j->done < j->count && done == round) {
        round = j->count - j->done < l.count ? j->count - j->done : l.count;
        memset(work.v, 0, each * sizeof *work.v);
        for (size_t i = 0; i < each; i++)
            memcpy(work.v[i].sum, j->v[i % j->others].sum, sizeof work.v[i].sum);
        err = rbe_lanes_run(&l, j->first + j->done, round, one_window, &work, NULL, NULL,
                            &done, d);
        if (err || done < round)
            break;
        for (size_t i = 0; i < each; i++)
            rbe_divergence_join(&j->v[i % j->others], &work.v[i]);
        j->done += round;
        rbe_progress_update(&bar, (double)(j->done - before), NULL);
    }
    rbe_progress_end(&bar);
    free(work.v);
    rbe_lanes_close(&l);
    return err;
}

/* A recording is read and written window by window: all threads work on the same one. */
static enum rbe_status one_by_one(struct job *j, struct rbe_recording *recording,
                                  struct rbe_diag *d)
{
    struct rbe_progress p;
    enum rbe_status err = RBE_OK;

    rbe_progress_start(&p, "divergence", "windows", (double)j->count);
    while (!err && j->done < j->count && !rbe_interrupted()) {
        err = rbe_divergence_window(j->e->runners, j->e->model_count, j->p->windows,
                                    j->first + j->done, j->done, j->v, recording, d);
        j->done += !err;
        rbe_progress_update(&p, (double)j->done, NULL);
    }
    if (err == RBE_ERR_INTERRUPTED)
        err = RBE_OK;
    rbe_progress_end(&p);
    return !err && j->done == j->count ? rbe_recording_commit(recording, d) : err;
}

/* Windows that all models have finished already, by their rows. */
static enum rbe_status resume(struct job *j, struct rbe_diag *d)
{
    const json_t **found = calloc(j->others, sizeof *found);
    enum rbe_status err = found ? RBE_OK : RBE_ERR_NOMEM;
    bool all = true;

    for (size_t m = 0; m < j->others && !err; m++) {
        json_t *like = describe(j, m + 1);
        if (!like)
            err = RBE_ERR_NOMEM;
        else
            found[m] = rbe_merge_find(j->e->old, like);
        json_decref(like);
        /* Histograms cannot be cut: only what ended at the same window is taken. */
        all = all && found[m] &&
              json_equal(RBE_VALUE_AT(found[m], windows), RBE_VALUE_AT(found[0], windows));
    }
    for (size_t m = 0; m < j->others && !err && all; m++)
        if (!(err = rbe_divergence_read(&j->v[m], found[m], d)))
            j->done = j->v[m].windows;
    if (!err && j->done > j->count)
        err = rbe_fail(d, RBE_ERR_MISMATCH, "%s has %zu windows already", j->e->saved, j->done);
    free(found);
    return err;
}

static enum rbe_status emit(struct job *j, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < j->others && !err && j->done; m++) {
        json_t *r = describe(j, m + 1);
        if (r && rbe_divergence_summarise(r, &j->v[m], j->done, j->first)) {
            json_decref(r);
            r = NULL;
        }
        if (r && j->p->recorded)
            RBE_SET(r, RBE_WORD(recorded, "F16"));
        err = rbe_evaluation_emit(j->e, r, d);
    }
    if (!err && j->done < j->count)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %zu of %zu windows%s",
                       j->done, j->count, j->e->saved ? "; --resume goes on" : "");
    return err;
}

enum rbe_status rbe_measure_divergence(const struct rbe_evaluation *e,
                                       const struct rbe_divergence_plan *p, struct rbe_diag *d)
{
    struct job j = {.e = e, .p = p, .others = e->model_count - 1};
    struct rbe_recording *recording = NULL;
    enum rbe_status err =
        rbe_evaluation_share(e, p->windows->count, "windows", &j.first, &j.count, d);

    if (err)
        return err;
    if (!(j.v = calloc(j.others, sizeof *j.v)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (e->old)
        err = resume(&j, d);
    for (size_t m = 0; m < j.others && !err; m++)
        err = rbe_divergence_reserve(&j.v[m], j.count - j.done, d);
    if (!err && p->record)
        err = rbe_recording_create(&recording, p->record, &e->runners[0], p->text, p->windows,
                                   j.count, d);
    else if (!err && p->recorded)
        err = rbe_recording_open(&recording, p->recorded, &e->runners[0], p->text, p->windows,
                                 j.count, d);
    if (!err && j.done < j.count)
        err = recording ? one_by_one(&j, recording, d) : side_by_side(&j, d);
    if (!err)
        err = emit(&j, d);
    for (size_t m = 0; m < j.others; m++)
        rbe_divergence_free(&j.v[m]);
    free(j.v);
    rbe_recording_close(&recording);
    return err;
}

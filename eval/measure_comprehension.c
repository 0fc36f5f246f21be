/*
 * measure_comprehension.c - the items of a task answered by several models.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rows.h"
#include "eval/comprehension.h"
#include "eval/lanes.h"
#include "eval/measure.h"
#include "eval/merge.h"

/* Rows of logits a lane makes at once. */
enum { ROWS = 64 };

struct job {
    const struct rbe_evaluation *e;
    const struct rbe_items *x;
    size_t first, count, done;  /* items: the first of this shard, wanted, answered */
    struct rbe_answer *a;       /* [model][count] */
    struct rbe_scorer *scorer;  /* [lane][model] */
    struct rbe_scores *kept;    /* or NULL */
};

/* A record without its samples, with the base's name or without; NULL: out of memory. */
static json_t *describe(const struct job *j, size_t m, bool base)
{
    const struct rbe_items *x = j->x;
    json_t *r = rbe_evaluation_record(j->e, RBE_KIND(comprehension), &j->e->runners[m]);

    if (r && ((base && rbe_runner_record(&j->e->runners[0], r, RBE_KEY(base))) ||
              rbe_result_set_text(r, x->name, x->sha256, x->bytes) ||
              rbe_comprehension_describe(r, x, j->first) ||
              rbe_evaluation_set_limited(j->e, r, x->count))) {
        json_decref(r);
        r = NULL;
    }
    return r;
}

static enum rbe_status score_item(struct rbe_scorer *s, const struct rbe_items *x, size_t i,
                                  struct rbe_answer *a, struct rbe_scored *keep,
                                  struct rbe_diag *d)
{
    const struct rbe_item *it = &x->item[i];
    double log_p[RBE_MAX_CHOICES];
    bool greedy = false, each = false;
    enum rbe_status err = RBE_OK;

    /* Nothing is shared across items: a shard that starts here must round alike. */
    s->held_count = 0;
    for (unsigned k = 0; k < it->choices && !err; k++) {
        err = rbe_score(s, &it->choice[k], &log_p[k], &each, d);
        if (!k)
            greedy = each;
        if (keep)
            keep[k] = (struct rbe_scored){log_p[k], each};
    }
    if (!err)
        *a = rbe_judge(it, x->task, log_p, greedy);
    return err;
}

static enum rbe_status one_item(void *arg, unsigned lane, struct rbe_runner *r, size_t i,
                                struct rbe_diag *d)
{
    const struct job *j = arg;
    const size_t models = j->e->model_count;
    enum rbe_status err = RBE_OK;

    (void)r;                    /* each scorer has its own */
    for (size_t m = 0; m < models && !err; m++) {
        const size_t at = m * j->count + i - j->first;
        err = score_item(&j->scorer[lane * models + m], j->x, i, &j->a[at],
                         j->kept ? j->kept->scored + at * j->kept->widest : NULL, d);
    }
    return err;
}

static enum rbe_status measure(struct job *j, struct rbe_diag *d)
{
    const size_t models = j->e->model_count, left = j->count - j->done;
    struct rbe_lanes l;
    size_t done = 0;
    enum rbe_status err = rbe_lanes_open(&l, j->e->runners, models, left, ROWS, j->e->pool, d);

    if (err)
        return err;
    if (!(j->scorer = calloc(models * l.count + 1, sizeof *j->scorer)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < models * l.count && !err; i++)
        err = rbe_scorer_open(&j->scorer[i], &l.runner[i], d);
    if (!err)
        err = rbe_lanes_run(&l, j->first + j->done, left, one_item, j,
                            rbe_task_name(j->x->task), "items", &done, d);
    j->done += done;
    for (size_t i = 0; j->scorer && i < models * l.count; i++)
        rbe_scorer_close(&j->scorer[i]);
    free(j->scorer);
    rbe_lanes_close(&l);
    return err;
}

/* Items that all models have answered already, by their rows. */
static enum rbe_status resume(struct job *j, struct rbe_diag *d)
{
    size_t least = j->count;

    for (size_t m = 0; m < j->e->model_count; m++) {
        json_t *like = describe(j, m, m > 0);
        if (!like)
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        const size_t n = rbe_comprehension_restore(rbe_merge_find(j->e->old, like),
                                                   j->a + m * j->count, j->count);
        least = n < least ? n : least;
        json_decref(like);
    }
    j->done = least;
    return RBE_OK;
}

static enum rbe_status emit(struct job *j, struct rbe_diag *d)
{
    json_t *base = NULL;
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < j->e->model_count && !err && j->done; m++) {
        json_t *r = describe(j, m, false);
        if (r && rbe_comprehension_summarise(r, j->x, j->a + m * j->count, j->first, j->done,
                                             base)) {
            json_decref(r);
            r = NULL;
        }
        if (r && j->done < j->count)
            RBE_SET(r, RBE_JSON(complete, json_false()));
        if (!m)
            base = json_incref(r);
        err = rbe_evaluation_emit(j->e, r, d);
    }
    if (!err && j->done < j->count)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %zu of %zu items%s", j->done,
                       j->count, !j->e->saved ? ""
                       : j->kept ? "; --resume, without --log-samples, goes on"
                                 : "; --resume goes on");
    json_decref(base);
    return err;
}

/* A line for each choice of item i, as model m scored it. */
static enum rbe_status write_item(const struct rbe_outfile *out, const struct rbe_scores *s,
                                  const struct rbe_evaluation *e, const struct rbe_items *x,
                                  size_t m, size_t i, struct rbe_diag *d)
{
    const struct rbe_item *it = &x->item[s->first + i];
    const struct rbe_scored *of = s->scored + (m * s->count + i) * s->widest;
    unsigned best = 0;
    enum rbe_status err = RBE_OK;

    for (unsigned k = 1; k < it->choices; k++)
        if (of[k].log_p > of[best].log_p)
            best = k;
    for (unsigned k = 0; k < it->choices && !err; k++) {
        const struct rbe_choice *c = &it->choice[k];
        json_t *o = json_pack(
            "{s:o, s:s, s:o, s:I, s:i, s:i, s:b, s:b, s:s, s:s, s:o, s:b, s:i, s:i, s:i}",
            "model", rbe_result_string(e->runners[m].name), "task", rbe_task_name(x->task),
            "file", rbe_result_string(x->files.name[it->file]), "item",
            (json_int_t)(s->first + i), "line", (int)it->line, "choice", (int)k, "right",
            k == it->answer, "chosen", k == best, "context", c->context, "continuation",
            c->continuation, "log_p", rbe_result_real(of[k].log_p), "greedy",
            (int)of[k].greedy, "tokens", (int)(c->count - c->first), "characters",
            (int)c->characters, "cut", (int)c->cut);
        /* Where it is not the file that fails, memory ran out: jansson does not say so. */
        errno = ENOMEM;
        if (!o || json_dumpf(o, out->f, JSON_COMPACT) || fputc('\n', out->f) == EOF)
            err = rbe_fail_errno(d, "%s: cannot write", out->path);
        json_decref(o);
    }
    return err;
}

enum rbe_status rbe_scores_write(const struct rbe_scores *s, const struct rbe_evaluation *e,
                                 const struct rbe_items *x, const struct rbe_outfile *out,
                                 struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < e->model_count && !err; m++)
        for (size_t i = 0; i < s->done && !err; i++)
            err = write_item(out, s, e, x, m, i, d);
    return err;
}

enum rbe_status rbe_measure_comprehension(const struct rbe_evaluation *e,
                                          const struct rbe_items *x, struct rbe_scores *kept,
                                          struct rbe_diag *d)
{
    struct job j = {.e = e, .x = x, .kept = kept};
    /* The limit is one of each file, applied when they were loaded. */
    struct rbe_evaluation all = *e;
    all.limit = 0;
    enum rbe_status err =
        rbe_evaluation_share(&all, x->count, "items", &j.first, &j.count, d);

    if (err)
        return err;
    j.a = calloc(e->model_count * j.count + 1, sizeof *j.a);
    if (kept) {
        *kept = (struct rbe_scores){.first = j.first, .count = j.count};
        for (size_t i = 0; i < j.count; i++)
            if (x->item[j.first + i].choices > kept->widest)
                kept->widest = x->item[j.first + i].choices;
        kept->scored =
            calloc(e->model_count * j.count * kept->widest + 1, sizeof *kept->scored);
    }
    if (!j.a || (kept && !kept->scored)) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    if (e->old)
        err = resume(&j, d);
    if (!err && j.done < j.count)
        err = measure(&j, d);
    if (kept)
        kept->done = j.done;
    if (!err)
        err = emit(&j, d);
out:
    free(j.a);
    return err;
}

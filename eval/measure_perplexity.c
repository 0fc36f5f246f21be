/*
 * measure_perplexity.c - perplexity of several models on the windows of a text.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every thread takes whole windows.  A few of them go through all models before the next few:
 * what is finished when the work is interrupted is paired, and time ratios compare the same
 * minutes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/rows.h"
#include "eval/measure.h"
#include "eval/perplexity.h"

/* Rows of logits a thread makes at once: few, so that they are still in its cache when they
 * are summed. */
enum { ROWS = 128 };

/* All models take turns about this often; the windows of a turn at most, for each thread. */
static const double turn_s = 0.5;
enum { TURN_MAX = 16 };

/* What the warm-up before a long pass reads of a window. */
enum { WARM_UP_TOKENS = 256, WARM_UP_LEAST = 16 };

struct job {
    const struct rbe_evaluation *e;
    const struct rbe_perplexity_plan *p;
    const struct rbe_windows *w;
    struct rbe_runner *lanes;   /* [model][lane_count], one lane a thread */
    unsigned lane_count;
    size_t first, count, done;  /* windows: the first of this shard, wanted, measured */
    double **nll, *scored;      /* [model][count], [count] */
    double *seconds;            /* [model] */
};

static void job_free(struct job *j)
{
    for (size_t m = 0; j->nll && m < j->e->model_count; m++)
        free(j->nll[m]);
    free(j->nll);
    free(j->scored);
    free(j->seconds);
    for (size_t i = 0; j->lanes && i < j->e->model_count * j->lane_count; i++)
        rbe_runner_close(&j->lanes[i]);
    free(j->lanes);
}

static enum rbe_status job_allocate(struct job *j, struct rbe_diag *d)
{
    const size_t models = j->e->model_count;
    bool ok = (j->nll = calloc(models, sizeof *j->nll)) &&
              (j->scored = calloc(j->count + 1, sizeof *j->scored)) &&
              (j->seconds = calloc(models, sizeof *j->seconds));

    for (size_t m = 0; ok && m < models; m++)
        ok = (j->nll[m] = calloc(j->count + 1, sizeof **j->nll));
    return ok ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory for %zu windows", j->count);
}

/* A session for every thread and model: whole windows side by side need no barriers. */
static enum rbe_status open_lanes(struct job *j, struct rbe_diag *d)
{
    const unsigned threads = rbe_pool_threads(j->e->pool);
    enum rbe_status err = RBE_OK;

    j->lane_count = j->count < threads ? (unsigned)j->count : threads;
    const size_t all = j->e->model_count * j->lane_count;
    if (!(j->lanes = calloc(all, sizeof *j->lanes)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < all && !err; i++)
        err = rbe_runner_share(&j->lanes[i], &j->e->runners[i / j->lane_count], ROWS, d);
    return err;
}

static json_t *make_record(struct job *j, size_t m)
{
    json_t *r = rbe_evaluation_record(j->e, RBE_KIND(perplexity), &j->e->runners[m]);

    if (r && (rbe_text_record(r, j->p->text, j->w->protocol == RBE_P3) ||
              rbe_perplexity_describe(r, j->w) ||
              rbe_evaluation_set_limited(j->e, r, rbe_evaluation_shared(j->e, j->w->count)) ||
              rbe_perplexity_summarise(r, j->nll[m], j->scored, j->done, j->first,
                                       j->seconds[m], j->p->resamples))) {
        json_decref(r);
        r = NULL;
    }
    return r;
}

/* --- going on after an interrupt --------------------------------------------------------- */

/* Whether an old record is of this model, text, protocol and shard. */
static bool belongs(const struct job *j, const json_t *r, size_t m)
{
    const char *kind = json_string_value(RBE_VALUE_AT(r, kind));
    const char *model = json_string_value(RBE_VALUE_AT(r, model, sha256));
    const char *text = json_string_value(RBE_VALUE_AT(r, text, sha256));
    const char *protocol = json_string_value(RBE_VALUE_AT(r, protocol));
    const char *special = json_string_value(RBE_VALUE_AT(r, special));
    const json_t *begin = RBE_VALUE_AT(r, begin_token);

    return kind && !strcmp(kind, RBE_KIND(perplexity)) && model && text && protocol &&
           !strcmp(model, rbe_model_sha256(j->e->runners[m].model)) &&
           !strcmp(text, j->p->text->sha256) && special && !strcmp(special, j->e->special) &&
           !strcmp(protocol, rbe_protocol_name(j->w->protocol)) &&
           (begin ? j->w->begins && json_integer_value(begin) == (json_int_t)j->w->begin
                  : !j->w->begins) &&
           json_integer_value(RBE_VALUE_AT(r, context)) == j->w->context &&
           json_integer_value(RBE_VALUE_AT(r, windows_total)) == (json_int_t)j->w->count &&
           json_integer_value(RBE_VALUE_AT(r, first_window)) == (json_int_t)j->first;
}

static enum rbe_status resume(struct job *j, const json_t *old, struct rbe_diag *d)
{
    size_t least = j->count;

    for (size_t m = 0; m < j->e->model_count; m++) {
        const json_t *last = NULL, *r;
        size_t i, n = 0;
        json_array_foreach(old, i, r)
            if (belongs(j, r, m))
                last = r;
        if (last) {
            double *nll, *scored;
            const enum rbe_status err = rbe_perplexity_samples(last, &nll, &scored, &n, d);
            if (err)
                return err;
            if (n > j->count)
                n = j->count;
            memcpy(j->nll[m], nll, n * sizeof *nll);
            memcpy(j->scored, scored, n * sizeof *scored);
            j->seconds[m] = RBE_NUMBER_AT(last, seconds);
            free(nll);
            free(scored);
        }
        least = n < least ? n : least;
    }
    j->done = least;
    if (!least)
        memset(j->seconds, 0, j->e->model_count * sizeof *j->seconds);
    return RBE_OK;
}

/* --- measuring --------------------------------------------------------------------------- */

static enum rbe_status checkpoint(struct job *j, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < j->e->model_count && !err; m++)
        err = rbe_result_append(j->e->results, make_record(j, m), d);
    return err;
}

/* Runs the first `tokens` of lane_count windows through every model, scoring the same share
 * of them as of whole ones; *seconds is what it took. */
static enum rbe_status warm_up(struct job *j, uint32_t tokens, double *seconds,
                               struct rbe_diag *d)
{
    struct rbe_windows w = *j->w;
    double *values = calloc(2 * (size_t)j->lane_count, sizeof *values);
    enum rbe_status err = RBE_ERR_NOMEM;

    if ((w.w = calloc(j->lane_count, sizeof *w.w)) && values) {
        for (size_t i = 0; i < j->lane_count; i++) {
            w.w[i] = j->w->w[j->first + i];
            if (w.w[i].length > tokens + 1) {
                w.w[i].first = 1 + (uint32_t)((uint64_t)tokens * (w.w[i].first - 1) /
                                              (w.w[i].length - 1));
                w.w[i].length = tokens + 1;
            }
        }
        const double start = rbe_now();
        err = RBE_OK;
        for (size_t m = 0; m < j->e->model_count && !err; m++)
            err = rbe_perplexity_windows(j->lanes + m * j->lane_count, j->lane_count,
                                         j->e->pool, &w, 0, j->lane_count, values,
                                         values + j->lane_count, d);
        *seconds = rbe_now() - start;
    }
    free(w.w);
    free(values);
    return err;
}

/* Says how long the pass will take before it starts, measured on these very models. */
static enum rbe_status project(struct job *j, const char *what, struct rbe_diag *d)
{
    double seconds = 0, tokens = 0;
    enum rbe_status err;

    for (size_t i = j->done; i < j->count; i++)
        tokens += j->w->w[j->first + i].length;
    const uint32_t whole = j->w->context - 1;
    const uint32_t part = whole < WARM_UP_TOKENS ? whole : WARM_UP_TOKENS;
    const double warm = (double)part * j->lane_count;
    if (!rbe_progress_shown() || tokens < 4 * warm)
        return RBE_OK;
    if ((err = warm_up(j, WARM_UP_LEAST, &seconds, d)) ||
        (err = warm_up(j, part, &seconds, d)))
        return err;
    rbe_progress_say("%s: %zu windows of %u tokens, %zu model(s), %u at once: about %.0f s "
                     "(from %u tokens of a window)\n", what, j->count - j->done,
                     j->w->context, j->e->model_count, j->lane_count, seconds * tokens / warm,
                     part);
    return RBE_OK;
}

static enum rbe_status measure(struct job *j, struct rbe_diag *d)
{
    char what[64];
    struct rbe_progress p;
    double saved = rbe_now();
    const size_t before = j->done;
    size_t each = 1;            /* windows of a turn for each thread */
    enum rbe_status err;

    snprintf(what, sizeof what, "%s %.40s", rbe_protocol_name(j->w->protocol),
             j->p->text->name);
    if ((err = project(j, what, d)))
        return err;
    rbe_progress_start(&p, what, "windows", (double)(j->count - j->done));
    while (j->done < j->count) {
        bool whole = true;
        const double start = rbe_now();
        const size_t left = j->count - j->done;
        const size_t n = left < each * j->lane_count ? left : each * j->lane_count;
        for (size_t m = 0; m < j->e->model_count && whole; m++) {
            const double from = rbe_now();
            if ((err = rbe_perplexity_windows(j->lanes + m * j->lane_count, j->lane_count,
                                              j->e->pool, j->w, j->first + j->done, n,
                                              j->nll[m] + j->done, j->scored + j->done, d)) &&
                err != RBE_ERR_INTERRUPTED)
                return err;
            whole = !err;
            j->seconds[m] += rbe_now() - from;
        }
        j->done += whole ? n : 0;
        const double now = rbe_now();
        if (now - start < turn_s && each < TURN_MAX)
            each *= 2;
        rbe_progress_update(&p, (double)(j->done - before), NULL);
        if (rbe_interrupted() && j->done < j->count) {
            rbe_progress_end(&p);
            if (j->done && (err = checkpoint(j, d)))
                return err;
            return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %zu of %zu windows%s",
                            j->done, j->count, j->e->saved ? "; --resume goes on" : "");
        }
        if (j->e->saved && now - saved >= j->p->checkpoint_s && j->done < j->count) {
            if ((err = checkpoint(j, d)))
                return err;
            saved = rbe_now();
        }
    }
    rbe_progress_end(&p);
    return RBE_OK;
}

static enum rbe_status finish(struct job *j, struct rbe_diag *d)
{
    const unsigned resamples = j->p->resamples;
    json_t *base = NULL;
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < j->e->model_count && !err; m++) {
        json_t *r = make_record(j, m), *pair = NULL;
        if (!r) {
            err = RBE_ERR_NOMEM;
            break;
        }
        if (m) {
            if (!(pair = rbe_evaluation_record(j->e, RBE_KIND(paired), NULL)))
                err = RBE_ERR_NOMEM;
            else
                err = rbe_perplexity_pair(pair, base, r, resamples, d);
        } else {
            base = json_incref(r);
        }
        if (err) {
            json_decref(r);
            json_decref(pair);
            break;
        }
        err = rbe_evaluation_emit(j->e, r, d);
        if (pair && !err)
            err = rbe_evaluation_emit(j->e, pair, d);
    }
    json_decref(base);
    return err;
}

enum rbe_status rbe_measure_perplexity(const struct rbe_evaluation *e,
                                       const struct rbe_perplexity_plan *p, struct rbe_diag *d)
{
    struct job j = {.e = e, .p = p, .w = p->windows};
    enum rbe_status err =
        rbe_evaluation_share(e, j.w->count, "windows", &j.first, &j.count, d);

    if (!err && !(err = job_allocate(&j, d)) && (!e->old || !(err = resume(&j, e->old, d))) &&
        !(err = open_lanes(&j, d)) && !(err = measure(&j, d)))
        err = finish(&j, d);
    job_free(&j);
    return err;
}

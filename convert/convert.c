/*
 * convert.c - encodes matrix after matrix, and writes the file.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/convert_private.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/compensate.h"
#include "rbe/container.h"

bool rbe_convert_uses_feedback(const struct rbe_convert_entry *r)
{
    bool takes = rbe_format_facts(r->options.format)->feedback;

    for (size_t i = 0; i < r->options.part_count; i++)
        takes = takes || rbe_format_facts(r->options.parts[i].format)->feedback;
    return r->tensor->matrix && r->settings.feedback && takes;
}

size_t rbe_convert_compensated(const struct rbe_convert *c)
{
    const bool does = c->o.calibration && !c->o.no_feedback && !(c->o.low_rank > 0);
    const size_t text = does ? rbe_calibration_tokens(c->o.calibration) : 0;

    return c->o.compensate < text ? c->o.compensate : text;
}

bool rbe_convert_is_compensated(const struct rbe_convert *c, const struct rbe_convert_entry *r)
{
    return rbe_convert_compensated(c) && r->layer >= 0 && rbe_convert_uses_feedback(r);
}

bool rbe_convert_wants_calibration(const struct rbe_convert *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (rbe_convert_uses_feedback(&c->entries[i]))
            return true;
    return false;
}

bool rbe_convert_is_untold(const struct rbe_convert *c, const struct rbe_convert_entry *r)
{
    /* An embedding that is not the output layer, too, has no inputs. */
    const bool only_looked_up = r->tensor->role == RBE_ROLE_TOKENS &&
                                rbe_config_has(&c->source->config, RBE_OPTION_UNTIED);

    return c->o.calibration && rbe_convert_uses_feedback(r) && !c->o.no_feedback &&
           !only_looked_up && !rbe_convert_knows(c, r);
}

bool rbe_convert_knows(const struct rbe_convert *c, const struct rbe_convert_entry *r)
{
    return rbe_calibration_knows(c->o.calibration, r->tensor->weight_name);
}

enum rbe_status rbe_convert_moment(float **out, const struct rbe_convert *c,
                                   const struct rbe_convert_entry *r, struct rbe_diag *d)
{
    return rbe_calibration_moment(out, c->o.calibration, r->tensor->weight_name, d);
}

const float *rbe_convert_importance(const struct rbe_convert *c,
                                    const struct rbe_convert_entry *r)
{
    const float *all = rbe_calibration_rows(c->o.calibration, r->tensor->weight_name);

    return all ? all + r->tensor->row0 : NULL;
}

enum rbe_status rbe_convert_row_metric(float **out, const struct rbe_convert *c,
                                       const struct rbe_convert_entry *r, struct rbe_diag *d)
{
    return rbe_calibration_row_metric(out, c->o.calibration, r->tensor->weight_name,
                                      r->tensor->row0, r->tensor->rows, d);
}

struct rbe_encode_options rbe_convert_told(const struct rbe_convert_entry *r, bool told,
                                           enum rbe_metric metric)
{
    static const float some[1];
    struct rbe_encode_options o = r->options;

    o.moment = told ? some : NULL;
    o.row_metric = told && rbe_calibration_has_metric(r->tensor, metric) ? some : NULL;
    return o;
}

bool rbe_convert_is_narrow(const struct rbe_convert *c, const struct rbe_convert_entry *r,
                           const struct rbe_encode_options *o, unsigned threads)
{
    /* Two shares for each thread, or they wait for each other after every column.  A projection
     * of low rank has the pool to itself. */
    return r->encoded && threads > 1 && !(c->o.low_rank > 0) &&
           rbe_encode_shares(r->tensor->rows, r->tensor->cols, o) < 2 * (size_t)threads;
}

/* Whether this process encodes it. */
static bool is_mine(const struct rbe_convert_entry *r)
{
    return r->encoded && !r->elsewhere;
}

static double weights_in(const struct rbe_convert_entry *r)
{
    return (double)r->tensor->rows * r->tensor->cols;
}

struct meter {
    const struct rbe_convert *c;
    const char *name;
    double before, size;        /* parameters done before this matrix; of this matrix */
    bool quiet;                 /* another thread shows how far it is */
};

static bool on_progress(void *arg, double done)
{
    const struct meter *m = arg;

    if (m->c->o.progress && !m->quiet)
        rbe_progress_update(m->c->o.progress, m->before + done * m->size, m->name);
    return !rbe_interrupted();
}

/* Encodes what is wanted in the place of x, measures what came of it, and keeps both. */
static enum rbe_status encode_entry(struct rbe_convert_entry *r, const float *x,
                                    const float *wanted, const struct rbe_encode_options *o,
                                    const float *moment, const char *key, const char *path,
                                    struct rbe_pool *pool, unsigned at_once, struct rbe_diag *d)
{
    const struct rbe_source_tensor *t = r->tensor;
    struct rbe_diag why = {""};
    struct rbe_weight w = {0};
    enum rbe_status err;

    const double start = rbe_now();
    if (!o->progress(o->progress_arg, 0))
        err = RBE_ERR_INTERRUPTED;
    else
        err = rbe_encode_weight(&w, wanted, t->rows, t->cols, o, pool, &why);
    if (err) {
        rbe_fail(d, err, "tensor '%s': %s", t->name, why.text);
        goto out;
    }
    if ((err = rbe_quality_measure(&r->quality, x, &w, pool, d)))
        goto out;
    if (moment && (err = rbe_quality_cost(&r->output_error, wanted, &w, moment, pool, d)))
        goto out;
    r->seconds = (rbe_now() - start) / at_once;
    r->spent.factors /= at_once;
    r->spent.feedback /= at_once;
    r->spent.search /= at_once;
    r->spent.scales /= at_once;
    snprintf(w.name, sizeof w.name, "%s", t->name);
    err = rbe_partial_save(r, &w, key, path, d);
out:
    rbe_weight_free(&w);
    return err;
}

/* A row's matrix in *out, from an earlier run or from now: by the pool, or alone beside
 * at_once - 1 others on as many threads. */
static enum rbe_status finish_entry(const struct rbe_convert *c, struct rbe_convert_entry *r,
                                    double before, struct rbe_pool *pool, unsigned at_once,
                                    bool quiet, struct rbe_container **out, struct rbe_diag *d)
{
    const struct rbe_source_tensor *t = r->tensor;
    const float *wanted;
    struct meter m = {c, t->name, before, weights_in(r), quiet};
    struct rbe_encode_options o = r->options;
    char *path = rbe_partial_path(c, r), key[65];
    float *moment = NULL, *row_metric = NULL, *x = NULL;
    enum rbe_status err;

    if (!path)
        return no_memory(d);
    if ((err = rbe_convert_weights(&x, c, r, d)))
        goto out;
    wanted = c->compensation && rbe_convert_is_compensated(c, r)
                 ? rbe_compensation_targets(c->compensation, r) : x;
    o.progress = on_progress;
    o.progress_arg = &m;
    r->spent = (struct rbe_encode_spent){0};
    o.spent = &r->spent;
    if (c->o.calibration && t->matrix && (err = rbe_convert_moment(&moment, c, r, d)))
        goto out;
    if (rbe_convert_uses_feedback(r) && !c->o.no_feedback) {
        o.moment = moment;
        o.row_importance = moment ? rbe_convert_importance(c, r) : NULL;
        if (moment && (err = rbe_convert_row_metric(&row_metric, c, r, d)))
            goto out;
        o.row_metric = row_metric;
    }
    if (rbe_partial_key(key, r, wanted, &o, moment)) {
        err = no_memory(d);
        goto out;
    }
    r->reused = rbe_partial_load(r, key, path, out);
    if (r->reused && c->o.progress && !quiet)
        rbe_progress_skip(c->o.progress, m.size);
    if (!r->reused &&
        !(err = encode_entry(r, x, wanted, &o, moment, key, path, pool, at_once, d))) {
        free(x);
        free(moment);
        free(row_metric);
        x = moment = row_metric = NULL;
        err = rbe_container_open(out, path, true, d);
    }
out:
    free(x);
    free(moment);
    free(row_metric);
    free(path);
    return err;
}

/* --- several at a time -------------------------------------------------------------------- */

static bool is_narrow(const struct rbe_convert *c, const struct rbe_convert_entry *r)
{
    const bool told = c->o.calibration && !c->o.no_feedback && rbe_convert_uses_feedback(r) &&
                      rbe_convert_knows(c, r);
    const struct rbe_encode_options o =
        rbe_convert_told(r, told, told ? rbe_calibration_metric(c->o.calibration)
                                       : RBE_METRIC_INPUTS);

    return rbe_convert_is_narrow(c, r, &o, rbe_pool_threads(c->o.pool));
}

enum { AHEAD = 8 };             /* of them for each thread */

/* Whether entry i may be encoded now: targets are there for one weight at a time. */
static bool is_ready(const struct rbe_convert *c, size_t i)
{
    const struct rbe_convert_entry *r = &c->entries[i];

    return !rbe_convert_is_compensated(c, r) ||
           !strcmp(r->tensor->weight_name, c->entries[c->next].tensor->weight_name);
}

struct together {
    struct rbe_convert *c;
    size_t *entries, count;
    atomic_size_t taken;
    double before;              /* parameters done before the first */
    atomic_size_t done;         /* and since */
    atomic_bool stop;
    enum rbe_status *err;       /* [threads] */
    struct rbe_diag *d;
};

static void encode_some(void *arg, unsigned i, unsigned n)
{
    struct together *g = arg;
    size_t at;

    while (!atomic_load(&g->stop) && (at = atomic_fetch_add(&g->taken, 1)) < g->count) {
        const size_t e = g->entries[at];
        struct rbe_convert_entry *r = &g->c->entries[e];

        const double before = g->before + (double)atomic_load(&g->done);
        g->err[i] = finish_entry(g->c, r, before, NULL, n, i > 0, &g->c->finished[e],
                                 &g->d[i]);
        if (g->err[i])
            atomic_store(&g->stop, true);
        atomic_fetch_add(&g->done, (size_t)r->tensor->rows * r->tensor->cols);
    }
}

/* The narrow ones from c->next on, each on one thread where there are several. */
static enum rbe_status encode_together(struct rbe_convert *c, double before, struct rbe_diag *d)
{
    const unsigned threads = rbe_pool_threads(c->o.pool);
    struct together g = {.c = c, .before = before};
    enum rbe_status err = RBE_OK;

    g.entries = malloc(AHEAD * threads * sizeof *g.entries);
    g.err = calloc(threads, sizeof *g.err);
    g.d = calloc(threads, sizeof *g.d);
    if (!g.entries || !g.err || !g.d) {
        err = no_memory(d);
        goto out;
    }
    for (size_t i = c->next; i < c->count && g.count < AHEAD * (size_t)threads; i++)
        if (!c->finished[i] && is_mine(&c->entries[i]) && is_narrow(c, &c->entries[i]) &&
            is_ready(c, i))
            g.entries[g.count++] = i;
    if (g.count == 1) {         /* the threads share it, as well as they can */
        err = finish_entry(c, &c->entries[c->next], before, c->o.pool, 1, false,
                           &c->finished[c->next], d);
        goto out;
    }
    rbe_pool_run(c->o.pool, encode_some, &g);
    for (unsigned i = 0; i < threads; i++)
        if (g.err[i] && (!err || err == RBE_ERR_INTERRUPTED)) {
            err = g.err[i];
            *d = g.d[i];
        }
out:
    free(g.entries);
    free(g.err);
    free(g.d);
    return err;
}

/* Of the weight that r is of, where it is compensated. */
static enum rbe_status prepare_targets(struct rbe_convert *c, const struct rbe_convert_entry *r,
                                       struct rbe_diag *d)
{
    const double start = rbe_now();
    enum rbe_status err = RBE_OK;

    if (!rbe_convert_is_compensated(c, r))
        return RBE_OK;
    if (!c->compensation)
        err = rbe_compensation_open(&c->compensation, c, c->o.compensate, d);
    if (!err)
        err = rbe_compensation_prepare(c->compensation, r, d);
    c->compensating += rbe_now() - start;
    return err;
}

enum rbe_status rbe_convert_next(const struct rbe_convert_entry **out, struct rbe_convert *c,
                                 struct rbe_diag *d)
{
    struct rbe_progress *progress = c->o.progress;
    double total = 0, done = 0;
    enum rbe_status err;

    *out = NULL;
    for (size_t i = 0; i < c->count; i++)
        total += is_mine(&c->entries[i]) ? weights_in(&c->entries[i]) : 0;
    for (size_t i = 0; i < c->next; i++)
        done += is_mine(&c->entries[i]) ? weights_in(&c->entries[i]) : 0;
    if (progress && !c->next)
        rbe_progress_start(progress, "convert", "weights", total);
    while (c->next < c->count && !is_mine(&c->entries[c->next]))
        c->next++;
    if (c->next == c->count) {
        rbe_compensation_close(&c->compensation);
        if (progress)
            rbe_progress_end(progress);
        return RBE_OK;
    }
    struct rbe_convert_entry *r = &c->entries[c->next];
    err = prepare_targets(c, r, d);
    err = err || c->finished[c->next] ? err     /* before its turn */
          : is_narrow(c, r)    ? encode_together(c, done, d)
                               : finish_entry(c, r, done, c->o.pool, 1, false,
                                              &c->finished[c->next], d);
    if (err) {
        if (progress)
            rbe_progress_end(progress);
        return err;
    }
    c->next++;
    c->seconds += r->seconds;
    r->done = true;
    *out = r;
    return RBE_OK;
}

enum rbe_status rbe_convert_run(struct rbe_convert *c, const char *path, struct rbe_diag *d)
{
    const struct rbe_convert_entry *r;
    enum rbe_status err = RBE_OK;

    if (!c->folder && (err = rbe_convert_begin(c, path, d)))
        return err;
    while (!(err = rbe_convert_next(&r, c, d)) && r)
        ;
    return err ? err : rbe_convert_write(c, path, d);
}

/*
 * convert.c - encodes matrix after matrix, and writes the file.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/convert_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "rbe/container.h"

bool rbe_convert_uses_feedback(const struct rbe_convert_entry *r)
{
    bool takes = rbe_format_facts(r->options.format)->feedback;

    for (size_t i = 0; i < r->options.part_count; i++)
        takes = takes || rbe_format_facts(r->options.parts[i].format)->feedback;
    return r->tensor->matrix && r->settings.feedback && takes;
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
    return c->o.calibration && rbe_convert_uses_feedback(r) && !c->o.no_feedback &&
           !rbe_calibration_moment(c->o.calibration, r->tensor->name);
}

static double weights_in(const struct rbe_convert_entry *r)
{
    return (double)r->tensor->rows * r->tensor->cols;
}

struct meter {
    const struct rbe_convert *c;
    const char *name;
    double before, size;        /* parameters done before this matrix; of this matrix */
};

static bool on_progress(void *arg, double done)
{
    const struct meter *m = arg;

    if (m->c->o.progress)
        rbe_progress_update(m->c->o.progress, m->before + done * m->size, m->name);
    return !rbe_interrupted();
}

/* Encodes x, measures what came of it, and keeps both. */
static enum rbe_status encode_entry(struct rbe_convert *c, struct rbe_convert_entry *r,
                                    const float *x, const struct rbe_encode_options *o,
                                    const float *moment, const char *key, const char *path,
                                    struct rbe_diag *d)
{
    const struct rbe_source_tensor *t = r->tensor;
    struct rbe_diag why = {""};
    struct rbe_weight w = {0};
    enum rbe_status err;

    const double start = rbe_now();
    if (!o->progress(o->progress_arg, 0))
        err = RBE_ERR_INTERRUPTED;
    else
        err = rbe_encode_weight(&w, x, t->rows, t->cols, o, c->o.pool, &why);
    if (err) {
        rbe_fail(d, err, "tensor '%s': %s", t->name, why.text);
        goto out;
    }
    if ((err = rbe_quality_measure(&r->quality, x, &w, c->o.pool, d)))
        goto out;
    if (moment && (err = rbe_quality_cost(&r->output_error, x, &w, moment, c->o.pool, d)))
        goto out;
    r->seconds = rbe_now() - start;
    snprintf(w.name, sizeof w.name, "%s", t->name);
    err = rbe_partial_save(r, &w, key, path, d);
out:
    rbe_weight_free(&w);
    return err;
}

/* A row's matrix in *out, from an earlier run or from now. */
static enum rbe_status finish_entry(struct rbe_convert *c, struct rbe_convert_entry *r,
                                    double before, struct rbe_container **out,
                                    struct rbe_diag *d)
{
    const struct rbe_source_tensor *t = r->tensor;
    struct meter m = {c, t->name, before, weights_in(r)};
    struct rbe_encode_options o = r->options;
    char *path = rbe_partial_path(c, r), key[65];
    const float *moment = NULL;
    enum rbe_status err;
    float *x = NULL;

    if (!path)
        return no_memory(d);
    if ((err = rbe_convert_weights(&x, c, r, d)))
        goto out;
    o.progress = on_progress;
    o.progress_arg = &m;
    if (c->o.calibration && t->matrix)
        moment = rbe_calibration_moment(c->o.calibration, t->name);
    if (rbe_convert_uses_feedback(r) && !c->o.no_feedback) {
        o.moment = moment;
        o.row_importance = moment ? rbe_calibration_rows(c->o.calibration, t->name) : NULL;
    }
    if (rbe_partial_key(key, r, x, &o, moment)) {
        err = no_memory(d);
        goto out;
    }
    r->reused = rbe_partial_load(r, key, path, out);
    if (r->reused && c->o.progress)
        rbe_progress_skip(c->o.progress, m.size);
    if (!r->reused && !(err = encode_entry(c, r, x, &o, moment, key, path, d))) {
        free(x);
        x = NULL;
        err = rbe_container_open(out, path, true, d);
    }
out:
    free(x);
    free(path);
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
        total += c->entries[i].encoded ? weights_in(&c->entries[i]) : 0;
    for (size_t i = 0; i < c->next; i++)
        done += c->entries[i].encoded ? weights_in(&c->entries[i]) : 0;
    if (progress && !c->next)
        rbe_progress_start(progress, "convert", "weights", total);
    while (c->next < c->count && !c->entries[c->next].encoded)
        c->next++;
    if (c->next == c->count) {
        if (progress)
            rbe_progress_end(progress);
        return RBE_OK;
    }
    struct rbe_convert_entry *r = &c->entries[c->next];
    if ((err = finish_entry(c, r, done, &c->finished[c->next], d))) {
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

/*
 * student_step.c - what moves at which rate, one step, and the means of the states.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "train/student_private.h"

static void set_span(struct rbe_student *s, int span, float rate, float decay)
{
    if (span == NO_SPAN)
        return;
    s->spans[span].rate = rate;
    rbe_optimizer_set(s->optimizer, (size_t)span, rate, decay);
}

void rbe_student_rate(struct rbe_student *s, struct tensor *t)
{
    const struct rbe_student_rates *r = &s->rates;
    float moving = r->scales;

    if (t->kind == PLAIN || t->kind == LATENT) {
        moving = t->kind == PLAIN ? r->plain : r->latents;
        set_span(s, t->span, moving * (t->size > 0 ? t->size : 1e-2F), 0);
    } else {
        set_span(s, t->span, 0, 0);
        moving = t->kind == CODED ? moving : 0;
    }
    for (size_t i = 0; t->parts && i < t->w.part_count; i++) {
        const float scales = t->kind == CODED ? r->scales : 0;
        set_span(s, t->parts[i].row_span, scales, r->decay);
        set_span(s, t->parts[i].col_span, scales, r->decay);
    }
    t->slice->frozen = !(moving > 0);
    t->slice->sums = t->kind == CODED && t->sums.sums ? &t->sums : NULL;
}

void rbe_student_set_rates(struct rbe_student *s, const struct rbe_student_rates *r)
{
    s->rates = *r;
    for (size_t i = 0; i < s->count; i++)
        rbe_student_rate(s, &s->tensors[i]);
}

uint64_t rbe_student_moving(const struct rbe_student *s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s->span_count; i++)
        if (s->spans[i].rate > 0)
            n += (uint64_t)s->spans[i].rows * s->spans[i].cols;
    return n;
}

/* Rows of zeros are pruned neurons: no gradient reaches those that move by themselves, and
 * scales of 0 stay by what they are. */
static void hold_zeros(struct rbe_student *s, struct tensor *t)
{
    const size_t cols = t->slice->cols;

    for (size_t r = 0; t->zeros && r < t->slice->rows; r++)
        if (t->zeros[r])
            memset(gradient_of(s, t) + r * cols, 0, cols * sizeof(float));
}

enum rbe_status rbe_student_step(struct rbe_student *s, float rate, float max_norm,
                                 double *norm, struct rbe_diag *d)
{
    enum rbe_status err;

    for (size_t i = 0; i < s->count; i++) {
        struct tensor *t = &s->tensors[i];

        if (!t->slice->frozen)
            rbe_student_chain(s, t);
        if (t->kind == LATENT || t->kind == PLAIN)
            hold_zeros(s, t);
    }
    if ((err = rbe_optimizer_step(s->optimizer, rate, max_norm, norm, d)))
        return err;
    rbe_student_apply_all(s);
    rbe_grad_zero(s->train);
    return RBE_OK;
}

/* --- means of the states ------------------------------------------------------------------ */

enum rbe_status rbe_student_open_means(struct rbe_student *s, size_t *floats,
                                       struct rbe_diag *d)
{
    *floats = 0;
    for (size_t i = 0; i < s->settled; i++)
        *floats += s->spans[i].rows * s->spans[i].cols;
    if (!s->means)
        s->means = calloc(*floats + 1, sizeof *s->means);
    return s->means ? RBE_OK : no_memory(d);
}

enum rbe_status rbe_student_average(struct rbe_student *s, struct rbe_diag *d)
{
    size_t floats;
    const enum rbe_status err = rbe_student_open_means(s, &floats, d);
    float *mean = s->means;

    if (err)
        return err;
    const float part = (float)(1 / (double)++s->averaged);
    for (size_t i = 0; i < s->settled; i++)
        for (size_t k = 0; k < s->spans[i].rows * s->spans[i].cols; k++, mean++)
            *mean += part * (s->spans[i].param[k] - *mean);
    return RBE_OK;
}

static void swap_means(struct rbe_student *s)
{
    float *mean = s->means;

    for (size_t i = 0; i < s->settled; i++)
        for (size_t k = 0; k < s->spans[i].rows * s->spans[i].cols; k++, mean++) {
            const float was = s->spans[i].param[k];
            s->spans[i].param[k] = *mean;
            *mean = was;
        }
    s->swapped = !s->swapped;
}

enum rbe_status rbe_student_snap(struct rbe_student *s, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    if (s->averaged && !s->swapped) {
        swap_means(s);
        rbe_student_apply_all(s);
    }
    for (size_t i = 0; i < s->count && !err; i++) {
        struct tensor *t = &s->tensors[i];

        if (!t->w.rows || t->kind == LATENT)
            continue;
        if (!(err = rbe_student_store(s, t, d)))
            rbe_student_decode(s, t);
    }
    return err;
}

void rbe_student_refresh(struct rbe_student *s)
{
    if (s->swapped)
        swap_means(s);
    rbe_student_apply_all(s);
}

void rbe_student_settle(struct rbe_student *s)
{
    if (!s->averaged)
        return;
    if (!s->swapped)
        swap_means(s);
    s->averaged = 0;
    s->swapped = false;
    rbe_student_apply_all(s);
}

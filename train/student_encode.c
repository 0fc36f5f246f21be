/*
 * student_encode.c - matrices that move by themselves: from the original, and back to codes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "train/student_private.h"

static bool is_matrix(const struct tensor *t)
{
    return t->slice->matrix && t->kind != PLAIN;
}

static struct tensor *matrix_at(const struct rbe_student *s, size_t i)
{
    for (size_t k = 0; k < s->count; k++)
        if (is_matrix(&s->tensors[k]) && i-- == 0)
            return &s->tensors[k];
    return NULL;
}

size_t rbe_student_matrices(const struct rbe_student *s)
{
    size_t n = 0;

    for (size_t k = 0; k < s->count; k++)
        n += is_matrix(&s->tensors[k]);
    return n;
}

const struct rbe_source_tensor *rbe_student_matrix(const struct rbe_student *s, size_t i)
{
    return matrix_at(s, i)->origin;
}

bool rbe_student_is_latent(const struct rbe_student *s, size_t i)
{
    return matrix_at(s, i)->kind == LATENT;
}

enum rbe_status rbe_student_original(float **out, const struct rbe_student *s,
                                     const struct tensor *t, struct rbe_diag *d)
{
    const size_t rows = t->slice->rows, cols = t->slice->cols;
    enum rbe_status err = rbe_source_read(out, s->source, t->origin, d);

    for (size_t c = 0; !err && t->centered && c < cols; c++) {
        double sum = 0;
        for (size_t r = 0; r < rows; r++)
            sum += (double)(*out)[r * cols + c];
        for (size_t r = 0; r < rows; r++)
            (*out)[r * cols + c] -= (float)(sum / (double)rows);
    }
    return err;
}

enum rbe_status rbe_student_error_room(float **error, size_t n, struct rbe_diag *d)
{
    if (!*error)
        *error = malloc(n * sizeof **error);
    return *error ? RBE_OK : no_memory(d);
}

enum rbe_status rbe_student_thaw(struct rbe_student *s, size_t i, bool keep_error,
                                 struct rbe_diag *d)
{
    struct tensor *t = matrix_at(s, i);
    const size_t n = t->slice->count;
    float *x, *w = weights_of(s, t);
    enum rbe_status err;

    if (t->kind == LATENT)
        return RBE_OK;
    if ((err = rbe_student_original(&x, s, t, d)))
        return err;
    if ((err = rbe_student_find_zeros(t, x, d))) {
        free(x);
        return err;
    }
    if (keep_error && !(err = rbe_student_error_room(&t->error, n, d)))
        for (size_t k = 0; k < n; k++)
            t->error[k] = w[k] - x[k];
    else if (!err)
        memcpy(w, x, n * sizeof *w);
    free(x);
    if (!err)
        t->kind = LATENT;
    rbe_student_rate(s, t);
    return err;
}

static void forget(struct rbe_student *s, int span)
{
    if (span != NO_SPAN)
        rbe_optimizer_forget(s->optimizer, (size_t)span);
}

enum rbe_status rbe_student_encode_like(struct rbe_weight *out, const struct rbe_student *s,
                                        const struct tensor *t, const float *x,
                                        enum rbe_search search, const float *moment,
                                        const float *importance, struct rbe_diag *d)
{
    struct rbe_encode_part *parts = calloc(t->w.part_count, sizeof *parts);
    struct rbe_encode_options o = {
        .part_count = t->w.part_count, .parts = parts, .search = search,
        .progress = rbe_not_interrupted,
        .scales = t->w.parts[0].m.col_scale ? RBE_SCALES_ROW_COL : RBE_SCALES_ROW,
        .hadamard = t->w.hadamard, .sign_seed = t->w.sign_seed, .moment = moment,
        .row_importance = importance};
    struct rbe_diag why = {""};
    enum rbe_status err;

    if (!parts)
        return no_memory(d);
    for (size_t i = 0; i < t->w.part_count; i++) {
        const struct rbe_matrix *m = &t->w.parts[i].m;
        parts[i] = (struct rbe_encode_part){m->rows, m->format, m->block, m->aux};
    }
    err = rbe_encode_weight(out, x, t->w.rows, t->w.cols, &o, s->pool, &why);
    if (err)
        rbe_fail(d, err, "tensor '%s': %s", t->slice->name, why.text);
    memcpy(out->name, t->w.name, sizeof out->name);
    free(parts);
    return err;
}

/* t's codes are new: what they stand for, and scales that start from there. */
static enum rbe_status take_codes(struct rbe_student *s, struct tensor *t, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; t->parts && i < t->w.part_count && !err; i++) {
        err = rbe_student_read_scales(&t->parts[i], &t->w.parts[i].m, d);
        forget(s, t->parts[i].row_span);
        forget(s, t->parts[i].col_span);
    }
    t->kind = t->parts ? CODED : OPAQUE;
    rbe_student_apply(s, t);
    return err;
}

enum rbe_status rbe_student_encode(struct rbe_student *s, size_t i, enum rbe_search search,
                                   const float *moment, const float *importance, bool again,
                                   struct rbe_diag *d)
{
    struct tensor *t = matrix_at(s, i);
    const size_t n = t->slice->count;
    float *w = weights_of(s, t), *x;
    struct rbe_weight fresh;
    enum rbe_status err;

    if (t->kind != LATENT)
        return RBE_OK;
    if (!(x = malloc(n * sizeof *x)))
        return no_memory(d);
    for (size_t k = 0; k < n; k++)
        x[k] = t->error ? w[k] - t->error[k] : w[k];
    if ((err = rbe_student_encode_like(&fresh, s, t, x, search, moment, importance, d)))
        goto out;
    rbe_weight_free(&t->w);
    t->w = fresh;
    if ((err = take_codes(s, t, d)))
        goto out;
    if (again && !(err = rbe_student_error_room(&t->error, n, d))) {
        for (size_t k = 0; k < n; k++)
            t->error[k] = w[k] - x[k];
        t->kind = LATENT;
    } else {
        free(t->error);
        t->error = NULL;
        forget(s, t->span);
    }
    rbe_student_rate(s, t);
out:
    free(x);
    return err;
}

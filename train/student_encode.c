/*
 * student_encode.c - matrices that move by themselves: from the original, and back to codes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "kernels/f16.h"
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

enum rbe_status rbe_student_thaw(struct rbe_student *s, size_t i, enum rbe_student_start from,
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
    if ((err = rbe_student_find_zeros(t, x, d)) ||
        (from == RBE_START_CODES && (err = rbe_student_store(s, t, d)))) {
        free(x);
        return err;
    }
    if (from == RBE_START_ERROR && !(err = rbe_student_error_room(&t->error, n, d)))
        for (size_t k = 0; k < n; k++)
            t->error[k] = w[k] - x[k];
    else if (!err && from == RBE_START_ORIGINAL)
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
                                        const struct rbe_student_encoding *how,
                                        const bool *chosen, struct rbe_diag *d)
{
    struct rbe_encode_part *parts = calloc(t->w.part_count, sizeof *parts);
    struct rbe_encode_options o = {
        .part_count = t->w.part_count, .parts = parts, .search = how->search,
        .progress = rbe_not_interrupted,
        .scales = t->w.parts[0].m.col_scale ? RBE_SCALES_ROW_COL : RBE_SCALES_ROW,
        .hadamard = t->w.hadamard, .sign_seed = t->w.sign_seed, .moment = how->moment,
        .row_importance = how->importance, .before = chosen ? &t->w : NULL, .again = chosen};
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

/* --- which columns ------------------------------------------------------------------------ */

struct column {
    double moved;               /* over what an error of its codes costs */
    uint32_t n;
};

static int by_move(const void *pa, const void *pb)
{
    const struct column *a = pa, *b = pb;

    return a->moved != b->moved ? (a->moved < b->moved) - (a->moved > b->moved)
                                : (a->n > b->n) - (a->n < b->n);
}

/* How far row r of the latents x is from its codes, in the stored basis. */
static void row_moves(float *delta, const struct tensor *t, const float *x, size_t r)
{
    const size_t cols = t->w.cols;

    rbe_weight_decode_row(&t->w, r, delta);
    for (size_t n = 0; n < cols; n++)
        delta[n] = x[r * cols + n] - delta[n];
    if (t->w.hadamard)
        rbe_rotate(delta, cols, 1, cols, t->w.hadamard, t->w.sign_seed);
}

/* The columns of a part in the order in which they moved; delta [cols] is scratch. */
static void sort_columns(struct column *c, const struct tensor *t, size_t part, const float *x,
                         const float *importance, float *delta)
{
    const struct rbe_part *p = &t->w.parts[part];
    const size_t cols = t->w.cols;

    for (size_t n = 0; n < cols; n++)
        c[n] = (struct column){0, (uint32_t)n};
    for (size_t r = p->row0; r < p->row0 + (size_t)p->m.rows; r++) {
        const double weight = importance ? (double)importance[r] : 1;
        row_moves(delta, t, x, r);
        for (size_t n = 0; n < cols; n++)
            c[n].moved += weight * (double)delta[n] * (double)delta[n];
    }
    /* All columns of a part have the same rows: what an error costs follows their scales. */
    for (size_t n = 0; n < cols && p->m.col_scale; n++) {
        const double col = (double)rbe_f16_to_f32(p->m.col_scale[n]);
        c[n].moved = col > 0 ? c[n].moved / (col * col) : 0;
    }
    qsort(c, cols, sizeof *c, by_move);
}

/* x becomes what the codes are to be found for: the chosen columns of a part go as much further
 * than the latents went as they are fewer than all, the others stay where their codes are. */
static void aim(float *x, const struct tensor *t, size_t part, const bool *chosen, double share,
                float *delta)
{
    const struct rbe_part *p = &t->w.parts[part];
    const size_t cols = t->w.cols;

    for (size_t r = p->row0; r < p->row0 + (size_t)p->m.rows; r++) {
        row_moves(delta, t, x, r);
        for (size_t n = 0; n < cols; n++)
            delta[n] = chosen[n] ? delta[n] / (float)share : 0;
        if (t->w.hadamard)
            rbe_unrotate(delta, cols, 1, cols, t->w.hadamard, t->w.sign_seed);
        rbe_weight_decode_row(&t->w, r, x + r * cols);
        for (size_t n = 0; n < cols; n++)
            x[r * cols + n] += delta[n];
    }
}

/* Fresh: [parts][cols], true for those that are to be encoded; x: for what. */
static enum rbe_status choose(bool **out, const struct tensor *t, float *x,
                              const struct rbe_student_encoding *how, struct rbe_diag *d)
{
    const size_t cols = t->w.cols, count = (size_t)ceil(how->share * (double)cols);
    bool *chosen = calloc(t->w.part_count * cols, sizeof *chosen);
    struct column *c = malloc(cols * sizeof *c);
    float *delta = malloc(cols * sizeof *delta);
    const bool room = chosen && c && delta;

    for (size_t i = 0; room && i < t->w.part_count; i++) {
        sort_columns(c, t, i, x, how->importance, delta);
        for (size_t k = 0; k < count; k++)
            chosen[i * cols + c[k].n] = true;
        aim(x, t, i, chosen + i * cols, how->share, delta);
    }
    free(delta);
    free(c);
    if (!room) {
        free(chosen);
        chosen = NULL;
    }
    *out = chosen;
    return room ? RBE_OK : no_memory(d);
}

/* --- codes -------------------------------------------------------------------------------- */

/* t's codes are new: what they stand for, and scales that start from there or (kept) stay. */
static enum rbe_status take_codes(struct rbe_student *s, struct tensor *t, bool kept,
                                  struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; t->parts && i < t->w.part_count && !err; i++) {
        if (kept) {
            err = rbe_student_read_codes(&t->parts[i], &t->w.parts[i].m, d);
            continue;
        }
        err = rbe_student_read_scales(&t->parts[i], &t->w.parts[i].m, d);
        forget(s, t->parts[i].row_span);
        forget(s, t->parts[i].col_span);
    }
    t->kind = t->parts ? CODED : OPAQUE;
    rbe_student_apply(s, t);
    return err;
}

/* Whether a part of its columns can be encoded. */
static bool is_searched(const struct tensor *t)
{
    for (size_t i = 0; i < t->w.part_count; i++)
        if (!rbe_format_facts(t->w.parts[i].m.format)->feedback)
            return false;
    return true;
}

enum rbe_status rbe_student_encode(struct rbe_student *s, size_t i,
                                   const struct rbe_student_encoding *how, struct rbe_diag *d)
{
    struct tensor *t = matrix_at(s, i);
    const size_t n = t->slice->count;
    const bool some = how->share > 0 && how->share < 1 && is_searched(t);
    float *w = weights_of(s, t), *x;
    bool *chosen = NULL;
    struct rbe_weight fresh;
    enum rbe_status err = RBE_OK;

    if (t->kind != LATENT)
        return RBE_OK;
    if (!(x = malloc(n * sizeof *x)))
        return no_memory(d);
    for (size_t k = 0; k < n; k++)
        x[k] = t->error ? w[k] - t->error[k] : w[k];
    if ((some && (err = choose(&chosen, t, x, how, d))) ||
        (err = rbe_student_encode_like(&fresh, s, t, x, how, chosen, d)))
        goto out;
    rbe_weight_free(&t->w);
    t->w = fresh;
    if ((err = take_codes(s, t, some, d)))
        goto out;
    if (how->again && some) {
        t->kind = LATENT;       /* from the new codes on */
    } else if (how->again && !(err = rbe_student_error_room(&t->error, n, d))) {
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
    free(chosen);
    free(x);
    return err;
}

/*
 * student_archive.c - everything a continued training needs, to and from a checkpoint.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "train/student_private.h"

static enum rbe_status archive_weight(struct tensor *t, struct rbe_archive *a,
                                      struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < t->w.part_count && !err; i++) {
        const struct rbe_matrix *m = &t->w.parts[i].m;
        const struct rbe_matrix_size n =
            rbe_matrix_size(m->format, m->rows, m->cols, m->block, m->aux);
        struct scales *p = t->parts ? &t->parts[i] : NULL;

        if ((err = rbe_archive_bytes(a, (void *)(uintptr_t)m->codes, n.codes, d)) ||
            (m->scale && (err = rbe_archive_bytes(a, (void *)(uintptr_t)m->scale, n.scale,
                                                  d))) ||
            (m->col_scale && (err = rbe_archive_bytes(a, (void *)(uintptr_t)m->col_scale,
                                                      n.col_scale, d))))
            break;
        /* Written scales are not those at theta 0, which are the trained ones' base. */
        if (p && rbe_archive_reading(a) && (err = rbe_student_read_scales(p, m, d)))
            break;
        if (p && !(err = rbe_archive_bytes(a, p->row, 2 * (size_t)p->rows * p->groups *
                                                          sizeof *p->row, d)) && p->col)
            err = rbe_archive_bytes(a, p->col, 2 * (size_t)p->cols * sizeof *p->col, d);
    }
    return err;
}

static enum rbe_status archive_tensor(struct rbe_student *s, struct tensor *t,
                                      struct rbe_archive *a, struct rbe_diag *d)
{
    const size_t n = t->slice->count;
    uint8_t kind = (uint8_t)t->kind, error = t->error != NULL;
    enum rbe_status err;

    if ((err = rbe_archive_bytes(a, &kind, 1, d)) || (err = rbe_archive_bytes(a, &error, 1, d)))
        return err;
    /* Only scales make codes CODED: what has none is OPAQUE, unless it is LATENT. */
    if (rbe_archive_reading(a) && ((kind == PLAIN) != (t->kind == PLAIN) || kind > PLAIN ||
                                   (kind == CODED && !t->parts) ||
                                   (kind == OPAQUE && t->parts) ||
                                   (kind == LATENT && t->span == NO_SPAN)))
        return rbe_fail(d, RBE_ERR_MISMATCH, "checkpoint: tensor '%s' is of another kind",
                        t->slice->name);
    t->kind = (enum kind)kind;
    if (t->kind == PLAIN)
        return rbe_archive_bytes(a, t->master, n * sizeof *t->master, d);
    if (t->kind == LATENT && rbe_archive_reading(a)) {
        float *x;
        if ((err = rbe_student_original(&x, s, t, d)))
            return err;
        err = rbe_student_find_zeros(t, x, d);
        free(x);
        if (err)
            return err;
    }
    if ((err = archive_weight(t, a, d)) || t->kind != LATENT)
        return err;
    if (error && ((err = rbe_student_error_room(&t->error, n, d)) ||
                  (err = rbe_archive_bytes(a, t->error, n * sizeof *t->error, d))))
        return err;
    return rbe_archive_bytes(a, weights_of(s, t), n * sizeof(float), d);
}

enum rbe_status rbe_student_archive(struct rbe_student *s, struct rbe_archive *a,
                                    struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    size_t n;

    for (size_t i = 0; i < s->count && !err; i++)
        err = archive_tensor(s, &s->tensors[i], a, d);
    float *state = rbe_optimizer_state(s->optimizer, &n);
    if (!err)
        err = rbe_archive_bytes(a, state, n * sizeof *state, d);
    uint64_t *steps = rbe_optimizer_steps(s->optimizer, &n);
    if (!err)
        err = rbe_archive_bytes(a, steps, n * sizeof *steps, d);
    if (!err)
        err = rbe_archive_bytes(a, &s->averaged, sizeof s->averaged, d);
    if (!err && s->averaged && !(err = rbe_student_open_means(s, &n, d)))
        err = rbe_archive_bytes(a, s->means, n * sizeof *s->means, d);
    for (size_t i = 0; i < s->count && !err && rbe_archive_reading(a); i++) {
        rbe_student_apply(s, &s->tensors[i]);
        rbe_student_rate(s, &s->tensors[i]);
    }
    return err;
}

/*
 * parts.c - matrices and vectors of a case.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/parts.h"

#include <stdlib.h>

#include "base/progress.h"
#include "bench/work.h"

static enum rbe_status add(struct rbe_parts_case *p, const struct rbe_parts_shape *s,
                           struct rbe_diag *d)
{
    const struct rbe_matrix_size size =
        rbe_matrix_size(p->format, s->rows, s->cols, s->block, s->aux);

    if (!size.codes)
        return rbe_fail(d, RBE_ERR_ARG, "%s has no %u x %u matrix with block %u",
                        rbe_format_name(p->format), s->rows, s->cols, s->block);
    p->parts[p->parts_count++] = (struct rbe_part){
        .w = {.format = p->format, .rows = s->rows, .cols = s->cols, .block = s->block,
              .aux = s->aux},
        .size = size,
        .times = s->times};
    p->c.bytes += (double)s->times * (double)(size.codes + size.scale + size.col_scale);
    p->c.weights += (double)s->times * s->rows * s->cols * (double)p->count;
    if (p->kernel) {
        const struct rbe_work work = rbe_work_of(p->kernel, s->rows, s->cols, s->block, s->aux,
                                                 (uint32_t)p->count, p->c.threads);
        p->c.multiply_adds += s->times * work.multiply_adds;
        p->c.arithmetic = work.kind;
        p->c.isa = p->kernel->isa;
    }
    return RBE_OK;
}

enum rbe_status rbe_parts_add(struct rbe_parts_case *p, const struct rbe_parts_shape *shapes,
                              size_t n, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < n && !err; i++)
        err = add(p, &shapes[i], d);
    return err;
}

static enum rbe_status make(struct rbe_parts_case *c, struct rbe_part *p, struct rbe_diag *d)
{
    const uint32_t cols = p->w.cols;
    const enum rbe_status err =
        rbe_data_next(c->c.suite->data, &c->cursor, c->c.cold, c->format, p->w.rows, cols,
                      p->w.block, p->w.aux, &p->w, d);

    if (err)
        return err;
    const size_t act_bytes = (rbe_act_bytes(c->count, cols) + 63) / 64 * 64;
    p->act_memory = aligned_alloc(64, act_bytes);
    p->x = malloc(c->count * cols * sizeof *p->x);
    if (!p->act_memory || !p->x)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < c->count * cols; i++)
        p->x[i] = (float)((int)(i * 2654435761U >> 16 & 0xFFFF) - 32768) / 32768;
    rbe_act_init(&p->act, p->act_memory, c->count, cols);
    if (c->kernel)
        p->act.bits = c->kernel->bits;
    if (c->kernel && c->kernel->sums)
        p->w.row_sum = p->sums = calloc(p->w.rows, sizeof *p->sums);
    if (c->kernel && c->kernel->sums && !p->sums)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    rbe_act_prepare(&p->act, &p->w, p->x, cols, c->count);
    return rbe_interrupted() ? rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted") : RBE_OK;
}

enum rbe_status rbe_parts_make(struct rbe_case *c, struct rbe_diag *d)
{
    struct rbe_parts_case *p = (struct rbe_parts_case *)c;
    enum rbe_status err = RBE_OK;

    for (unsigned i = 0; i < p->parts_count && !err; i++)
        err = make(p, &p->parts[i], d);
    return err;
}

void rbe_parts_close(struct rbe_case *c)
{
    struct rbe_parts_case *p = (struct rbe_parts_case *)c;

    for (unsigned i = 0; i < p->parts_count; i++) {
        free(p->parts[i].act_memory);
        free(p->parts[i].x);
        free(p->parts[i].sums);
    }
}

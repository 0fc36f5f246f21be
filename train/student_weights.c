/*
 * student_weights.c - codes and scales to weights, gradients of weights to those of scales.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/f16.h"
#include "train/student_private.h"

static float as_f16(float v)
{
    return rbe_f16_to_f32(rbe_f16_from_f32(v));
}

bool rbe_student_has_scales(enum rbe_format f)
{
    return rbe_format_facts(f)->gmax > 0;
}

static enum rbe_status alloc_scales(struct scales *p, const struct rbe_part *from,
                                    struct rbe_diag *d)
{
    const struct rbe_matrix *m = &from->m;
    const size_t rows = m->rows, cols = m->cols;

    *p = (struct scales){.row0 = from->row0, .rows = m->rows, .cols = m->cols, .groups = 1,
                         .width = m->cols};
    const uint32_t group = rbe_format_facts(m->format)->group;
    if (group) {
        const struct rbe_matrix_size size =
            rbe_matrix_size(m->format, m->rows, m->cols, m->block, m->aux);
        p->groups = (uint32_t)(size.scale / sizeof(uint16_t) / rows);
        p->width = group;
    }
    const size_t n = rows * p->groups;
    p->g = malloc(rows * cols * sizeof *p->g);
    p->row = calloc(4 * n, sizeof *p->row);
    p->col = m->col_scale ? calloc(4 * cols, sizeof *p->col) : NULL;
    if (!p->g || !p->row || (m->col_scale && !p->col))
        return no_memory(d);
    p->row_theta = p->row + n;
    p->row_grad = p->row + 2 * n;
    p->row_now = p->row + 3 * n;
    if (p->col) {
        p->col_theta = p->col + cols;
        p->col_grad = p->col + 2 * cols;
        p->col_now = p->col + 3 * cols;
    }
    return RBE_OK;
}

enum rbe_status rbe_student_read_codes(struct scales *p, const struct rbe_matrix *m,
                                       struct rbe_diag *d)
{
    const size_t n = (size_t)p->rows * p->groups;
    uint16_t *ones = malloc(n * sizeof *ones);
    float *row = malloc(p->cols * sizeof *row);
    struct rbe_matrix unit = *m;
    enum rbe_status err = RBE_OK;

    if (!ones || !row) {
        err = no_memory(d);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        ones[i] = rbe_f16_from_f32(1);
    unit.scale = ones;
    unit.col_scale = NULL;
    for (size_t r = 0; r < p->rows; r++) {
        rbe_decode_row(&unit, r, row);
        for (size_t c = 0; c < p->cols; c++)
            p->g[r * p->cols + c] = (int16_t)row[c];
    }
out:
    free(ones);
    free(row);
    return err;
}

enum rbe_status rbe_student_read_scales(struct scales *p, const struct rbe_matrix *m,
                                        struct rbe_diag *d)
{
    for (size_t i = 0; i < (size_t)p->rows * p->groups; i++) {
        p->row[i] = rbe_f16_to_f32(m->scale[i]);
        p->row_theta[i] = 0;
    }
    for (size_t c = 0; p->col && c < p->cols; c++) {
        p->col[c] = rbe_f16_to_f32(m->col_scale[c]);
        p->col_theta[c] = 0;
    }
    return rbe_student_read_codes(p, m, d);
}

/* Room for the sums that stand in the place of the weights' gradient, where they can. */
static enum rbe_status open_sums(struct tensor *t, unsigned threads, struct rbe_diag *d)
{
    const size_t n = t->w.part_count;
    const bool cols = t->w.parts[0].m.col_scale;
    uint32_t *row0;

    if (!threads)
        return RBE_OK;
    for (size_t i = 0; i < n; i++)
        if (t->parts[i].groups > 1)
            return RBE_OK;
    t->sums = (struct rbe_grad_sums){.rotation = t->w.hadamard, .seed = t->w.sign_seed,
                                     .columns = cols, .parts = cols ? (uint32_t)n : 0,
                                     .row0 = row0 = malloc(n * sizeof *row0)};
    t->sums.sums = calloc(threads * (t->w.rows + t->sums.parts * (size_t)t->w.cols),
                          sizeof *t->sums.sums);
    if (!row0 || !t->sums.sums)
        return no_memory(d);
    for (size_t i = 0; i < n; i++)
        row0[i] = t->parts[i].row0;
    return RBE_OK;
}

enum rbe_status rbe_student_open_scales(struct tensor *t, unsigned threads, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < t->w.part_count; i++)
        if (!rbe_student_has_scales(t->w.parts[i].m.format))
            return RBE_OK;
    if (!(t->parts = calloc(t->w.part_count, sizeof *t->parts)))
        return no_memory(d);
    for (size_t i = 0; i < t->w.part_count && !err; i++)
        if (!(err = alloc_scales(&t->parts[i], &t->w.parts[i], d)))
            err = rbe_student_read_scales(&t->parts[i], &t->w.parts[i].m, d);
    return err ? err : open_sums(t, threads, d);
}

static void free_scales(struct scales *p)
{
    free(p->g);
    free(p->row);
    free(p->col);
}

void rbe_student_free_scales(struct tensor *t)
{
    for (size_t i = 0; t->parts && i < t->w.part_count; i++)
        free_scales(&t->parts[i]);
    free(t->parts);
    t->parts = NULL;
    free((void *)(uintptr_t)t->sums.row0);
    free(t->sums.sums);
    t->sums = (struct rbe_grad_sums){.sums = NULL};
}

struct job {
    struct rbe_student *s;
    struct tensor *t;
    float *weights;             /* of t: asking for them is one thread's (rbe_grad_params) */
    struct scales *p;
};

static void present_scales(struct scales *p)
{
    for (size_t i = 0; i < (size_t)p->rows * p->groups; i++)
        p->row_now[i] = as_f16(p->row[i] * (1 + p->row_theta[i]));
    for (size_t n = 0; p->col && n < p->cols; n++)
        p->col_now[n] = as_f16(p->col[n] * (1 + p->col_theta[n]));
}

static void fill_rows(void *arg, unsigned i, unsigned n)
{
    const struct job *j = arg;
    const struct scales *p = j->p;
    const struct rbe_weight *w = &j->t->w;
    size_t begin, end;

    rbe_split(p->rows, 1, i, n, &begin, &end);
    float *to = j->weights + (p->row0 + begin) * p->cols;
    for (size_t m = begin; m < end; m++, to += p->cols) {
        const int16_t *g = p->g + m * p->cols;
        for (uint32_t k = 0; k < p->groups; k++) {
            const float row = p->row_now[m * p->groups + k];
            const size_t last = (k + 1) * p->width < p->cols ? (k + 1) * p->width : p->cols;
            for (size_t c = k * p->width; c < last; c++)
                to[c] = row * (float)g[c];
        }
        for (size_t c = 0; p->col && c < p->cols; c++)
            to[c] *= p->col_now[c];
    }
    if (w->hadamard && end > begin)
        rbe_unrotate(j->weights + (p->row0 + begin) * p->cols, p->cols, end - begin, p->cols,
                     w->hadamard, w->sign_seed);
}

/* A codec without scales: what its decoder says. */
static void decode_rows(void *arg, unsigned i, unsigned n)
{
    const struct job *j = arg;
    size_t begin, end;

    rbe_split(j->t->w.rows, 1, i, n, &begin, &end);
    for (size_t m = begin; m < end; m++)
        rbe_weight_decode_row(&j->t->w, m, j->weights + m * j->t->w.cols);
}

void rbe_student_decode(struct rbe_student *s, struct tensor *t)
{
    struct job j = {.s = s, .t = t, .weights = weights_of(s, t)};

    rbe_pool_run(s->pool, decode_rows, &j);
}

void rbe_student_apply(struct rbe_student *s, struct tensor *t)
{
    float *w = weights_of(s, t);
    struct job j = {.s = s, .t = t, .weights = w};

    if (t->kind == CODED) {
        for (size_t i = 0; i < t->w.part_count; i++) {
            j.p = &t->parts[i];
            present_scales(j.p);
            rbe_pool_run(s->pool, fill_rows, &j);
        }
    } else if (t->kind == OPAQUE) {
        rbe_student_decode(s, t);
    } else if (t->kind == PLAIN) {
        for (size_t i = 0; i < t->slice->count; i++)
            w[i] = t->dtype == RBE_DT_F16 && !t->w.rows ? as_f16(t->master[i]) : t->master[i];
    }
}

void rbe_student_apply_all(struct rbe_student *s)
{
    for (size_t i = 0; i < s->count; i++)
        rbe_student_apply(s, &s->tensors[i]);
}

static void scale_gradients(void *arg, unsigned i, unsigned n)
{
    const struct job *j = arg;
    struct scales *p = j->p;

    for (unsigned chunk = i; chunk < CHUNKS; chunk += n) {
        double *sum = j->s->sums + chunk * j->s->widest;
        float *grad = j->s->buffer + chunk * j->s->widest;
        size_t begin, end;

        rbe_split(p->rows, 1, chunk, CHUNKS, &begin, &end);
        memset(sum, 0, p->cols * sizeof *sum);
        for (size_t m = begin; m < end; m++) {
            const int16_t *g = p->g + m * p->cols;
            memcpy(grad, gradient_of(j->s, j->t) + (p->row0 + m) * p->cols,
                   p->cols * sizeof *grad);
            if (j->t->w.hadamard)
                rbe_rotate(grad, p->cols, 1, p->cols, j->t->w.hadamard, j->t->w.sign_seed);
            for (uint32_t k = 0; k < p->groups; k++) {
                const size_t last = (k + 1) * p->width < p->cols ? (k + 1) * p->width : p->cols;
                const double row = (double)p->row_now[m * p->groups + k];
                double row_sum = 0;
                for (size_t c = k * p->width; c < last; c++) {
                    const float v = grad[c] * (float)g[c];
                    row_sum += (double)(p->col ? v * p->col_now[c] : v);
                    sum[c] += (double)v * row;
                }
                p->row_grad[m * p->groups + k] =
                    p->row[m * p->groups + k] * (float)row_sum;
            }
        }
    }
}

/* grad[i] = now of them by `base` of those at theta 0, from the threads' sums. */
static void from_sums(float *grad, const float *base, const float *now, size_t n,
                      const float *sums, size_t stride, unsigned threads)
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (unsigned k = 0; k < threads; k++)
            sum += (double)sums[k * stride + i];
        grad[i] = now[i] != 0 ? (float)(sum * (double)base[i] / (double)now[i]) : 0;
    }
}

static void chain_sums(struct rbe_student *s, struct tensor *t)
{
    const unsigned threads = rbe_grad_threads(s->train);
    const size_t stride = t->w.rows + t->sums.parts * (size_t)t->w.cols;

    for (size_t i = 0; i < t->w.part_count; i++) {
        struct scales *p = &t->parts[i];

        from_sums(p->row_grad, p->row, p->row_now, p->rows, t->sums.sums + p->row0, stride,
                  threads);
        if (p->col)
            from_sums(p->col_grad, p->col, p->col_now, p->cols,
                      t->sums.sums + t->w.rows + i * p->cols, stride, threads);
    }
}

void rbe_student_chain(struct rbe_student *s, struct tensor *t)
{
    if (t->kind == CODED && t->slice->sums) {
        chain_sums(s, t);
        return;
    }
    for (size_t i = 0; t->kind == CODED && i < t->w.part_count; i++) {
        struct job j = {.s = s, .t = t, .p = &t->parts[i]};

        rbe_pool_run(s->pool, scale_gradients, &j);
        for (size_t c = 0; j.p->col && c < j.p->cols; c++) {
            double sum = 0;
            for (unsigned k = 0; k < CHUNKS; k++)
                sum += s->sums[k * s->widest + c];
            j.p->col_grad[c] = (float)(sum * (double)j.p->col[c]);
        }
    }
}

/*
 * case_product.c - products of one kernel: a single matrix, and all of a GPT-2.
 *
 * SPDX-License-Identifier: MIT
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/rows.h"
#include "bench/parts.h"
#include "bench/plan.h"
#include "bench/work.h"
#include "kernels/cpu.h"

struct product {
    struct rbe_parts_case p;
    unsigned layers; /* of a model */
};

/* --- one iteration ------------------------------------------------------------------------ */

struct job {
    const struct rbe_kernel *kernel;
    const struct rbe_part *p;
    float *y;
};

static void product_part(void *arg, unsigned i, unsigned n)
{
    const struct job *j = arg;
    size_t begin, end;

    rbe_split(j->p->w.rows, rbe_row_step(&j->p->w), i, n, &begin, &end);
    if (begin < end)
        j->kernel->run(&j->p->w, &j->p->act, j->y, j->p->w.rows, begin, end);
}

static void run(const struct rbe_parts_case *c, const struct rbe_kernel *k,
                const struct rbe_part *p, float *y)
{
    struct job j = {k, p, y};

    rbe_pool_run(rbe_case_team(&c->c)->pool, product_part, &j);
}

static void multiply(struct rbe_parts_case *c, struct rbe_part *p)
{
    rbe_data_move(c->c.suite->data, &c->cursor, c->c.cold, &p->size, &p->w);
    run(c, c->kernel, p, c->c.suite->y);
}

static void one_product(struct rbe_case *c)
{
    struct rbe_parts_case *p = (struct rbe_parts_case *)c;

    multiply(p, &p->parts[0]);
}

/* GPT-2's order: the four matrices of a block, layer after layer, then the output layer. */
static void one_model(struct rbe_case *c)
{
    struct rbe_parts_case *p = (struct rbe_parts_case *)c;

    for (unsigned layer = 0; layer < ((struct product *)c)->layers; layer++)
        for (unsigned i = 0; i + 1 < p->parts_count; i++)
            multiply(p, &p->parts[i]);
    multiply(p, &p->parts[p->parts_count - 1]);
}

/* --- verification ------------------------------------------------------------------------- */

/* |error| <= g(n) sum|w x|, g(n) = n u / (1 - n u), holds for every order of summation; n
 * also covers decoding.  Formats with tiles sum terms up to a block's side times larger than
 * the weights they make. */
static double bound(const struct rbe_matrix *w, double sum_abs)
{
    const double u = FLT_EPSILON / 2, n = (double)w->cols + 8;
    const bool tiles = rbe_format_facts(w->format)->tiles;

    return (tiles ? (double)w->block : 1.0) * n * u / (1 - n * u) * sum_abs;
}

static enum rbe_status verify_row(const struct rbe_part *p, const float *y, size_t r,
                                  float *row, struct rbe_diag *d)
{
    const struct rbe_act *a = &p->act;
    struct rbe_matrix plain = p->w;
    const bool integers = rbe_format_facts(plain.format)->gmax > 0;

    /* Column scales are in the activations already. */
    plain.col_scale = NULL;
    rbe_decode_row(&plain, r, row);
    for (size_t t = 0; t < a->count; t++) {
        const double got = y[t * p->w.rows + r];
        double sum = 0, sum_abs = 0;
        for (size_t c = 0; c < p->w.cols; c++) {
            const double x = integers ? (double)a->q[t * a->stride + c] * a->scale[t]
                                      : a->x[t * a->stride + c];
            sum += row[c] * x;
            sum_abs += fabs(row[c] * x);
        }
        const double limit = bound(&p->w, sum_abs) + FLT_MIN;
        if (!(fabs(got - sum) <= limit))
            return rbe_fail(d, RBE_ERR_NUMERIC, "row %zu, vector %zu: got %.9g, want %.9g, "
                            "allowed error %.3g", r, t, got, sum, limit);
    }
    return RBE_OK;
}

/* Against double precision over decoded rows, each within the bound that holds for any order of
 * summation. */
static enum rbe_status verify_rows(const struct rbe_part *p, const float *y,
                                   struct rbe_diag *d)
{
    /* Every row of small matrices; of large ones the first and last hundred and every k-th,
     * k odd, so that all places within a strip are met. */
    const size_t rows = p->w.rows, budget = 2000000 / (p->w.cols * p->act.count + 1) + 200;
    const size_t stride = rows > budget ? (rows / budget + 1) | 1 : 1;
    float *row = malloc(p->w.cols * sizeof *row);
    enum rbe_status err = row ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");

    for (size_t r = 0; r < rows && !err; r++)
        if (r % stride == 0 || r < 100 || r + 100 >= rows)
            err = verify_row(p, y, r, row, d);
    free(row);
    return err;
}

/* Sums in integers are exact: every kernel gives the scalar one's bits, in every row. */
static enum rbe_status same_as_scalar(const struct rbe_parts_case *c, const struct rbe_part *p,
                                      struct rbe_diag *d)
{
    const struct rbe_kernel *scalar = rbe_kernel_best(RBE_GEMV, c->format, 0);
    const float *y = c->c.suite->y;
    float *want = c->c.suite->y_scalar;

    if (c->kernel->op != RBE_GEMV || !scalar || !rbe_format_facts(c->format)->gmax)
        return RBE_OK;
    run(c, scalar, p, want);
    for (size_t r = 0; r < p->w.rows; r++)
        if (memcmp(&y[r], &want[r], sizeof *y))
            return rbe_fail(d, RBE_ERR_NUMERIC, "row %zu: got %.9g, the scalar kernel %.9g", r,
                            (double)y[r], (double)want[r]);
    return RBE_OK;
}

/* Each of the case's matrices once, with the buffers it will be timed with. */
static enum rbe_status verify(struct rbe_case *c, struct rbe_diag *d)
{
    struct rbe_parts_case *p = (struct rbe_parts_case *)c;
    enum rbe_status err = RBE_OK;
    float *y = c->suite->y;

    for (unsigned i = 0; i < p->parts_count && !err; i++) {
        for (size_t k = 0; k < p->parts[i].w.rows * p->count; k++)
            y[k] = NAN; /* a row that is not written is wrong */
        rbe_data_move(c->suite->data, &p->cursor, c->cold, &p->parts[i].size, &p->parts[i].w);
        if (p->parts[i].sums && !rbe_row_sums(&p->parts[i].w, p->parts[i].sums))
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        run(p, p->kernel, &p->parts[i], y);
        if (!(err = verify_rows(&p->parts[i], y, d)))
            err = same_as_scalar(p, &p->parts[i], d);
    }
    return err;
}

/* --- the two kinds ------------------------------------------------------------------------ */

static enum rbe_status make(struct rbe_case *c, struct rbe_diag *d)
{
    struct rbe_parts_case *p = (struct rbe_parts_case *)c;
    struct rbe_suite *s = c->suite;
    enum rbe_status err = rbe_parts_make(c, d);
    size_t size = 0;

    for (unsigned i = 0; i < p->parts_count; i++)
        size = p->parts[i].w.rows > size ? p->parts[i].w.rows : size;
    size *= p->count;
    if (err || size <= s->y_size)
        return err;
    free(s->y);
    free(s->y_scalar);
    s->y_size = 0;
    s->y = malloc(size * sizeof *s->y);
    s->y_scalar = malloc(size * sizeof *s->y_scalar);
    if (!s->y || !s->y_scalar)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    s->y_size = size;
    return RBE_OK;
}

static void report(const struct rbe_case *c, struct rbe_gbench_state *g, double per)
{
    const struct rbe_parts_case *p = (const struct rbe_parts_case *)c;

    (void)per;
    rbe_gbench_counter(g, RBE_KEY(block), p->parts[0].w.block);
    rbe_gbench_counter(g, RBE_KEY(aux), p->parts[0].w.aux);
    rbe_gbench_counter(g, RBE_KEY(vectors), (double)p->count);
    rbe_gbench_counter(g, RBE_KEY(bits_per_weight),
                       8 * c->bytes / c->weights * (double)p->count);
    rbe_gbench_counter(g, RBE_KEY(ratio), 4 * c->weights / (double)p->count / c->bytes);
}

static void report_product(const struct rbe_case *c, struct rbe_gbench_state *g, double per)
{
    const struct rbe_parts_case *p = (const struct rbe_parts_case *)c;

    rbe_gbench_counter(g, RBE_KEY(rows), p->parts[0].w.rows);
    rbe_gbench_counter(g, RBE_KEY(cols), p->parts[0].w.cols);
    report(c, g, per);
}

static const struct rbe_case_kind product_kind = {
    .name = "product", .size = sizeof(struct product), .make = make, .verify = verify,
    .iterate = one_product, .report = report_product, .close = rbe_parts_close};

static const struct rbe_case_kind model_kind = {
    .name = "model", .size = sizeof(struct product), .make = make, .verify = verify,
    .iterate = one_model, .report = report, .close = rbe_parts_close};

/* Frees the case when it fails. */
static enum rbe_status new_case(struct rbe_parts_case **out, struct rbe_suite *s,
                                const struct rbe_case_kind *kind, const struct rbe_kernel *k,
                                uint32_t count, unsigned threads, bool cold,
                                const struct rbe_parts_shape *shapes, size_t n,
                                struct rbe_diag *d)
{
    struct rbe_case *c;
    enum rbe_status err = rbe_case_new(&c, s, kind, threads, d);

    *out = (struct rbe_parts_case *)c;
    if (err)
        return err;
    (*out)->kernel = k;
    (*out)->format = k->format;
    (*out)->count = rbe_kernel_vectors(k) > 1 && count ? count : 1;
    c->cold = cold;
    if ((err = rbe_parts_add(*out, shapes, n, d)))
        rbe_case_free(c);
    return err;
}

/* What all names tell, after the kernel and the shape, and the facts. */
static void name_rest(struct rbe_parts_case *c)
{
    const struct rbe_matrix *w = &c->parts[0].w;
    const struct rbe_kernel *k = c->kernel;

    if (w->block)
        rbe_case_name(&c->c, "/B:%u", w->block);
    if (w->aux)
        rbe_case_name(&c->c, "/K:%u", w->aux);
    if (rbe_kernel_vectors(k) > 1)
        rbe_case_name(&c->c, "/T:%zu", c->count);
    rbe_case_name(&c->c, "/%s/t:%u", c->c.cold ? "cold" : "hot", c->c.threads);
    rbe_case_facts(&c->c, rbe_op_name(k->op), rbe_format_name(c->format),
                   k->word,
                   k == rbe_kernel_best_for(k->op, k->format, rbe_cpu_isa(),
                                            rbe_format_act_bits(k->format), true));
}

enum rbe_status rbe_suite_product(struct rbe_suite *s, const struct rbe_product_case *p,
                                  struct rbe_diag *d)
{
    const struct rbe_parts_shape shape = {p->rows, p->cols, p->block, p->aux, 1};
    struct rbe_parts_case *c;
    const enum rbe_status err = new_case(&c, s, &product_kind, p->kernel, p->count, p->threads,
                                         p->cold, &shape, 1, d);

    if (err)
        return err;
    rbe_case_name(&c->c, "%s/%ux%u", p->kernel->name, p->rows, p->cols);
    name_rest(c);
    return rbe_case_register(&c->c, d);
}

enum rbe_status rbe_suite_model(struct rbe_suite *s, const struct rbe_model_case *m,
                                struct rbe_diag *d)
{
    const uint32_t e = m->width, block = m->block, aux = m->aux;
    const struct rbe_parts_shape shapes[] = {{3 * e, e, block, aux, m->layers},
                                             {e, e, block, aux, m->layers},
                                             {4 * e, e, block, aux, m->layers},
                                             {e, 4 * e, block, aux, m->layers},
                                             {m->vocab, e, block, aux, 1}};
    struct rbe_parts_case *c;
    const enum rbe_status err = new_case(&c, s, &model_kind, m->kernel, 1, m->threads, true,
                                         shapes, sizeof shapes / sizeof shapes[0], d);

    if (err)
        return err;
    ((struct product *)c)->layers = m->layers;
    rbe_case_name(&c->c, "model_%s/%s", m->kernel->name, m->size);
    snprintf(c->c.size, sizeof c->c.size, "%s", m->size);
    name_rest(c);
    return rbe_case_register(&c->c, d);
}

double rbe_suite_cost(struct rbe_suite *s, const struct rbe_kernel *k)
{
    const uint32_t block = rbe_format_facts(k->format)->usual_block;
    const struct rbe_parts_shape shape = {256, 768, block, rbe_plan_aux(k->format, block), 1};
    struct rbe_parts_case *c;
    double cost = 0;

    if (new_case(&c, s, &product_kind, k, 4, 1, false, &shape, 1, NULL))
        return 0;
    float *y = malloc(256 * 4 * sizeof *y);
    if (y && !rbe_parts_make(&c->c, NULL)) {
        const struct rbe_part *p = &c->parts[0];
        k->run(&p->w, &p->act, y, 256, 0, 256);
        const double start = rbe_now();
        k->run(&p->w, &p->act, y, 256, 0, 256);
        cost = (rbe_now() - start) / c->c.weights;
    }
    free(y);
    rbe_case_free(&c->c);
    return cost;
}

/*
 * feedback.c - damped inverse Cholesky factor and blocked error feedback (feedback.h).
 *
 * SPDX-License-Identifier: MIT
 *
 * Errors of a panel of columns are gathered and reach the columns after the panel together,
 * so that those are read and written once for each panel.  Those of rows reach the chunks below
 * theirs when the chunk is done.
 */
#include "rbe/feedback.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/vector.h"

enum { PANEL = 32, NEAR = 192 };
#define DEFAULT_DAMPING 0.01

struct rbe_feedback {
    const struct rbe_vector *v;
    size_t n;
    size_t *order;              /* [n], column of each place */
    float *u;                   /* [n][n] by place, upper, rows divided by their diagonal */
    float *error;               /* [PANEL][rows] */
};

/*
 * Both steps below subtract products in the order of the textbook, one after the other for
 * each element: neither how they are cut nor threads change a bit of the result, only how often
 * memory is read.
 */
enum { ROWS = 4, WIDE = 16, COLS = 64, SLAB = 64 };

struct factoring {
    const struct rbe_vector *v;
    double *a;                  /* [n][n] */
    size_t n, at, end;          /* rows or columns of the slab at hand */
    double *slab;               /* [SLAB][n]: the slab's columns of L, turned; or rows of L */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Rows below the slab take its columns' products off, up to the diagonal and, for whole
 * registers, a little past it: nobody reads what is above. */
static void cholesky_rest(void *arg, unsigned part, unsigned parts)
{
    const struct factoring *f = arg;
    const size_t n = f->n;

    for (size_t i = f->end + part * ROWS; i < n; i += parts * ROWS) {
        const size_t cols = (i - f->end) / WIDE * WIDE + WIDE;

        f->v->subtract(f->a + i * n + f->end, f->a + i * n + f->at, n, f->slab + f->end, n,
                       f->end - f->at, least(ROWS, n - i), least(cols, n - f->end));
    }
}

/* Columns at..end of rows at and below, those before already taken off. */
static bool cholesky_slab(const struct factoring *f)
{
    const size_t n = f->n;
    double *a = f->a;

    for (size_t i = f->at; i < n; i++)
        for (size_t j = f->at; j <= i && j < f->end; j++) {
            double s = a[i * n + j];
            for (size_t k = f->at; k < j; k++)
                s -= a[i * n + k] * a[j * n + k];
            if (i != j) {
                a[i * n + j] = s / a[j * n + j];
            } else {
                if (!(s > 0) || isinf(s))
                    return false;
                a[i * n + i] = sqrt(s);
            }
        }
    return true;
}

/* a <- its lower Cholesky factor L, a = L L^T; false when not positive definite. */
static bool cholesky(struct factoring *f, struct rbe_pool *pool)
{
    const size_t n = f->n;

    for (f->at = 0; f->at < n; f->at = f->end) {
        f->end = f->at + SLAB < n ? f->at + SLAB : n;
        if (!cholesky_slab(f))
            return false;
        for (size_t k = f->at; k < f->end; k++)
            for (size_t i = f->end; i < n; i++)
                f->slab[(k - f->at) * n + i] = f->a[i * n + k];
        rbe_pool_run(pool, cholesky_rest, f);
    }
    return true;
}

/* Columns of the slab's rows of the inverse, from the rows above, which are finished. */
static void invert_above(void *arg, unsigned part, unsigned parts)
{
    const struct factoring *f = arg;
    const size_t n = f->n;

    for (size_t j = part * COLS; j < f->at; j += parts * COLS)
        f->v->subtract(f->a + f->at * n + j, f->slab + j, n, f->a + j * n + j, n, f->at - j,
                       f->end - f->at, least(COLS, f->at - j));
}

/* a, lower <- its inverse, row by row: X[i] = (e_i - sum of L[i][k] X[k]) / L[i][i]; above the
 * diagonal zeros. */
static void invert_lower(struct factoring *f, struct rbe_pool *pool)
{
    const size_t n = f->n;
    double *a = f->a;

    for (f->at = 0; f->at < n; f->at = f->end) {
        f->end = f->at + SLAB < n ? f->at + SLAB : n;
        memcpy(f->slab, a + f->at * n, (f->end - f->at) * n * sizeof *a);
        memset(a + f->at * n, 0, (f->end - f->at) * n * sizeof *a);
        rbe_pool_run(pool, invert_above, f);
        for (size_t i = f->at; i < f->end; i++) {
            const double *l = f->slab + (i - f->at) * n;
            double *row = a + i * n;

            for (size_t k = f->at; k < i; k++)
                for (size_t j = 0; j <= k; j++)
                    row[j] -= l[k] * a[k * n + j];
            row[i] = 1;
            for (size_t j = 0; j <= i; j++)
                row[j] /= l[i];
        }
    }
}

/* a [n][n], and room for a slab behind it: L^-1 of the damped moment L L^T, whose rows and
 * columns are taken in turn of `order`, last first, or as they are. */
static enum rbe_status invert_factor(double **out, const float *moment, const size_t *order,
                                     size_t n, float damping, struct rbe_pool *pool,
                                     struct rbe_diag *d)
{
    double *a = malloc((n + SLAB) * n * sizeof *a), mean = 0;
    struct factoring all = {.v = rbe_vector_best(rbe_cpu_isa()), .a = a, .n = n,
                            .slab = a + n * n};

    *out = NULL;
    if (!a)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        mean += (double)moment[i * n + i] / (double)n;
    const double more = (damping > 0 ? (double)damping : DEFAULT_DAMPING) * mean;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const size_t p = order ? order[n - 1 - i] : i, q = order ? order[n - 1 - j] : j;
            a[i * n + j] = (double)moment[p * n + q] + (i == j ? more : 0);
        }
    if (!(mean > 0) || !cholesky(&all, pool)) {
        free(a);
        return rbe_fail(d, RBE_ERR_NUMERIC,
                        "the second moment of the inputs is not positive definite");
    }
    invert_lower(&all, pool);
    *out = a;
    return RBE_OK;
}

/*
 * H^-1 = U^T U with U upper.  Let P reverse the places: P H P = L L^T gives H = R R^T with
 * R = P L P upper, so H^-1 = R^-T R^-1 and U = R^-1 = P L^-1 P.
 */
static enum rbe_status factor(struct rbe_feedback *f, const float *moment, float damping,
                              struct rbe_pool *pool, struct rbe_diag *d)
{
    const size_t n = f->n;
    enum rbe_status err;
    double *a;

    if ((err = invert_factor(&a, moment, f->order, n, damping, pool, d)))
        return err;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++)
            f->u[i * n + j] = (float)(a[(n - 1 - i) * n + n - 1 - j] /
                                      a[(n - 1 - i) * n + n - 1 - i]);
    free(a);
    return RBE_OK;
}

enum rbe_status rbe_inverse_root(float *root, const float *moment, size_t n, float damping,
                                 struct rbe_pool *pool, struct rbe_diag *d)
{
    enum rbe_status err;
    double *a;

    if ((err = invert_factor(&a, moment, NULL, n, damping, pool, d)))
        return err;
    for (size_t i = 0; i < n * n; i++)
        root[i] = (float)a[i];
    free(a);
    return RBE_OK;
}

size_t rbe_inverse_root_bytes(size_t n)
{
    return (n + SLAB) * n * sizeof(double);
}

struct place {
    float key;
    size_t column;
};

static int falling(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? 1 : -1;
    return x->column < y->column ? -1 : x->column > y->column;
}

static enum rbe_status order_columns(struct rbe_feedback *f, const float *moment,
                                     struct rbe_diag *d)
{
    struct place *p = malloc(f->n * sizeof *p);

    if (!p)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < f->n; i++)
        p[i] = (struct place){moment[i * f->n + i], i};
    qsort(p, f->n, sizeof *p, falling);
    for (size_t i = 0; i < f->n; i++)
        f->order[i] = p[i].column;
    free(p);
    return RBE_OK;
}

enum rbe_status rbe_feedback_open(struct rbe_feedback **out, const float *moment, size_t n,
                                  size_t rows, float damping, struct rbe_pool *pool,
                                  struct rbe_diag *d)
{
    struct rbe_feedback *f = calloc(1, sizeof *f);
    enum rbe_status err = RBE_ERR_NOMEM;

    *out = NULL;
    if (!f)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    f->v = rbe_vector_best(rbe_cpu_isa());
    f->n = n;
    f->order = malloc(n * sizeof *f->order);
    f->u = calloc(n * n, sizeof *f->u);
    f->error = malloc(PANEL * rows * sizeof *f->error);
    if (!f->order || !f->u || !f->error)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    else if (!(err = order_columns(f, moment, d)))
        err = factor(f, moment, damping, pool, d);
    if (err)
        rbe_feedback_close(&f);
    *out = f;
    return err;
}

size_t rbe_feedback_bytes(size_t n, size_t rows)
{
    return sizeof(struct rbe_feedback) + n * sizeof(size_t) + n * n * sizeof(float) +
           PANEL * rows * sizeof(float) + (n + SLAB) * n * sizeof(double);
}

void rbe_feedback_close(struct rbe_feedback **f)
{
    if (*f) {
        free((*f)->order);
        free((*f)->u);
        free((*f)->error);
        free(*f);
    }
    *f = NULL;
}

size_t rbe_feedback_column(const struct rbe_feedback *f, size_t i)
{
    return f->order[i];
}

void rbe_feedback_before(const struct rbe_feedback *f, size_t i, float *w, size_t rows,
                         size_t first, size_t end)
{
    const size_t panel = i / PANEL * PANEL;

    f->v->take_off(w + f->order[i] * rows + first, f->u + panel * f->n + i, f->n,
                   f->error + first, rows, i - panel, end - first);
}

void rbe_feedback_after(struct rbe_feedback *f, size_t i, float *w, const int16_t *g,
                        float step, size_t rows, size_t first, size_t end)
{
    const size_t panel = i / PANEL * PANEL;
    const float *from = w + f->order[i] * rows;
    float *error = f->error + (i - panel) * rows;

    for (size_t m = first; m < end; m++)
        error[m] = from[m] - step * (float)g[m];
    if (i + 1 - panel < PANEL)
        return;
    /* Of so many rows the panel's errors stay in the first cache. */
    for (size_t m = first; m < end; m += NEAR)
        for (size_t k = i + 1; k < f->n; k++)
            f->v->take_off(w + f->order[k] * rows + m, f->u + panel * f->n + k, f->n,
                           f->error + m, rows, PANEL, least(NEAR, end - m));
}

/* --- down a column ------------------------------------------------------------------------ */

struct rbe_row_feedback {
    const struct rbe_vector *v;
    size_t rows, chunk;
    float *u;                   /* [rows][rows], u[k][m]: of row k's error, off target m */
};

/* A row without a scale stands alone. */
#define NO_ROW 1e-30

size_t rbe_row_feedback_chunk(const struct rbe_row_feedback *f, size_t i)
{
    const size_t first = i * f->chunk;

    /* No chunk of less than half. */
    return first + f->chunk / 2 < f->rows || !i ? first : f->rows;
}

/* Element [k][m], k <= m, of the factor U, G = U U^T: with P reversing the places, P G P =
 * L L^T and U = P L P. */
static double *upper(double *l, size_t n, size_t k, size_t m)
{
    return l + (n - 1 - k) * n + n - 1 - m;
}

/*
 * A = D^-1 U^T, D the diagonal of U, is unit lower triangular, row by row.  By chunks: the rows
 * of a chunk are multiplied by the inverse of their own block, one after the other.  They take
 * the place of U's columns above the chunk, which nobody needs again.  Row by row of U, where a
 * chunk is one run, from its last place on.  own: [rows] of scratch.
 */
static void factor_chunk(struct rbe_row_feedback *f, double *l, double *own, size_t first,
                         size_t end, float *cost)
{
    const size_t n = f->rows, last = end - 1;

    for (size_t m = first; m < end; m++) {
        double sum = 0;

        own[last - m] = 1 / *upper(l, n, m, m);
        for (size_t j = m; j < end; j++)
            sum += *upper(l, n, m, j) * *upper(l, n, m, j);
        cost[m] = (float)sum;
    }
    for (size_t k = 0; k < first; k++) {
        double *x = upper(l, n, k, last);

        for (size_t i = 0; i < end - first; i++)
            x[i] *= own[i];
        for (size_t j = first; j < end; j++) {
            const double *from = upper(l, n, j, last), y = x[last - j];
            for (size_t i = 0; i < last - j; i++)
                x[i] -= from[i] * own[i] * y;
        }
        for (size_t m = first; m < end; m++)
            f->u[k * n + m] = (float)-x[last - m];
    }
}

enum rbe_status rbe_row_feedback_open(struct rbe_row_feedback **out, const float *metric,
                                      size_t ld, const float *scale, size_t rows, size_t chunk,
                                      float *cost, struct rbe_pool *pool, struct rbe_diag *d)
{
    struct rbe_row_feedback *f = calloc(1, sizeof *f);
    const size_t n = rows;
    double *a = malloc((n + SLAB) * n * sizeof *a);
    const struct rbe_vector *v = rbe_vector_best(rbe_cpu_isa());
    struct factoring all = {.v = v, .a = a, .n = n, .slab = a + n * n};
    enum rbe_status err = RBE_OK;

    *out = NULL;
    if (!f || !a || !(f->u = calloc(n * n, sizeof *f->u))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    f->v = v;
    f->rows = n;
    f->chunk = chunk;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const size_t p = n - 1 - i, q = n - 1 - j;
            a[i * n + j] = (double)metric[p * ld + q] * (double)scale[p] * (double)scale[q];
            if (i == j && !(scale[p] > 0))
                a[i * n + j] = NO_ROW;
        }
    if (!cholesky(&all, pool)) {
        err = rbe_fail(d, RBE_ERR_NUMERIC, "the metric of the rows is not positive definite");
        goto out;
    }
    for (size_t i = 0; rbe_row_feedback_chunk(f, i) < n; i++)
        factor_chunk(f, a, all.slab, rbe_row_feedback_chunk(f, i),
                     rbe_row_feedback_chunk(f, i + 1), cost);
out:
    free(a);
    if (err)
        rbe_row_feedback_close(&f);
    *out = f;
    return err;
}

size_t rbe_row_feedback_bytes(size_t rows)
{
    return sizeof(struct rbe_row_feedback) + rows * rows * sizeof(float) +
           (rows + SLAB) * rows * sizeof(double);
}

void rbe_row_feedback_close(struct rbe_row_feedback **f)
{
    if (*f) {
        free((*f)->u);
        free(*f);
    }
    *f = NULL;
}

void rbe_row_feedback_pass(const struct rbe_row_feedback *f, size_t first, size_t end,
                           const float *error, float *target)
{
    for (size_t k = first; k < end; k += PANEL) {
        f->v->take_off(target + end, error + k, 1, f->u + k * f->rows + end, f->rows,
                       least(PANEL, end - k), f->rows - end);
    }
}

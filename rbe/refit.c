/*
 * refit.c - alternating least squares of row and column scales (refit.h).
 *
 * SPDX-License-Identifier: MIT
 *
 * Nearly all of the work is three products: W H once, V H for each fit of the rows (V what the
 * codes stand for), and the Gram matrix of the codes for each fit of the columns.  All go by
 * tiles (tile.h), which the threads share.
 */
#include "rbe/refit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "rbe/tile.h"

enum {
    TILE = RBE_TILE,
    CHUNK = RBE_TILE_CHUNK,
    QUAD = RBE_TILE_QUAD,
    LANES = 4,
    ROUNDS = 3,
    STEPS = 100,                /* of the conjugate gradients at most */
};

/* Added to the columns' system, of its mean diagonal, towards the present scales: columns
 * that hardly count have their scales from noise without it. */
#define RIDGE 0.01

struct work {
    const struct rbe_refit *f;
    const float *wh;            /* [rows][cols], W H */
    const struct rbe_vector *v;
    struct rbe_tile *tiles;     /* [threads] */
    float *values;              /* [threads][TILE][cols] */
    float *a;                   /* [cols][cols], or [cols] without a moment */
    double *b;                  /* [6][cols]: b, then room of the solver */
    float *weight;              /* [rows], importance * row^2 */
};

/* --- tiles ------------------------------------------------------------------------------- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What the codes of rows i0 to i0 + TILE stand for at row scales 1, [TILE][cols]; returns how
 * many there are. */
static size_t fill_values(float *values, const struct rbe_refit *f, size_t i0)
{
    const size_t i1 = least(f->rows, i0 + TILE);

    for (size_t k = 0; k < f->cols; k++)
        for (size_t i = i0; i < i1; i++)
            values[(i - i0) * f->cols + k] = f->col[k] * (float)f->g[k * f->rows + i];
    return i1 - i0;
}

/* Codes of columns i0 to i0 + TILE in rows k0 to k1, times the weight of the row. */
static void pack_codes(float panel[TILE][CHUNK], const struct rbe_refit *f, const float *weight,
                       size_t i0, size_t k0, size_t k1)
{
    memset(panel, 0, TILE * sizeof panel[0]);
    for (size_t i = i0; i < least(f->cols, i0 + TILE); i++)
        for (size_t k = k0; k < k1; k++)
            panel[i - i0][k - k0] = weight[k] * (float)f->g[i * f->rows + k];
}

/* The same without weights, as b has them. */
static void pack_code_quads(float panel[CHUNK / QUAD][TILE][QUAD], const struct rbe_refit *f,
                            size_t i0, size_t k0, size_t k1)
{
    memset(panel, 0, CHUNK / QUAD * sizeof panel[0]);
    for (size_t i = i0; i < least(f->cols, i0 + TILE); i++)
        for (size_t k = k0; k < k1; k++)
            panel[(k - k0) / QUAD][i - i0][(k - k0) % QUAD] = (float)f->g[i * f->rows + k];
}

/* --- W H --------------------------------------------------------------------------------- */

static void multiply(void *arg, unsigned part, unsigned parts)
{
    struct work *u = arg;
    const struct rbe_refit *f = u->f;
    struct rbe_tile *t = &u->tiles[part];

    for (size_t m = part * (size_t)TILE; m < f->rows; m += parts * (size_t)TILE)
        for (size_t n = 0; n < f->cols; n += TILE) {
            memset(t->out, 0, sizeof t->out);
            for (size_t k = 0; k < f->cols; k += CHUNK) {
                const size_t k1 = least(f->cols, k + CHUNK);
                rbe_tile_pack_a(t, f->w, f->rows, f->cols, m, k, k1);
                rbe_tile_pack_b(t, f->moment, f->cols, f->cols, n, k, k1);
                rbe_tile_add(t, u->v);
            }
            for (size_t i = 0; i < TILE && m + i < f->rows; i++)
                for (size_t j = 0; j < TILE && n + j < f->cols; j++)
                    f->scratch[(m + i) * f->cols + n + j] = (float)t->out[i][j];
        }
}

/* --- rows -------------------------------------------------------------------------------- */

/* v H v^T and w H v^T of the rows from m on, TILE at most, v what the codes stand for; returns
 * how many there are. */
static size_t row_sums(const struct work *u, unsigned part, size_t m, double *down, double *up)
{
    const struct rbe_refit *f = u->f;
    float *values = u->values + part * (size_t)TILE * f->cols;
    const size_t rows = fill_values(values, f, m);

    if (f->moment)
        rbe_tile_forms(down, &u->tiles[part], u->v, values, rows, f->cols, f->moment);
    for (size_t i = 0; i < rows; i++) {
        const float *v = values + i * f->cols, *wh = u->wh + (m + i) * f->cols;
        double square = 0;

        up[i] = 0;
        for (size_t k = 0; k < f->cols; k++) {
            square += (double)v[k] * (double)v[k];
            up[i] += (double)v[k] * (double)wh[k];
        }
        if (!f->moment)
            down[i] = square;
    }
    return rows;
}

static void fit_rows(void *arg, unsigned part, unsigned parts)
{
    struct work *u = arg;
    const struct rbe_refit *f = u->f;
    double down[TILE], up[TILE];

    for (size_t m = part * (size_t)TILE; m < f->rows; m += parts * (size_t)TILE) {
        const size_t rows = row_sums(u, part, m, down, up);
        for (size_t i = 0; i < rows; i++) {
            const float s = (float)(up[i] / down[i]);
            if (up[i] > 0 && down[i] > 0 && s > 0 && isfinite(s))
                f->row[m + i] = s;
        }
    }
}

/* --- columns ----------------------------------------------------------------------------- */

/*
 * In x, the relative changes of the columns, the error is E0 - 2 b x + x A x.  With v the
 * weights that the codes and present scales give, element n, k of A is H[n][k] times the sum
 * over m of importance[m] * v[m][n] * v[m][k], and b the row sums of A taken from the sums over
 * m of importance[m] * v[m][n] * (W H)[m][n].
 */
static void gram_tile(const struct work *u, struct rbe_tile *t, size_t n, size_t k)
{
    const struct rbe_refit *f = u->f;

    memset(t->out, 0, sizeof t->out);
    for (size_t m = 0; m < f->rows; m += CHUNK) {
        const size_t m1 = least(f->rows, m + CHUNK);
        pack_codes(t->a, f, u->weight, n, m, m1);
        pack_code_quads(t->b, f, k, m, m1);
        rbe_tile_add(t, u->v);
    }
    for (size_t i = n; i < least(f->cols, n + TILE); i++)
        for (size_t j = k; j < least(f->cols, k + TILE); j++) {
            const double v = (double)f->col[i] * (double)f->col[j] * t->out[i - n][j - k];
            if (f->moment)
                u->a[i * f->cols + j] = u->a[j * f->cols + i] =
                    (float)(v * (double)f->moment[i * f->cols + j]);
            else if (i == j)
                u->a[i] = (float)v;
        }
}

static void gram(void *arg, unsigned part, unsigned parts)
{
    struct work *u = arg;
    size_t index = 0;

    for (size_t n = 0; n < u->f->cols; n += TILE)
        for (size_t k = u->f->moment ? 0 : n; k <= n; k += TILE)
            if (index++ % parts == part)
                gram_tile(u, &u->tiles[part], n, k);
}

/* The sums over m of importance * v * (W H), for each column. */
static void column_sums(void *arg, unsigned part, unsigned parts)
{
    struct work *u = arg;
    const struct rbe_refit *f = u->f;

    for (size_t n = part * (size_t)TILE; n < f->cols; n += parts * (size_t)TILE) {
        const size_t n1 = least(f->cols, n + TILE);
        double sum[TILE] = {0};

        for (size_t m = 0; m < f->rows; m++) {
            if (!(f->row[m] > 0))
                continue;
            const double s = (double)u->weight[m] / (double)f->row[m];
            for (size_t k = n; k < n1; k++)
                sum[k - n] += s * (double)f->g[k * f->rows + m] *
                              (double)u->wh[m * f->cols + k];
        }
        for (size_t k = n; k < n1; k++)
            u->b[k] = (double)f->col[k] * sum[k - n];
    }
}

/* to <- A x */
static void times_a(const struct work *u, double *to, const double *x)
{
    const size_t cols = u->f->cols;

    for (size_t n = 0; n < cols; n++) {
        const float *a = u->a + n * cols;
        double s[LANES] = {0};
        size_t k = 0;

        if (!u->f->moment) {
            to[n] = (double)u->a[n] * x[n];
            continue;
        }
        for (; k + LANES <= cols; k += LANES)
            for (size_t l = 0; l < LANES; l++)
                s[l] += (double)a[k + l] * x[k + l];
        for (; k < cols; k++)
            s[0] += (double)a[k] * x[k];
        to[n] = (s[0] + s[1]) + (s[2] + s[3]);
    }
}

static double dot(const double *a, const double *b, size_t n)
{
    double s = 0;

    for (size_t i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

static double diagonal(const struct work *u, size_t n)
{
    return (double)u->a[u->f->moment ? n * u->f->cols + n : n];
}

/*
 * x <- (A + ridge)^-1 b by conjugate gradients, preconditioned by the diagonal: codes of two
 * columns have next to nothing in common, so the diagonal rules and few steps do, where a
 * factor would take cols^3 / 6 products.  v: 4 vectors.
 */
static void solve(const struct work *u, double *x, double ridge, double *v)
{
    const size_t n = u->f->cols;
    double *r = v, *z = v + n, *p = v + 2 * n, *ap = v + 3 * n, rz = 0, first = 0;

    memset(x, 0, n * sizeof *x);
    memcpy(r, u->b, n * sizeof *r);
    for (int step = 0; step < STEPS; step++) {
        for (size_t i = 0; i < n; i++)
            z[i] = r[i] / (diagonal(u, i) + ridge);
        const double now = dot(r, z, n), keep = step ? now / rz : 0;
        first = step ? first : now;
        if (!(now > 1e-10 * first))
            return;
        rz = now;
        for (size_t i = 0; i < n; i++)
            p[i] = z[i] + (step ? keep * p[i] : 0);
        times_a(u, ap, p);
        for (size_t i = 0; i < n; i++)
            ap[i] += ridge * p[i];
        const double length = rz / dot(p, ap, n);
        for (size_t i = 0; i < n; i++) {
            x[i] += length * p[i];
            r[i] -= length * ap[i];
        }
    }
}

static float stored(const struct rbe_refit *f, float col)
{
    return rbe_f16_to_f32(rbe_f16_from_f32(col * f->col_unit)) / f->col_unit;
}

/* Did the columns get better? */
static bool fit_cols(struct work *u, struct rbe_pool *pool)
{
    const struct rbe_refit *f = u->f;
    const size_t n = f->cols;
    double *x = u->b + n, *ax = x + n, mean = 0;

    for (size_t m = 0; m < f->rows; m++)
        u->weight[m] = f->row[m] * f->row[m] * (f->importance ? f->importance[m] : 1);
    rbe_pool_run(pool, gram, u);
    rbe_pool_run(pool, column_sums, u);
    for (size_t i = 0; i < n; i++) {
        x[i] = 1;
        mean += diagonal(u, i) / (double)n;
    }
    if (!(mean > 0) || isinf(mean))
        return false;
    times_a(u, ax, x);
    for (size_t i = 0; i < n; i++)
        u->b[i] -= ax[i];
    solve(u, x, RIDGE * mean, ax);
    for (size_t i = 0; i < n; i++) {
        const float to = stored(f, (float)((double)f->col[i] * (1 + x[i])));
        x[i] = to > 0 && isfinite(to) ? (double)to / (double)f->col[i] - 1 : 0;
    }
    /* Rounding to f16 can cost more than is left to gain. */
    times_a(u, ax, x);
    if (!(2 * dot(u->b, x, n) - dot(x, ax, n) > 0))
        return false;
    for (size_t i = 0; i < n; i++)
        f->col[i] = (float)((double)f->col[i] * (1 + x[i]));
    return true;
}

/* --- by turns ---------------------------------------------------------------------------- */

enum rbe_status rbe_refit_scales(const struct rbe_refit *f, struct rbe_pool *pool,
                                 struct rbe_diag *d)
{
    const bool columns = f->col_unit > 0;
    const size_t square = f->moment ? f->cols * f->cols : f->cols;
    struct work u = {.f = f, .v = rbe_vector_best(rbe_cpu_isa()),
                     .wh = f->moment ? f->scratch : f->w};
    enum rbe_status err = RBE_OK;

    u.tiles = malloc(rbe_pool_threads(pool) * sizeof *u.tiles);
    u.values = malloc(rbe_pool_threads(pool) * TILE * f->cols * sizeof *u.values);
    u.a = columns ? malloc(square * sizeof *u.a) : NULL;
    u.b = columns ? malloc(6 * f->cols * sizeof *u.b) : NULL;
    u.weight = columns ? malloc(f->rows * sizeof *u.weight) : NULL;
    if (!u.tiles || !u.values || (columns && (!u.a || !u.b || !u.weight))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    if (f->moment)
        rbe_pool_run(pool, multiply, &u);
    rbe_pool_run(pool, fit_rows, &u);
    for (int round = 0; columns && round < ROUNDS && fit_cols(&u, pool); round++)
        rbe_pool_run(pool, fit_rows, &u);
out:
    free(u.weight);
    free(u.b);
    free(u.a);
    free(u.values);
    free(u.tiles);
    return err;
}

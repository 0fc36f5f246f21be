/*
 * svd.c - subspace iteration on the smaller Gram matrix, then Rayleigh and Ritz.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/svd.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "kernels/f16.h"
#include "rbe/quality.h"

enum {
    EXTRA = 12,                 /* vectors beyond the rank: the last ones converge slowest */
    ROUNDS = 16,
    SWEEPS = 30,                /* of Jacobi, at most */
};

size_t rbe_svd_bytes(uint32_t rows, uint32_t cols, uint32_t rank)
{
    return 2 * (size_t)rank * ((size_t)rows + cols);
}

uint32_t rbe_svd_rank(uint32_t rows, uint32_t cols, size_t bytes)
{
    const size_t one = rbe_svd_bytes(rows, cols, 1), rank = bytes / one;
    const uint32_t most = rows < cols ? rows : cols;

    return rank > most ? most : (uint32_t)rank;
}

struct svd_work {
    float *a;                   /* [m][n], n <= m: the matrix or its transpose */
    size_t m, n, p, rank;
    double *gram;               /* [n][n] */
    double *q, *gq;             /* [p][n], rows are the vectors; their products with gram */
    float *v;                   /* [rank][n], rounded to f16 */
    double *row_error;          /* [m] */
    float *scratch;             /* [threads][n] */
    bool turn;                  /* `a` is the transpose */
    float *out;                 /* the projection, as the caller's matrix lies; or NULL */
};

static double dot(const double *a, const double *b, size_t n)
{
    double s[4] = {0};
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        for (size_t l = 0; l < 4; l++)
            s[l] += a[i + l] * b[i + l];
    for (; i < n; i++)
        s[0] += a[i] * b[i];
    return s[0] + s[1] + s[2] + s[3];
}

/* Rows of gram = a^T a. */
static void do_gram(void *arg, unsigned part, unsigned parts)
{
    struct svd_work *s = arg;
    size_t r0, r1;

    rbe_split(s->n, 1, part, parts, &r0, &r1);
    for (size_t k = 0; k < s->m; k++) {
        const float *row = s->a + k * s->n;
        for (size_t i = r0; i < r1; i++) {
            const double f = row[i];
            double *g = s->gram + i * s->n;
            for (size_t c = 0; c < s->n; c++)
                g[c] += f * row[c];
        }
    }
}

static void do_apply(void *arg, unsigned part, unsigned parts)
{
    struct svd_work *s = arg;
    size_t p0, p1;

    rbe_split(s->p, 1, part, parts, &p0, &p1);
    for (size_t k = p0; k < p1; k++)
        for (size_t i = 0; i < s->n; i++)
            s->gq[k * s->n + i] = dot(s->gram + i * s->n, s->q + k * s->n, s->n);
}

/* Makes the rows of q orthonormal, twice over for the sake of rounding. */
static void orthonormalise(double *q, size_t p, size_t n)
{
    for (size_t k = 0; k < p; k++) {
        double *v = q + k * n;
        for (int pass = 0; pass < 2; pass++)
            for (size_t i = 0; i < k; i++) {
                const double *u = q + i * n, f = dot(u, v, n);
                for (size_t c = 0; c < n; c++)
                    v[c] -= f * u[c];
            }
        const double length = sqrt(dot(v, v, n)), inv = length > 0 ? 1 / length : 0;
        for (size_t c = 0; c < n; c++)
            v[c] *= inv;
    }
}

/* Cyclic Jacobi: the symmetric b [p][p] becomes diagonal, the rows of e its eigenvectors. */
static void jacobi(double *b, double *e, size_t p)
{
    for (size_t i = 0; i < p * p; i++)
        e[i] = i % (p + 1) == 0;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        double off = 0, all = 0;

        for (size_t i = 0; i < p; i++)
            for (size_t k = 0; k < p; k++) {
                const double x = b[i * p + k] * b[i * p + k];
                all += x;
                off += i == k ? 0 : x;
            }
        if (!(off > 1e-24 * all))
            break;
        for (size_t i = 0; i < p; i++)
            for (size_t k = i + 1; k < p; k++) {
                const double x = b[i * p + k];
                if (x == 0)
                    continue;
                const double h = (b[k * p + k] - b[i * p + i]) / (2 * x);
                const double t = (h < 0 ? -1 : 1) / (fabs(h) + sqrt(h * h + 1));
                const double c = 1 / sqrt(t * t + 1), s = t * c;

                for (size_t r = 0; r < p; r++) {
                    const double u = b[r * p + i], v = b[r * p + k];
                    b[r * p + i] = c * u - s * v;
                    b[r * p + k] = s * u + c * v;
                }
                for (size_t r = 0; r < p; r++) {
                    const double u = b[i * p + r], v = b[k * p + r];
                    b[i * p + r] = c * u - s * v;
                    b[k * p + r] = s * u + c * v;
                }
                for (size_t r = 0; r < p; r++) {
                    const double u = e[i * p + r], v = e[k * p + r];
                    e[i * p + r] = c * u - s * v;
                    e[k * p + r] = s * u + c * v;
                }
            }
    }
}

/* The leading `rank` vectors within the span of q, rounded to f16, into v. */
static enum rbe_status ritz(struct svd_work *s, struct rbe_pool *pool, struct rbe_diag *d)
{
    const size_t p = s->p, n = s->n;
    double *b = malloc(2 * p * p * sizeof *b), *e = b ? b + p * p : NULL;

    if (!b)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    rbe_pool_run(pool, do_apply, s);
    for (size_t i = 0; i < p; i++)
        for (size_t k = 0; k < p; k++)
            b[i * p + k] = dot(s->q + i * n, s->gq + k * n, n);
    jacobi(b, e, p);
    for (size_t r = 0; r < s->rank; r++) {
        size_t best = 0;
        for (size_t i = 1; i < p; i++)
            if (b[i * p + i] > b[best * p + best])
                best = i;
        b[best * p + best] = -INFINITY;
        for (size_t c = 0; c < n; c++) {
            double sum = 0;
            for (size_t i = 0; i < p; i++)
                sum += e[best * p + i] * s->q[i * n + c];
            s->v[r * n + c] = rbe_f16_to_f32(rbe_f16_from_f32((float)sum));
        }
    }
    free(b);
    return RBE_OK;
}

static void do_errors(void *arg, unsigned part, unsigned parts)
{
    struct svd_work *s = arg;
    float *left = s->scratch + part * s->n;
    size_t r0, r1;

    rbe_split(s->m, 1, part, parts, &r0, &r1);
    for (size_t r = r0; r < r1; r++) {
        const float *row = s->a + r * s->n;
        double sum = 0;

        memcpy(left, row, s->n * sizeof *left);
        for (size_t k = 0; k < s->rank; k++) {
            const float *v = s->v + k * s->n;
            double u = 0;
            for (size_t c = 0; c < s->n; c++)
                u += (double)row[c] * v[c];
            const float f = rbe_f16_to_f32(rbe_f16_from_f32((float)u));
            for (size_t c = 0; c < s->n; c++)
                left[c] -= f * v[c];
        }
        for (size_t c = 0; c < s->n; c++)
            sum += (double)left[c] * left[c];
        s->row_error[r] = sum;
        for (size_t c = 0; s->out && c < s->n; c++)
            s->out[s->turn ? c * s->m + r : r * s->n + c] = row[c] - left[c];
    }
}

static enum rbe_status alloc_work(struct svd_work *s, const float *w, uint32_t rows,
                                  uint32_t cols, unsigned threads, struct rbe_diag *d)
{
    const size_t n = s->n, p = s->p;
    const bool turn = rows < cols;

    s->a = malloc(s->m * n * sizeof *s->a);
    s->gram = calloc(n * n, sizeof *s->gram);
    s->q = malloc(p * n * sizeof *s->q);
    s->gq = malloc(p * n * sizeof *s->gq);
    s->v = malloc((s->rank ? s->rank : 1) * n * sizeof *s->v);
    s->row_error = malloc(s->m * sizeof *s->row_error);
    s->scratch = malloc((threads * n + p * n) * sizeof *s->scratch);
    if (!s->a || !s->gram || !s->q || !s->gq || !s->v || !s->row_error || !s->scratch)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            s->a[turn ? c * rows + r : r * cols + c] = w[r * cols + c];
    rbe_white_gaussian(s->scratch, p * n, 1);
    for (size_t i = 0; i < p * n; i++)
        s->q[i] = s->scratch[i];
    return RBE_OK;
}

size_t rbe_svd_memory(uint32_t rows, uint32_t cols, uint32_t rank, unsigned threads)
{
    const size_t m = rows > cols ? rows : cols, n = rows < cols ? rows : cols;
    const size_t p = (size_t)rank + EXTRA < n ? (size_t)rank + EXTRA : n;

    return (m * n + (rank ? rank : 1) * n + threads * n + p * n) * sizeof(float) +
           (n * n + 2 * p * n + 2 * p * p + m) * sizeof(double);
}

enum rbe_status rbe_svd_error(double *error, const float *w, uint32_t rows, uint32_t cols,
                              uint32_t rank, float *approximation, struct rbe_pool *pool,
                              struct rbe_diag *d)
{
    const unsigned threads = pool ? rbe_pool_threads(pool) : 1;
    struct svd_work s = {.m = rows > cols ? rows : cols, .n = rows < cols ? rows : cols,
                         .rank = rank, .turn = rows < cols, .out = approximation};
    enum rbe_status err;
    double e2 = 0, w2 = 0;

    *error = 0;
    if (rank > s.n)
        return rbe_fail(d, RBE_ERR_ARG, "a %u x %u matrix has no rank %u", rows, cols, rank);
    s.p = s.rank + EXTRA < s.n ? s.rank + EXTRA : s.n;
    if ((err = alloc_work(&s, w, rows, cols, threads, d)))
        goto out;
    if (rank) {
        rbe_pool_run(pool, do_gram, &s);
        for (int round = 0; round < ROUNDS; round++) {
            if (rbe_interrupted()) {
                err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
                goto out;
            }
            orthonormalise(s.q, s.p, s.n);
            rbe_pool_run(pool, do_apply, &s);
            memcpy(s.q, s.gq, s.p * s.n * sizeof *s.q);
        }
        orthonormalise(s.q, s.p, s.n);
        if ((err = ritz(&s, pool, d)))
            goto out;
    }
    rbe_pool_run(pool, do_errors, &s);
    for (size_t r = 0; r < s.m; r++)
        e2 += s.row_error[r];
    for (size_t i = 0; i < s.m * s.n; i++)
        w2 += (double)s.a[i] * s.a[i];
    *error = e2 > 0 ? sqrt(e2 / w2) : 0;
out:
    free(s.a);
    free(s.gram);
    free(s.q);
    free(s.gq);
    free(s.v);
    free(s.row_error);
    free(s.scratch);
    return err;
}

/*
 * case_dense.c - the dense library's product of two matrices.
 *
 * SPDX-License-Identifier: MIT
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/rows.h"
#include "bench/case.h"
#include "kernels/cpu.h"
#include "model/dense.h"

struct dense {
    struct rbe_case base;
    size_t m, n, k;
    float *a, *b, *c; /* [m][k], [k][n], [m][n] */
};

static enum rbe_status make(struct rbe_case *base, struct rbe_diag *d)
{
    struct dense *x = (struct dense *)base;

    x->a = malloc(x->m * x->k * sizeof *x->a);
    x->b = malloc(x->k * x->n * sizeof *x->b);
    x->c = malloc(x->m * x->n * sizeof *x->c);
    if (!x->a || !x->b || !x->c)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < x->m * x->k; i++)
        x->a[i] = (float)(i * 2654435761U >> 16 & 0xFF) / 256 - 0.5F;
    for (size_t i = 0; i < x->k * x->n; i++)
        x->b[i] = (float)(i * 2246822519U >> 16 & 0xFF) / 256 - 0.5F;
    return RBE_OK;
}

static void dense_part(void *arg, unsigned i, unsigned n)
{
    const struct dense *x = arg;
    size_t begin, end;

    rbe_split(x->n, 64, i, n, &begin, &end);
    if (begin < end)
        rbe_sgemm(false, false, x->m, end - begin, x->k, 1, x->a, x->k, x->b + begin, x->n, 0,
                  x->c + begin, x->n);
}

static void one_dense(struct rbe_case *base)
{
    rbe_pool_run(rbe_case_team(base)->pool, dense_part, base);
}

/* A few elements, in double, to the bound for any order. */
static enum rbe_status verify(struct rbe_case *base, struct rbe_diag *d)
{
    const struct dense *x = (const struct dense *)base;
    const size_t m = x->m, n = x->n, k = x->k;
    const double u = FLT_EPSILON / 2, g = (double)k * u / (1 - (double)k * u);

    one_dense(base);
    for (size_t e = 0; e < 1000; e++) {
        const size_t i = e * 7919 % m, j = e * 104729 % n;
        double sum = 0, sum_abs = 0;
        for (size_t t = 0; t < k; t++) {
            const double v = (double)x->a[i * k + t] * x->b[t * n + j];
            sum += v;
            sum_abs += fabs(v);
        }
        if (!(fabs(x->c[i * n + j] - sum) <= g * sum_abs))
            return rbe_fail(d, RBE_ERR_NUMERIC, "element %zu, %zu: got %.9g, want %.9g", i, j,
                            (double)x->c[i * n + j], sum);
    }
    return RBE_OK;
}

static void report(const struct rbe_case *c, struct rbe_gbench_state *g, double per)
{
    rbe_gbench_counter(g, RBE_KEY(gflops), 2e-9 * c->weights / per);
}

static void close_dense(struct rbe_case *base)
{
    struct dense *x = (struct dense *)base;

    free(x->a);
    free(x->b);
    free(x->c);
}

static const struct rbe_case_kind kind = {
    .name = "dense", .size = sizeof(struct dense), .make = make, .verify = verify,
    .iterate = one_dense, .report = report, .close = close_dense};

enum rbe_status rbe_suite_dense(struct rbe_suite *s, size_t m, size_t n, size_t k,
                                unsigned threads, struct rbe_diag *d)
{
    struct rbe_case *c;
    const enum rbe_status err = rbe_case_new(&c, s, &kind, threads, d);
    struct dense *x = (struct dense *)c;

    if (err)
        return err;
    x->m = m;
    x->n = n;
    x->k = k;
    c->weights = c->multiply_adds = (double)m * (double)n * (double)k;
    c->arithmetic = RBE_PROBE_FMA_F32;
    c->isa = rbe_cpu_isa();
    rbe_case_name(c, "dense_sgemm/%zux%zux%zu/t:%u", m, n, k, threads);
    rbe_case_facts(c, "gemm", "f32", "library", -1);
    return rbe_case_register(c, d);
}

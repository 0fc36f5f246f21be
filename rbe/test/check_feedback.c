/*
 * check_feedback.c - the factors behind error feedback against textbook properties.
 *
 * SPDX-License-Identifier: MIT
 *
 * H^-1 = U^T D U with U of unit diagonal gives H = V D^-1 V^T, V = U^-1.  Row r of V can be
 * seen from outside: it is what feedback makes of a weight of 1 in column r when every column
 * is rounded to 0.  Textbook: V and D^-1 from the last column to the first.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/test/check.h"
#include "rbe/feedback.h"

#define DAMPING 0.02F
#define DEFAULT_DAMPING 0.01    /* what 0 stands for (feedback.h) */

/* Correlated inputs of very different size. */
static float *moment(size_t n, struct check_rng *rng)
{
    float *h = malloc(n * n * sizeof *h), *size = malloc(n * sizeof *size);

    for (size_t i = 0; i < n; i++)
        size[i] = 1 + (float)check_below(rng, 9);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            h[i * n + k] = powf(0.8F, fabsf((float)i - (float)k)) * size[i] * size[k];
    free(size);
    return h;
}

/* V [n][n] by place, as feedback has it. */
static float *seen(const float *h, size_t n, float damping, struct rbe_pool *pool,
                   size_t *order)
{
    float *w = calloc(n * n, sizeof *w), *v = malloc(n * n * sizeof *v);
    int16_t *none = calloc(n, sizeof *none);
    struct rbe_feedback *f = NULL;
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_feedback_open(&f, h, n, n, damping, pool, &d)))
        printf("     %s\n", d.text);
    for (size_t i = 0; f && i < n; i++) {
        order[i] = rbe_feedback_column(f, i);
        w[order[i] * n + i] = 1;
    }
    for (size_t i = 0; f && i < n; i++) {
        rbe_feedback_before(f, i, w, n, 0, n);
        rbe_feedback_after(f, i, w, none, 1, n, 0, n);
        for (size_t r = 0; r < n; r++)
            v[r * n + i] = w[order[i] * n + r];
    }
    rbe_feedback_close(&f);
    free(none);
    free(w);
    return v;
}

static void check_factor(size_t n, float damping, struct check_rng *rng)
{
    const double added = damping > 0 ? (double)damping : DEFAULT_DAMPING;
    float *h = moment(n, rng);
    double *v = calloc(n * n, sizeof *v), *inverse = malloc(n * sizeof *inverse), mean = 0;
    size_t *order = malloc(n * sizeof *order);
    struct rbe_pool *pool = NULL;
    struct rbe_diag d = {""};

    CHECK(!rbe_pool_open(&pool, 3, &d));
    float *alone = seen(h, n, damping, NULL, order);
    float *shared = seen(h, n, damping, pool, order);
    CHECK(!memcmp(alone, shared, n * n * sizeof *alone));
    for (size_t i = 0; i < n; i++)
        mean += (double)h[i * n + i] / (double)n;
    double worst = 0;
    for (size_t j = n; j-- > 0;)
        for (size_t i = j + 1; i-- > 0;) {
            double s = (double)h[order[i] * n + order[j]];
            if (i == j)
                s += added * mean;
            for (size_t k = j + 1; k < n; k++)
                s -= inverse[k] * v[i * n + k] * v[j * n + k];
            if (i == j)
                inverse[j] = s;
            v[i * n + j] = s / inverse[j];
            worst = fmax(worst, fabs(v[i * n + j] - (double)alone[i * n + j]));
        }
    /* Floats, summed over n columns; entries of V are of order 1 and at most 9. */
    CHECK(worst <= 1e-4);
    rbe_pool_close(&pool);
    free(alone);
    free(shared);
    free(order);
    free(inverse);
    free(v);
    free(h);
}

/* --- down a column ------------------------------------------------------------------------ */

/*
 * Errors of a first chunk, then of later ones what is left when each meets its target: together
 * they must be those of least cost, G n = 0 in the later rows.  And what an error of one row of
 * a chunk costs is what it costs when later rows repair what they can of it.
 */
static void check_rows(size_t n, size_t chunk, struct check_rng *rng)
{
    float *g = moment(n, rng), *cost = malloc(n * sizeof *cost);
    float *scale = malloc(n * sizeof *scale), *error = malloc(n * sizeof *error);
    float *target = malloc(n * sizeof *target);
    struct rbe_row_feedback *f = NULL;
    struct rbe_diag d = {""};
    double worst = 0, off = 0;

    for (size_t i = 0; i < n; i++)
        scale[i] = 0.5F + check_unit(rng) / 4;
    if (!CHECK(!rbe_row_feedback_open(&f, g, n, scale, n, chunk, cost, NULL, &d))) {
        printf("     %s\n", d.text);
        return;
    }
    CHECK(rbe_row_feedback_chunk(f, 0) == 0);
    for (size_t b = 0; rbe_row_feedback_chunk(f, b) < n; b++) {
        const size_t first = rbe_row_feedback_chunk(f, b);
        const size_t end = rbe_row_feedback_chunk(f, b + 1);
        const size_t one = first + check_below(rng, (uint32_t)(end - first));
        double all = 0;

        memset(target, 0, n * sizeof *target);
        memset(error, 0, n * sizeof *error);
        error[one] = 1;
        for (size_t c = b; rbe_row_feedback_chunk(f, c) < n; c++) {
            const size_t from = rbe_row_feedback_chunk(f, c);
            const size_t to = rbe_row_feedback_chunk(f, c + 1);

            CHECK(to > from && to - from <= chunk + chunk / 2);
            for (size_t m = from; m < to && c > b; m++)
                error[m] = -target[m];  /* wanted 0, took the target itself */
            rbe_row_feedback_pass(f, from, to, error, target);
        }
        for (size_t m = 0; m < n; m++) {
            double s = 0, size = 0;
            for (size_t k = 0; k < n; k++) {
                const double v = (double)g[m * n + k] * (double)scale[m] * (double)scale[k];
                s += v * (double)error[k];
                size += fabs(v * (double)error[k]);
            }
            all += s * (double)error[m];
            if (m >= end)
                worst = fmax(worst, fabs(s) / size);
        }
        off = fmax(off, fabs(all - (double)cost[one]) / (double)cost[one]);
    }
    /* Floats, each sum of up to n of them. */
    CHECK(worst <= 1e-4);
    CHECK(off <= 1e-3);
    rbe_row_feedback_close(&f);
    free(target);
    free(error);
    free(scale);
    free(cost);
    free(g);
}

/* A row without a scale neither passes on nor takes over; a matrix that is none is refused. */
static void check_rows_alone(struct check_rng *rng)
{
    enum { N = 40, CHUNK = 8 };
    float *g = moment(N, rng), scale[N], cost[N], error[N] = {0}, target[N] = {0};
    struct rbe_row_feedback *f = NULL;
    struct rbe_diag d = {""};

    for (size_t i = 0; i < N; i++)
        scale[i] = i == 3 || i == 20 ? 0 : 1;
    CHECK(!rbe_row_feedback_open(&f, g, N, scale, N, CHUNK, cost, NULL, &d));
    error[3] = 1;
    rbe_row_feedback_pass(f, 0, CHUNK, error, target);
    for (size_t i = 0; i < N; i++)
        CHECK(target[i] == 0);
    error[4] = 1;
    rbe_row_feedback_pass(f, 0, CHUNK, error, target);
    CHECK(target[20] == 0 && target[CHUNK] != 0);
    rbe_row_feedback_close(&f);
    g[5 * N + 5] = -1;
    CHECK(rbe_row_feedback_open(&f, g, N, scale, N, CHUNK, cost, NULL, &d) ==
          RBE_ERR_NUMERIC && !f);
    free(g);
}

int main(int argc, char **argv)
{
    /* Around the sizes of tiles and slabs, 4 and 64. */
    static const size_t sizes[] = {1, 2, 3, 5, 32, 63, 64, 65, 67, 131, 200};
    struct check_rng rng = check_seed(argc, argv);

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_factor(sizes[i], i % 2 ? 0 : DAMPING, &rng);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t chunk = 1; chunk <= 64; chunk *= 4)
            check_rows(sizes[i], chunk, &rng);
    check_rows_alone(&rng);
    return check_done();
}

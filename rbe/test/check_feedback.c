/*
 * check_feedback.c - the factor behind error feedback against a textbook decomposition.
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

int main(int argc, char **argv)
{
    /* Around the sizes of tiles and slabs, 4 and 64. */
    static const size_t sizes[] = {1, 2, 3, 5, 32, 63, 64, 65, 67, 131, 200};
    struct check_rng rng = check_seed(argc, argv);

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_factor(sizes[i], i % 2 ? 0 : DAMPING, &rng);
    return check_done();
}

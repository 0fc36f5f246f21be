/*
 * check_optimizer.c - steps computed by hand, clipping, orthogonality, exact resumption.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "train/optimizer.h"

static struct rbe_optimizer *open_optimizer(const struct rbe_optimizer_span *s, size_t n,
                                            struct rbe_optimizer_options o,
                                            struct rbe_pool *pool)
{
    struct rbe_optimizer *out;
    struct rbe_diag d;

    if (rbe_optimizer_open(&out, s, n, o, pool, &d)) {
        printf("FAIL open: %s\n", d.text);
        exit(1);
    }
    return out;
}

/* Two steps of AdamW: beta1 0.5, beta2 0.75, eps 0, decay 0.1, rate 0.1.
 * Step 1, g = 2: m = 1, v = 1, corrected 2 and 4, moved by 0.1 * 2 / 2; p = 1 - 0.01 - 0.1.
 * Step 2, g = -2: m = -0.5, v = 1.75, corrected -2/3 and 4: p = 0.89 * 0.99 + 0.1 / 3. */
static void check_adam(struct rbe_pool *pool)
{
    float p[3] = {1, 1, 1}, g[3] = {2, 2, 2};
    const struct rbe_optimizer_span spans[] = {{p, g, 1, 1, RBE_ADAMW, 1, 1},
                                               {p + 1, g + 1, 1, 1, RBE_ADAMW, 2, 0},
                                               {p + 2, g + 2, 1, 1, RBE_ADAMW, 0, 1}};
    struct rbe_optimizer *o = open_optimizer(
        spans, 3, (struct rbe_optimizer_options){.beta1 = 0.5F, .beta2 = 0.75F, .eps = 1e-20F,
                                                 .decay = 0.1F}, pool);
    double norm;
    size_t n;

    g[2] = NAN;                 /* not moved: not read either */
    CHECK(!rbe_optimizer_step(o, 0.1F, 0, &norm, NULL));
    CHECK_NEAR(norm, sqrt(8), 1e-12);
    CHECK_NEAR(p[0], 0.89, 1e-6);
    CHECK_NEAR(p[1], 0.8, 1e-6);
    CHECK(p[2] == 1);
    g[0] = g[1] = -2;
    CHECK(!rbe_optimizer_step(o, 0.1F, 0, &norm, NULL));
    CHECK_NEAR(p[0], 0.89 * 0.99 + 0.1 / 3, 1e-6);
    CHECK_NEAR(p[1], 0.8 + 0.2 / 3, 1e-6);
    CHECK(rbe_optimizer_steps(o, &n)[0] == 2 && rbe_optimizer_steps(o, &n)[2] == 0 && n == 3);

    /* A span that starts later counts its own steps: the first moves by the rate. */
    rbe_optimizer_set(o, 2, 1, 0);
    rbe_optimizer_set(o, 1, 0, 0);
    g[2] = 5;
    const float was = p[1];
    CHECK(!rbe_optimizer_step(o, 0.1F, 0, &norm, NULL));
    CHECK_NEAR(p[2], 0.9, 1e-6);
    CHECK(p[1] == was);
    g[0] = INFINITY;
    CHECK(rbe_optimizer_step(o, 0.1F, 0, &norm, NULL) == RBE_ERR_NUMERIC);
    CHECK_NEAR(p[2], 0.9, 1e-6);
    rbe_optimizer_close(&o);
}

/* Gradients (3, 4) clipped to norm 1 are (0.6, 0.8); one moment step shows them. */
static void check_clip(struct rbe_pool *pool)
{
    float p[2] = {0, 0}, g[2] = {3, 4};
    const struct rbe_optimizer_span span = {p, g, 1, 2, RBE_ADAMW, 1, 1};
    const struct rbe_optimizer_options options = {.beta1 = 0.5F, .beta2 = 0.5F};
    double norm;
    size_t n;

    for (int k = 0; k < 2; k++) {
        struct rbe_optimizer *o = open_optimizer(&span, 1, options, pool);
        CHECK(!rbe_optimizer_step(o, 0.1F, k ? 10 : 1, &norm, NULL));
        const float *m = rbe_optimizer_state(o, &n);
        CHECK(n == 4);
        CHECK_NEAR(norm, 5, 1e-6);
        CHECK_NEAR(m[0], k ? 1.5 : 0.3, 1e-6);
        CHECK_NEAR(m[1], k ? 2 : 0.4, 1e-6);
        CHECK_NEAR(m[2], k ? 4.5 : 0.18, 1e-6);
        rbe_optimizer_close(&o);
    }
}

/* One singular value s through five steps of x <- 3.4445 x - 4.775 x^3 + 2.0315 x^5. */
static double newton(double s)
{
    for (int i = 0; i < 5; i++)
        s = 3.4445 * s - 4.7750 * s * s * s + 2.0315 * s * s * s * s * s;
    return s;
}

/* A gradient with known singular vectors: u1, u2 and v1, v2 orthonormal, values 3 and 4.
 * Normed to Frobenius 1 they are 0.6 and 0.8, and each goes its own way. */
static void check_muon(size_t rows, size_t cols, struct rbe_pool *pool)
{
    float *p = malloc(rows * cols * sizeof *p), *g = malloc(rows * cols * sizeof *g);
    const struct rbe_optimizer_span span = {p, g, rows, cols, RBE_MUON, 0.5F, 2};
    struct rbe_optimizer *o = open_optimizer(
        &span, 1, (struct rbe_optimizer_options){.decay = 0.1F}, pool);
    const double scale = 0.2 * sqrt((double)(rows > cols ? rows : cols)), rate = 0.02 * 0.5;
    double norm, worst = 0;

    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) {
            const double u1 = cos(M_PI * ((double)r + 0.5) / (double)rows);
            const double v1 = cos(M_PI * ((double)c + 0.5) / (double)cols);
            const double size = 1 / sqrt((double)(rows * cols));
            g[r * cols + c] = (float)((3 * sqrt(2) * u1 * sqrt(2) * v1 + 4) * size);
            p[r * cols + c] = 1;
        }
    CHECK(!rbe_optimizer_step(o, 0.02F, 0, &norm, NULL));
    CHECK_NEAR(norm, 5, 1e-4);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) {
            const double u1 = cos(M_PI * ((double)r + 0.5) / (double)rows);
            const double v1 = cos(M_PI * ((double)c + 0.5) / (double)cols);
            const double size = 1 / sqrt((double)(rows * cols));
            const double step = (newton(0.6) * 2 * u1 * v1 + newton(0.8)) * size;
            worst = fmax(worst, fabs((double)p[r * cols + c] -
                                     (1 - rate * 0.2 - rate * scale * step)));
        }
    CHECK_NEAR(worst, 0, 2e-6);
    /* A zero gradient moves nothing but by momentum; from the start, nothing but decay. */
    rbe_optimizer_close(&o);
    o = open_optimizer(&span, 1, (struct rbe_optimizer_options){.decay = 0}, pool);
    memset(g, 0, rows * cols * sizeof *g);
    const float was = p[1];
    CHECK(!rbe_optimizer_step(o, 0.02F, 1, &norm, NULL) && norm == 0 && p[1] == was);
    rbe_optimizer_close(&o);
    free(p);
    free(g);
}

/* --- resumption --------------------------------------------------------------------------- */

enum { ROWS = 70, COLS = 33, VECTOR = 150001, ALL = 2 * ROWS * COLS + VECTOR };

static void fill(float *v, size_t n, uint64_t seed)
{
    struct check_rng rng = {seed};

    for (size_t i = 0; i < n; i++)
        v[i] = check_unit(&rng);
}

static struct rbe_optimizer *three(float *p, const float *g, struct rbe_pool *pool)
{
    const struct rbe_optimizer_span spans[] = {
        {p, g, ROWS, COLS, RBE_MUON, 1, 1},
        {p + ROWS * COLS, g + ROWS * COLS, 1, VECTOR, RBE_ADAMW, 1, 1},
        {p + ROWS * COLS + VECTOR, g + ROWS * COLS + VECTOR, ROWS, COLS, RBE_ADAMW, 0.3F, 0}};

    CHECK(rbe_optimizer_bytes(spans, 3) > (ALL + VECTOR) * sizeof(float));
    return open_optimizer(spans, 3, (struct rbe_optimizer_options){.decay = 0.01F}, pool);
}

static void steps(struct rbe_optimizer *o, float *g, uint64_t from, uint64_t to)
{
    double norm;

    for (uint64_t i = from; i < to; i++) {
        fill(g, ALL, 100 + i);
        CHECK(!rbe_optimizer_step(o, 0.01F, 2, &norm, NULL));
    }
}

/* Six steps at once and three and three, with the state carried over by hand; and with
 * another number of threads: only Muon's products may then differ, and only in rounding. */
static void check_resume(struct rbe_pool *pool)
{
    float *a = malloc(ALL * sizeof *a), *b = malloc(ALL * sizeof *b);
    float *c = malloc(ALL * sizeof *c), *g = calloc(ALL, sizeof *g);
    struct rbe_optimizer *o = three(a, g, pool), *p = three(b, g, pool), *q;
    size_t floats, spans, same;

    fill(a, ALL, 9);
    fill(b, ALL, 9);
    fill(c, ALL, 9);
    steps(o, g, 0, 6);
    steps(p, g, 0, 3);
    q = three(b, g, pool);
    const float *state = rbe_optimizer_state(p, &floats);
    const uint64_t *counts = rbe_optimizer_steps(p, &spans);
    memcpy(rbe_optimizer_state(q, &same), state, floats * sizeof *state);
    CHECK(same == floats && floats == 3 * ROWS * COLS + 2 * VECTOR);
    memcpy(rbe_optimizer_steps(q, &same), counts, spans * sizeof *counts);
    CHECK(same == spans && spans == 3 && counts[0] == 3);
    rbe_optimizer_close(&p);
    steps(q, g, 3, 6);
    CHECK(!memcmp(a, b, ALL * sizeof *a));
    rbe_optimizer_close(&q);
    rbe_optimizer_close(&o);

    o = three(c, g, NULL);
    steps(o, g, 0, 6);
    CHECK(!memcmp(a + ROWS * COLS, c + ROWS * COLS, (ALL - ROWS * COLS) * sizeof *a));
    for (size_t i = 0; i < ROWS * COLS; i++)
        CHECK_NEAR(c[i], a[i], 1e-5);
    rbe_optimizer_close(&o);
    free(a);
    free(b);
    free(c);
    free(g);
}

static void check_errors(void)
{
    float p[4], g[4];
    const struct rbe_optimizer_span row = {p, g, 1, 4, RBE_MUON, 1, 1};
    const struct rbe_optimizer_span fine = {p, g, 1, 4, RBE_ADAMW, 1, 1};
    enum rbe_optimizer_kind k;
    struct rbe_optimizer *o;

    CHECK(rbe_optimizer_open(&o, &row, 1, (struct rbe_optimizer_options){0}, NULL, NULL) ==
          RBE_ERR_ARG && !o);
    CHECK(rbe_optimizer_open(&o, &fine, 1, (struct rbe_optimizer_options){.beta1 = 1}, NULL,
                             NULL) == RBE_ERR_ARG && !o);
    CHECK(rbe_optimizer_open(&o, &fine, 1, (struct rbe_optimizer_options){.decay = NAN}, NULL,
                             NULL) == RBE_ERR_ARG && !o);
    CHECK(!rbe_optimizer_named(&k, "muon", NULL) && k == RBE_MUON);
    CHECK(!rbe_optimizer_named(&k, "adamw", NULL) && k == RBE_ADAMW);
    CHECK(rbe_optimizer_named(&k, "sgd", NULL) == RBE_ERR_ARG);
}

int main(int argc, char **argv)
{
    struct rbe_pool *pool;

    check_seed(argc, argv);
    if (rbe_cpu_init() || rbe_pool_open(&pool, 2, NULL))
        return 1;
    check_adam(pool);
    check_clip(pool);
    check_muon(24, 40, pool);
    check_muon(90, 17, pool);
    check_muon(32, 32, NULL);
    check_resume(pool);
    check_errors();
    rbe_pool_close(&pool);
    return check_done();
}

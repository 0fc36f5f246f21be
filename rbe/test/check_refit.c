/*
 * check_refit.c - row and column scales: at the least of the error, which is written out here.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/f16.h"
#include "kernels/test/check.h"
#include "rbe/refit.h"

/* Neither is a multiple of a tile, and both have more than one. */
enum { ROWS = 331, COLS = 150 };

static struct check_rng rng;

struct problem {
    float w[ROWS * COLS], h[COLS * COLS], importance[ROWS], scratch[ROWS * COLS];
    float row[ROWS], col[COLS];
    int16_t g[COLS * ROWS];
    struct rbe_refit f;
};

/* Codes are w over true scales, rounded; the scales given are off by up to a quarter. */
static void fill(struct problem *p, bool moment, bool importance)
{
    float row[ROWS], col[COLS];

    for (size_t m = 0; m < ROWS; m++) {
        row[m] = 0.02F * (1 + (float)(m % 5));
        p->row[m] = row[m] * (1 + check_unit(&rng) / 4);
        p->importance[m] = m % 3 ? 1 : 20;
    }
    for (size_t n = 0; n < COLS; n++) {
        col[n] = 1 + (float)(n % 4);
        p->col[n] = col[n] * (1 + check_unit(&rng) / 4);
        for (size_t k = 0; k < COLS; k++)
            p->h[n * COLS + k] = powf(0.9F, fabsf((float)n - (float)k)) *
                                 (1 + (float)(n % 7)) * (1 + (float)(k % 7));
    }
    for (size_t m = 0; m < ROWS; m++)
        for (size_t n = 0; n < COLS; n++) {
            const float v = 5 * check_unit(&rng);
            p->w[m * COLS + n] = row[m] * col[n] * v;
            p->g[n * ROWS + m] = (int16_t)lrintf(v);
        }
    p->f = (struct rbe_refit){
        .rows = ROWS, .cols = COLS, .w = p->w, .g = p->g, .moment = moment ? p->h : NULL,
        .importance = importance ? p->importance : NULL, .scratch = p->scratch, .row = p->row,
        .col = p->col, .col_unit = 0x1p-8F,
    };
}

static double cost_of_row(const struct problem *p, size_t m)
{
    double e[COLS], sum = 0;

    for (size_t n = 0; n < COLS; n++) {
        e[n] = (double)p->w[m * COLS + n] -
               (double)p->row[m] * (double)p->col[n] * p->g[n * ROWS + m];
        if (!p->f.moment)
            sum += e[n] * e[n];
    }
    for (size_t n = 0; p->f.moment && n < COLS; n++)
        for (size_t k = 0; k < COLS; k++)
            sum += e[n] * e[k] * (double)p->h[n * COLS + k];
    return sum * (p->f.importance ? (double)p->importance[m] : 1);
}

static double cost(const struct problem *p)
{
    double sum = 0;

    for (size_t m = 0; m < ROWS; m++)
        sum += cost_of_row(p, m);
    return sum;
}

/* Any row and a few columns, 1 % up or down, cost more.  Columns that H makes small are not
 * asked: the ridge holds them back. */
static void check_least(struct problem *p)
{
    for (size_t m = 0; m < ROWS; m++) {
        const float s = p->row[m];
        const double at = cost_of_row(p, m);

        p->row[m] = s * 1.01F;
        CHECK(cost_of_row(p, m) > at);
        p->row[m] = s * 0.99F;
        CHECK(cost_of_row(p, m) > at);
        p->row[m] = s;
    }
    const double at = cost(p);
    for (size_t n = 5; n < COLS; n += 7) {
        const float s = p->col[n];

        p->col[n] = s * 1.01F;
        CHECK(cost(p) > at);
        p->col[n] = s * 0.99F;
        CHECK(cost(p) > at);
        p->col[n] = s;
    }
}

static void check_refit(bool moment, bool importance)
{
    struct problem *p = malloc(sizeof *p), *rows = malloc(sizeof *rows);

    fill(p, moment, importance);
    *rows = *p;
    rows->f.row = rows->row;
    rows->f.col_unit = 0;
    const double before = cost(p);
    CHECK(rbe_refit_scales(&rows->f, NULL, NULL) == RBE_OK);
    CHECK(memcmp(rows->col, p->col, sizeof p->col) == 0);
    CHECK(rbe_refit_scales(&p->f, NULL, NULL) == RBE_OK);
    const double by_rows = cost(rows), by_both = cost(p);
    printf("moment %d, importance %d: error %.4g, %.4g with rows fitted, %.4g with columns\n",
           moment, importance, before, by_rows, by_both);
    CHECK(by_rows < before);
    CHECK(by_both < 0.7 * by_rows);
    for (size_t n = 0; n < COLS; n++) {
        const float at = p->col[n] * p->f.col_unit;
        CHECK(fabsf(rbe_f16_to_f32(rbe_f16_from_f32(at)) - at) <= 1e-6F * at);
    }
    check_least(p);
    free(rows);
    free(p);
}

static void check_threads_agree(void)
{
    struct problem *alone = malloc(sizeof *alone), *p = malloc(sizeof *p);
    const struct check_rng start = rng;

    fill(alone, true, true);
    CHECK(rbe_refit_scales(&alone->f, NULL, NULL) == RBE_OK);
    for (unsigned t = 2; t <= 3; t++) {
        struct rbe_pool *pool = NULL;

        rng = start;
        fill(p, true, true);
        CHECK(rbe_pool_open(&pool, t, NULL) == RBE_OK);
        CHECK(rbe_refit_scales(&p->f, pool, NULL) == RBE_OK);
        CHECK(memcmp(p->row, alone->row, sizeof p->row) == 0);
        CHECK(memcmp(p->col, alone->col, sizeof p->col) == 0);
        rbe_pool_close(&pool);
    }
    free(p);
    free(alone);
}

/* Codes that are all zero say nothing of their scales. */
static void check_zeros(void)
{
    struct problem *p = malloc(sizeof *p);

    fill(p, true, false);
    for (size_t m = 0; m < ROWS; m++)
        p->g[3 * ROWS + m] = 0;
    for (size_t n = 0; n < COLS; n++)
        p->g[n * ROWS + 5] = 0;
    const float row = p->row[5], col = p->col[3];
    CHECK(rbe_refit_scales(&p->f, NULL, NULL) == RBE_OK);
    CHECK(p->row[5] == row);
    CHECK_NEAR((double)p->col[3], (double)col, 1e-3 * (double)col);
    memset(p->g, 0, sizeof p->g);
    CHECK(rbe_refit_scales(&p->f, NULL, NULL) == RBE_OK);
    for (size_t n = 0; n < COLS; n++)
        CHECK(p->col[n] > 0 && isfinite(p->col[n]));
    free(p);
}

int main(int argc, char **argv)
{
    rng = check_seed(argc, argv);
    check_refit(false, false);
    check_refit(false, true);
    check_refit(true, false);
    check_refit(true, true);
    check_threads_agree();
    check_zeros();
    return check_done();
}

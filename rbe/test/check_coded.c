/*
 * check_coded.c - <rbe/codec.h>: products agree with decoded rows, on one thread and on two;
 * what is impossible is refused.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <rbe/codec.h>
#include <string.h>

#include "kernels/test/check.h"
#include "rbe/quality.h"

enum { ROWS = 256, COLS = 128, COUNT = 5 };

static float w[ROWS * COLS], x[COUNT * COLS];

static void agree(const struct rbe_coding *how, struct rbe_pool *pool)
{
    static float y[COUNT * ROWS], alone[COUNT * ROWS], one[ROWS], row[COLS];
    struct rbe_coded *c;
    struct rbe_diag d = {""};
    double far = 0, error = 0;

    CHECK(rbe_coded_open(&c, w, ROWS, COLS, how, pool, &d) == RBE_OK);
    CHECK(rbe_coded_multiply(c, x, COUNT, y, pool, &d) == RBE_OK);
    CHECK(rbe_coded_multiply(c, x, COUNT, alone, NULL, &d) == RBE_OK);
    CHECK(!memcmp(y, alone, sizeof y));
    CHECK(rbe_coded_multiply(c, x + COLS, 1, one, pool, &d) == RBE_OK);
    for (uint32_t r = 0; r < ROWS; r++) {
        rbe_coded_row(c, r, row);
        for (int i = 0; i < COLS; i++)
            error += pow((double)row[i] - (double)w[r * COLS + (uint32_t)i], 2);
        for (int t = 0; t < COUNT; t++) {
            double sum = 0;
            for (int i = 0; i < COLS; i++)
                sum += (double)row[i] * (double)x[t * COLS + i];
            far = fmax(far, fabs(sum - (double)y[t * ROWS + (int)r]));
            if (t == 1)
                far = fmax(far, fabs(sum - (double)one[r]));
        }
    }
    CHECK(far < 0.02);
    CHECK(rbe_coded_bytes(c) > 0 && rbe_coded_bytes(c) <= sizeof w);
    /* Of weights with variance one, a third of a byte each leaves little. */
    CHECK(error / (ROWS * COLS) < (3 * rbe_coded_bytes(c) >= ROWS * COLS ? 0.1 : 1.05));
    CHECK(!strncmp(rbe_coded_kernel(c), "gemv_", 5) && strstr(rbe_coded_kernel(c), how->codec));
    rbe_coded_close(&c);
    CHECK(!c);
}

static void refuse(struct rbe_coding how, uint32_t rows, enum rbe_status want)
{
    struct rbe_coded *c = (struct rbe_coded *)w;
    struct rbe_diag d = {""};

    CHECK(rbe_coded_open(&c, w, rows, COLS, &how, NULL, &d) == want);
    CHECK(!c && d.text[0]);
}

int main(void)
{
    static const struct rbe_coding all[] = {
        {.codec = "f32"}, {.codec = "f16"}, {.codec = "int8"}, {.codec = "int4"},
        {.codec = "int4", .hadamard = 64}, {.codec = "seed", .block = 32, .search = "fast"},
        {.codec = "seed", .block = 44, .hadamard = 128, .search = "fast"},
        {.codec = "seed4", .block = 32, .search = "fast"},
        {.codec = "hybrid", .block = 16, .k = 8}, {.codec = "packed128", .block = 16}};
    struct rbe_pool *pool;
    struct rbe_diag d = {""};

    CHECK(rbe_init(&d) == RBE_OK);
    CHECK(rbe_pool_open(&pool, 2, &d) == RBE_OK);
    rbe_white_gaussian(w, ROWS * COLS, 1);
    rbe_white_gaussian(x, COUNT * COLS, 2);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        agree(&all[i], pool);
    refuse((struct rbe_coding){.codec = "int5"}, ROWS, RBE_ERR_ARG);
    refuse((struct rbe_coding){.codec = NULL}, ROWS, RBE_ERR_ARG);
    refuse((struct rbe_coding){.codec = "seed", .block = 32, .search = "hard"}, ROWS,
           RBE_ERR_ARG);
    refuse((struct rbe_coding){.codec = "int4", .hadamard = 48}, ROWS, RBE_ERR_ARG);
    w[5] = NAN;
    refuse((struct rbe_coding){.codec = "int4"}, ROWS, RBE_ERR_NUMERIC);
    rbe_pool_close(&pool);
    return check_done();
}

/*
 * check_quality.c - error, rate and guards against values worked out by hand.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/quality.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/test/check.h"

/* 2 x 2: w = 3, 4, 0, 0; decoded 3, 5, 0, 0. */
static void hand_values(void)
{
    static const float decoded[4] = {3, 5, 0, 0}, w[4] = {3, 4, 0, 0};
    struct rbe_part part = {
        .m = {.format = RBE_F32, .rows = 2, .cols = 2, .codes = decoded, .code_bytes = 16}};
    const struct rbe_weight enc = {.rows = 2, .cols = 2, .part_count = 1, .parts = &part,
                                   .bytes = 16};
    const float h[4] = {2, 1, 1, 2};
    struct rbe_diag d = {""};
    struct rbe_quality q;
    double cost = -1;

    CHECK(rbe_quality_measure(&q, w, &enc, NULL, &d) == RBE_OK);
    CHECK(q.weights == 4 && q.bytes == 16 && q.noisy_rows == 0);
    CHECK_NEAR(q.bits, 32, 0);
    CHECK_NEAR(q.ratio, 1, 0);
    CHECK_NEAR(q.rms, 2.5, 1e-15);              /* sqrt(25 / 4) */
    CHECK_NEAR(q.rmse, 0.5, 1e-15);             /* sqrt(1 / 4) */
    CHECK_NEAR(q.relative_rmse, 0.2, 1e-15);
    CHECK_NEAR(q.psnr_db, 20 * log10(8), 1e-12);
    CHECK_NEAR(q.bound, 1 / 4294967296.0, 0);
    /* e = (0, 1): e H e = 2; w = (3, 4): 2*9 + 2*12 + 2*16 = 74. */
    CHECK(rbe_quality_cost(&cost, w, &enc, h, NULL, &d) == RBE_OK);
    CHECK_NEAR(cost, 2.0 / 74, 1e-15);

    CHECK(rbe_quality_measure(&q, decoded, &enc, NULL, &d) == RBE_OK);
    CHECK(q.relative_rmse == 0 && isinf(q.psnr_db));
    static const float zero[4];
    CHECK(rbe_quality_measure(&q, zero, &enc, NULL, &d) == RBE_OK);
    CHECK(q.noisy_rows == 1 && q.lost_rows == 0);
    CHECK(isinf(q.relative_rmse));              /* something for nothing: no ratio */
}

static void guards(void)
{
    /* Tiles of 2: {1, 3, 1, 3}: mean 2, error 4 of 20; {2, 2}: none of 8. */
    static const float w[6] = {1, 3, 2, 1, 3, 2};
    static const float ones[4] = {1, 1, 1, 1};

    CHECK_NEAR(rbe_block_mean_error(w, 2, 3, 2), sqrt(4.0 / 28), 1e-15);
    CHECK_NEAR(rbe_block_mean_error(ones, 2, 2, 16), 0, 0);
    CHECK_NEAR(rbe_rate_bound(0), 1, 0);
    CHECK_NEAR(rbe_rate_bound(2), 0.25, 0);
    /* The claim of codecs.md 1: 128 bits for 64 x 64 weights. */
    CHECK_NEAR(rbe_rate_bound(128 / 4096.0), 0.979, 0.001);
    CHECK(rbe_level_by_name("Ultra") == RBE_LEVEL_ULTRA);
    CHECK(rbe_level_by_name("ultra?") == RBE_LEVEL_COUNT);
    CHECK_NEAR(rbe_level_psnr_db(RBE_LEVEL_HIGH), 40, 0);
}

static void gaussian(void)
{
    enum { N = 200000 };
    static float w[N];
    double m1 = 0, m2 = 0, m4 = 0, lag = 0;

    rbe_white_gaussian(w, N, 7);
    for (int i = 0; i < N; i++) {
        const double x = w[i];
        m1 += x, m2 += x * x, m4 += x * x * x * x;
        lag += i ? x * w[i - 1] : 0;
    }
    /* Five standard errors: 1, sqrt 2, sqrt 96 and 1 over sqrt N. */
    CHECK_NEAR(m1 / N, 0, 5 / sqrt(N));
    CHECK_NEAR(m2 / N, 1, 5 * sqrt(2.0 / N));
    CHECK_NEAR(m4 / N, 3, 5 * sqrt(96.0 / N));
    CHECK_NEAR(lag / N, 0, 5 / sqrt(N));

    struct rbe_encode_options o = {.format = RBE_F32, .hadamard = 32, .sign_seed = 3};
    struct rbe_diag d = {""};
    struct rbe_quality q;
    CHECK(rbe_quality_encode(&q, w, 33, 96, &o, NULL, &d) == RBE_OK);
    /* Rotated and back: six roundings each way. */
    CHECK(q.relative_rmse > 0 && q.relative_rmse < 12 * FLT_EPSILON);
}

static void rotation(void)
{
    enum { N = 96, BLOCK = 32 };
    float x[2][N], y[2][N];
    double before = 0, after = 0, dot0 = 0, dot1 = 0;

    rbe_white_gaussian(x[0], 2 * N, 5);
    memcpy(y, x, sizeof y);
    rbe_rotate(y[0], N, 2, N, BLOCK, 42);
    for (int i = 0; i < N; i++) {
        before += (double)x[0][i] * x[0][i], after += (double)y[0][i] * y[0][i];
        dot0 += (double)x[0][i] * x[1][i], dot1 += (double)y[0][i] * y[1][i];
    }
    CHECK(memcmp(x, y, sizeof x) != 0);
    CHECK_NEAR(after, before, 1e-5 * before);           /* orthonormal: lengths */
    CHECK_NEAR(dot1, dot0, 1e-5 * before);              /* ... and angles stay */
    rbe_unrotate(y[0], N, 2, N, BLOCK, 42);
    for (int i = 0; i < N; i++)
        CHECK_NEAR(y[1][i], x[1][i], 1e-5);

    /* One-hot: +-1/sqrt(BLOCK) inside its block, zero outside. */
    float e[N] = {0};
    e[40] = 1;
    rbe_rotate(e, N, 1, N, BLOCK, 42);
    for (int i = 0; i < N; i++)
        CHECK_NEAR(fabs((double)e[i]), i / BLOCK == 1 ? 1 / sqrt(BLOCK) : 0, 1e-7);
    /* Another seed is another rotation. */
    memcpy(y, x, sizeof y);
    rbe_rotate(x[0], N, 1, N, BLOCK, 1);
    rbe_rotate(y[0], N, 1, N, BLOCK, 2);
    CHECK(memcmp(x[0], y[0], sizeof x[0]) != 0);
}

static void parts_and_errors(void)
{
    enum { R = 5, C = 8 };
    float w[R + 1][C], row[C];
    const struct rbe_encode_part parts[2] = {{2, RBE_F32, 0, 0}, {3, RBE_F32, 0, 0}};
    struct rbe_encode_options o = {.part_count = 2, .parts = parts, .hadamard = 4};
    struct rbe_diag d = {""};
    struct rbe_weight enc;

    rbe_white_gaussian(w[0], (R + 1) * C, 9);
    CHECK(rbe_encode_weight(&enc, w[0], R, C, &o, NULL, &d) == RBE_OK);
    CHECK(enc.part_count == 2 && enc.parts[1].row0 == 2 && enc.bytes == R * sizeof w[0]);
    CHECK(enc.bytes == rbe_encode_bytes(R, C, &o));
    for (int r = 0; r < R; r++) {
        rbe_weight_decode_row(&enc, (size_t)r, row);
        for (int c = 0; c < C; c++)
            CHECK_NEAR(row[c], w[r][c], 1e-6);
    }
    rbe_weight_free(&enc);
    rbe_weight_free(&enc);

    CHECK(rbe_encode_weight(&enc, w[0], R - 1, C, &o, NULL, &d) == RBE_ERR_ARG);
    CHECK(rbe_encode_weight(&enc, w[0], R + 1, C, &o, NULL, &d) == RBE_ERR_ARG);
    CHECK(!enc.parts);
    o = (struct rbe_encode_options){.format = RBE_F32, .hadamard = 3};
    CHECK(rbe_encode_weight(&enc, w[0], R, C, &o, NULL, &d) == RBE_ERR_ARG);
    o.hadamard = 16;
    CHECK(rbe_encode_weight(&enc, w[0], R, C, &o, NULL, &d) == RBE_ERR_ARG);
    o.hadamard = 0;
    w[3][5] = NAN;
    CHECK(rbe_encode_weight(&enc, w[0], R, C, &o, NULL, &d) == RBE_ERR_NUMERIC);
    CHECK(strstr(d.text, "row 3, column 5") != NULL);
}

int main(void)
{
    hand_values();
    guards();
    gaussian();
    rotation();
    parts_and_errors();
    return check_done();
}

/*
 * check_encode_plain.c - f16, int8 and int4 encoders: hand values, error limits, guards.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "kernels/f16.h"
#include "kernels/test/check.h"
#include "rbe/encode.h"
#include "rbe/quality.h"

static void hand_values(void)
{
    /* max 7 and 14: int4 scales 1 and 2 in the two groups. */
    float w[64] = {7, -7, 3.4F, -3.6F, 0.4F};
    const float want[5] = {7, -7, 3, -4, 0};
    struct rbe_encode_options o = {.format = RBE_INT4};
    struct rbe_diag d = {""};
    struct rbe_weight enc;
    float row[64];

    w[32] = -14;
    w[33] = 5.1F;
    CHECK(rbe_encode_weight(&enc, w, 1, 64, &o, NULL, &d) == RBE_OK);
    rbe_weight_decode_row(&enc, 0, row);
    for (int i = 0; i < 5; i++)
        CHECK_NEAR(row[i], want[i], 0);
    CHECK_NEAR(row[32], -14, 0);
    CHECK_NEAR(row[33], 6, 0);
    rbe_weight_free(&enc);

    memset(w, 0, sizeof w);
    w[0] = 127, w[1] = -126.4F, w[63] = 0.6F;
    o.format = RBE_INT8;
    CHECK(rbe_encode_weight(&enc, w, 1, 64, &o, NULL, &d) == RBE_OK);
    rbe_weight_decode_row(&enc, 0, row);
    CHECK(row[0] == 127 && row[1] == -126 && row[62] == 0 && row[63] == 1);
    rbe_weight_free(&enc);

    o.format = RBE_F16;
    w[5] = 1 + 0x1p-12F;
    CHECK(rbe_encode_weight(&enc, w, 1, 64, &o, NULL, &d) == RBE_OK);
    rbe_weight_decode_row(&enc, 0, row);
    CHECK(row[0] == 127 && row[5] == 1 && row[63] == rbe_f16_to_f32(rbe_f16_from_f32(0.6F)));
    rbe_weight_free(&enc);
}

static void error_limits(void)
{
    static const struct {
        enum rbe_format f;
        double steps, worst;    /* half a step of the largest |w| a group can have */
    } cases[] = {{RBE_INT8, 127, 0.012}, {RBE_INT4, 7, 0.12}, {RBE_F16, 2048, 0.0003}};
    enum { R = 37, C = 200 };
    static float w[R * C], row[C];

    rbe_white_gaussian(w, R * C, 3);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct rbe_encode_options o = {.format = cases[k].f};
        struct rbe_diag d = {""};
        struct rbe_weight enc;
        struct rbe_quality q;
        double worst = 0;

        CHECK(rbe_encode_weight(&enc, w, R, C, &o, NULL, &d) == RBE_OK);
        CHECK(enc.bytes == rbe_encode_bytes(R, C, &o));
        for (size_t r = 0; r < R; r++) {
            rbe_weight_decode_row(&enc, r, row);
            for (size_t c = 0; c < C; c++)
                worst = fmax(worst, fabs((double)row[c] - w[r * C + c]));
        }
        /* |w| < 4.5 here; f16 rounds the scale by up to 2^-11. */
        CHECK(worst <= 4.5 / cases[k].steps * 0.502);
        CHECK(rbe_quality_measure(&q, w, &enc, NULL, &d) == RBE_OK);
        CHECK(q.relative_rmse < cases[k].worst);
        CHECK(q.relative_rmse >= q.bound);
        const double plain = q.relative_rmse;
        rbe_weight_free(&enc);

        o.scale_search = true;
        CHECK(rbe_encode_weight(&enc, w, R, C, &o, NULL, &d) == RBE_OK);
        CHECK(rbe_quality_measure(&q, w, &enc, NULL, &d) == RBE_OK);
        CHECK(q.relative_rmse <= plain && q.relative_rmse >= q.bound);
        printf("%s: relative RMSE %.5f, with scale search %.5f, bound %.5f\n",
               rbe_format_name(cases[k].f), plain, q.relative_rmse, q.bound);
        rbe_weight_free(&enc);
    }
}

static void bad_input(void)
{
    float w[4] = {1e9F, 0, 0, 0};
    struct rbe_encode_options o = {.format = RBE_F16};
    struct rbe_diag d = {""};
    struct rbe_weight enc;

    CHECK(rbe_encode_weight(&enc, w, 2, 2, &o, NULL, &d) == RBE_ERR_NUMERIC);
    CHECK(strstr(d.text, "row 0, column 0") != NULL);
    o.format = RBE_INT4;
    CHECK(rbe_encode_weight(&enc, w, 2, 2, &o, NULL, &d) == RBE_ERR_NUMERIC);
    memset(w, 0, sizeof w);
    o.scale_search = true;
    CHECK(rbe_encode_weight(&enc, w, 2, 2, &o, NULL, &d) == RBE_OK);
    float row[2] = {1, 1};
    rbe_weight_decode_row(&enc, 1, row);
    CHECK(row[0] == 0 && row[1] == 0);
    rbe_weight_free(&enc);
}

int main(void)
{
    hand_values();
    error_limits();
    bad_input();
    return check_done();
}

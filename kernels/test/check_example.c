/*
 * check_example.c - the worked examples of docs/CODECS.md, by the decoder itself.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kernels/f16.h"
#include "kernels/format/int4.h"
#include "kernels/format/seed.h"
#include "kernels/format/seedg.h"
#include "kernels/kernel.h"
#include "kernels/test/check.h"

enum { B = 44, COLS = 32, ROW = 3 };

/* Row 3 of a strip whose first column's seed begins with 0x1234, 0xABCD. */
static void check_strip(enum rbe_format format, int g)
{
    static uint16_t codes[RBE_SEED_WORDS * COLS], row_scale[B], col_scale[COLS];
    const struct rbe_matrix_size size = rbe_matrix_size(format, B, COLS, B, 0);
    float row[COLS];

    CHECK(size.codes <= sizeof codes);
    codes[0] = 0x1234;
    codes[COLS] = 0xABCD;
    for (int r = 0; r < B; r++)
        row_scale[r] = rbe_f16_from_f32(0.001F);
    for (int c = 0; c < COLS; c++)
        col_scale[c] = rbe_f16_from_f32(1.5F);
    const struct rbe_matrix w = {.format = format, .rows = B, .cols = COLS, .block = B,
                                 .codes = codes, .code_bytes = size.codes, .scale = row_scale,
                                 .col_scale = col_scale};
    rbe_decode_row(&w, ROW, row);
    /* The scales are rounded to f16, to 11 bits. */
    CHECK_NEAR(row[0], g * 0.001 * 1.5, 0.0005 * 0.001 * 1.5 * (g < 0 ? -g : g));
}

static void check_int4(void)
{
    uint16_t codes[32] = {[5] = 0x8F21}, scale[4];
    float row[128];

    for (int i = 0; i < 4; i++)
        scale[i] = rbe_f16_from_f32(1);
    const struct rbe_matrix w = {.format = RBE_INT4, .rows = 1, .cols = 128, .codes = codes,
                                 .code_bytes = sizeof codes, .scale = scale};
    rbe_decode_row(&w, 0, row);
    CHECK(row[5] == 1 && row[37] == 2 && row[69] == -1 && row[101] == -8 && row[6] == 0);
}

int main(void)
{
    CHECK(rbe_seed_bit(ROW, B) == 8);
    CHECK(rbe_seed_map(0xCD12) == -31);
    CHECK(rbe_seed4_map(0xCD12, ROW) == 12);
    check_strip(RBE_SEED, -31);
    check_strip(RBE_SEED4, 12);
    CHECK(rbe_seedg_map(0xCD12) == -122);
    check_strip(RBE_SEEDG, -122);
    check_int4();
    return check_done();
}

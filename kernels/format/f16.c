/*
 * f16.c - codes: f16 [rows][cols].
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/f16.h"

#include "kernels/format/format.h"

static struct rbe_matrix_size size(uint32_t rows, uint32_t cols, uint32_t block, uint32_t aux)
{
    (void)block, (void)aux;
    return (struct rbe_matrix_size){.codes = (size_t)rows * cols * sizeof(uint16_t)};
}

static void decode_row(const struct rbe_matrix *w, size_t r, float *out)
{
    const uint16_t *code = (const uint16_t *)w->codes + r * w->cols;

    for (size_t n = 0; n < w->cols; n++)
        out[n] = rbe_f16_to_f32(code[n]);
}

const struct rbe_format_ops rbe_format_f16 = {
    .size = size, .decode_row = decode_row, .fill = rbe_fill_halves};

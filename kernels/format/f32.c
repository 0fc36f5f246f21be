/*
 * f32.c - codes: float [rows][cols].
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kernels/format/format.h"

static struct rbe_matrix_size size(uint32_t rows, uint32_t cols, uint32_t block, uint32_t aux)
{
    (void)block, (void)aux;
    return (struct rbe_matrix_size){.codes = (size_t)rows * cols * sizeof(float)};
}

static void decode_row(const struct rbe_matrix *w, size_t r, float *out)
{
    memcpy(out, (const float *)w->codes + r * w->cols, w->cols * sizeof *out);
}

const struct rbe_format_ops rbe_format_f32 = {
    .size = size, .decode_row = decode_row, .fill = rbe_fill_floats};

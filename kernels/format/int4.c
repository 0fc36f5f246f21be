/*
 * int4.c - sizes and reference decoding of `int4` (layout in int4.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/format/int4.h"

#include "kernels/f16.h"
#include "kernels/format/format.h"

static struct rbe_matrix_size size(uint32_t rows, uint32_t cols, uint32_t block, uint32_t aux)
{
    (void)block, (void)aux;
    return (struct rbe_matrix_size){
        .codes = rows * rbe_int4_units(cols) * 32 * sizeof(uint16_t),
        .scale = rows * rbe_int4_groups(cols) * sizeof(uint16_t),
    };
}

static void decode_row(const struct rbe_matrix *w, size_t r, float *out)
{
    const uint16_t *scale = w->scale + r * rbe_int4_groups(w->cols);

    for (size_t n = 0; n < w->cols; n++)
        out[n] = rbe_f16_to_f32(scale[n / RBE_INT4_GROUP]) *
                 (float)rbe_int4_get(w->codes, w->cols, r, n);
}

const struct rbe_format_ops rbe_format_int4 = {.size = size, .decode_row = decode_row};

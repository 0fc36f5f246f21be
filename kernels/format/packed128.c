/*
 * packed128.c - sizes and reference decoding of `packed128` (layout in packed128.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/format/packed128.h"

#include "kernels/format/format.h"

static struct rbe_matrix_size size(uint32_t rows, uint32_t cols, uint32_t block, uint32_t aux)
{
    (void)aux;
    return (struct rbe_matrix_size){.codes = rbe_packed128_blocks(rows, block) *
                                             rbe_packed128_blocks(cols, block) *
                                             sizeof(struct rbe_packed128)};
}

static void decode_row(const struct rbe_matrix *w, size_t r, float *out)
{
    const struct rbe_packed128 *block =
        (const struct rbe_packed128 *)w->codes +
        r / w->block * rbe_packed128_blocks(w->cols, w->block);

    for (size_t n0 = 0; n0 < w->cols; n0 += w->block, block++) {
        const struct rbe_packed128_seed s = rbe_packed128_open(block);
        for (unsigned j = 0; j < w->block && n0 + j < w->cols; j++)
            out[n0 + j] =
                s.scale * rbe_packed128_value(&s, (unsigned)(r % w->block), j, w->block) +
                s.offset;
    }
}

const struct rbe_format_ops rbe_format_packed128 = {
    .size = size, .decode_row = decode_row, .fill = rbe_fill_floats};

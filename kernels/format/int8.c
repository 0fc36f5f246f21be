/*
 * int8.c - sizes and reference decoding of `int8` (layout in int8.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/format/int8.h"

#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "kernels/format/format.h"

static struct rbe_matrix_size size(uint32_t rows, uint32_t cols, uint32_t block, uint32_t aux)
{
    const size_t groups = rbe_int8_groups(cols);

    (void)block, (void)aux;
    return (struct rbe_matrix_size){.codes = rows * groups * RBE_INT8_GROUP,
                                    .scale = rows * groups * sizeof(uint16_t)};
}

static void decode_row(const struct rbe_matrix *w, size_t r, float *out)
{
    const size_t groups = rbe_int8_groups(w->cols);
    const int8_t *code = (const int8_t *)w->codes + rbe_int8_at(w->cols, r, 0);

    for (size_t n = 0; n < w->cols; n++)
        out[n] = rbe_f16_to_f32(w->scale[r * groups + n / RBE_INT8_GROUP]) * (float)code[n];
}

/* With DOTPROD activations are taken as two bytes. */
static double work(const struct rbe_kernel *k, uint32_t rows, uint32_t cols, uint32_t block,
                   uint32_t aux, uint32_t count, unsigned threads)
{
    (void)block, (void)aux, (void)threads;
    return (double)rows * cols * count * (k->isa & RBE_ISA_DOTPROD ? 2 : 1);
}

const struct rbe_format_ops rbe_format_int8 = {
    .size = size, .decode_row = decode_row, .work = work};

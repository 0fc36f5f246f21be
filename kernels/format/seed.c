/*
 * seed.c - sizes and reference decoding of `seed`, `seed4` and `seedg` (layout in seed.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/format/seed.h"

#include "kernels/body/unroll.h"
#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "kernels/format/seedg.h"
#include "kernels/format/format.h"

static struct rbe_matrix_size size(uint32_t rows, uint32_t cols, uint32_t block, uint32_t aux)
{
    (void)aux;
    return (struct rbe_matrix_size){
        .codes = rbe_seed_column_words(rows, block) * rbe_seed_groups(cols) * RBE_SEED_LANES *
                 sizeof(uint16_t),
        .scale = rows * sizeof(uint16_t),
        .col_scale = cols * sizeof(uint16_t),
    };
}

/* Word j of the streams of columns 0 to 31, or their first past the end; those of the next 32
 * columns stand *step words behind. */
static const uint16_t *words_at(const struct rbe_matrix *w, size_t j, size_t *step)
{
    const size_t words = rbe_seed_column_words(w->rows, w->block);
    const size_t strip = j < words ? j / 8 : 0, left = words - 8 * strip;
    const size_t in = j < words ? j % 8 : 0, of = left < 8 ? left : 8;

    *step = of * RBE_SEED_LANES;
    return (const uint16_t *)w->codes +
           (strip * rbe_seed_groups(w->cols) * 8 + in) * RBE_SEED_LANES;
}

/* The weights by the windows of row r: every token's embedding is one. */
INLINE void decode_row(const struct rbe_matrix *w, size_t r, float *out,
                       int32_t (*map)(uint16_t window, unsigned i))
{
    const unsigned i = (unsigned)(r % w->block), bit = rbe_seed_bit(i, w->block);
    const size_t j = r / w->block * 8 + bit / 16;
    const float s = rbe_f16_to_f32(w->scale[r]);
    size_t low_step, high_step;
    const uint16_t *low = words_at(w, j, &low_step), *high = words_at(w, j + 1, &high_step);

    for (size_t n = 0; n < w->cols; n += RBE_SEED_LANES, low += low_step, high += high_step)
        for (size_t k = 0; k < RBE_SEED_LANES && n + k < w->cols; k++) {
            const uint32_t both = (uint32_t)high[k] << 16 | low[k];
            const float c = w->col_scale ? rbe_f16_to_f32(w->col_scale[n + k]) : 1;
            out[n + k] = s * c * (float)map((uint16_t)(both >> bit % 16), i);
        }
}

INLINE int32_t map_seed(uint16_t window, unsigned i)
{
    (void)i;
    return rbe_seed_map(window);
}

INLINE int32_t map_seed4(uint16_t window, unsigned i)
{
    return rbe_seed4_map(window, i);
}

INLINE int32_t map_seedg(uint16_t window, unsigned i)
{
    (void)i;
    return rbe_seedg_map(window);
}

static void decode_seed(const struct rbe_matrix *w, size_t r, float *out)
{
    decode_row(w, r, out, map_seed);
}

static void decode_seed4(const struct rbe_matrix *w, size_t r, float *out)
{
    decode_row(w, r, out, map_seed4);
}

static void decode_seedg(const struct rbe_matrix *w, size_t r, float *out)
{
    decode_row(w, r, out, map_seedg);
}

/* A weight is the sum of two bytes; with DOTPROD activations of 16 bits are two as well. */
static double dot_bytes(const struct rbe_kernel *k)
{
    return k->bits == 8 ? 2 : k->isa & RBE_ISA_DOTPROD ? 4 : 1;
}

/* Sums that kernels/body/seed_gemv.h makes for each column: above B = 128 one for each window
 * in place of one for each row. */
static double shared_sums(uint32_t rows, uint32_t block)
{
    const uint32_t strips = (rows + block - 1) / block;
    const uint32_t last = rbe_seed_bit((rows - 1) % block, block) + 1;

    return 128.0 * (strips - 1) + last;
}

static double work_seed(const struct rbe_kernel *k, uint32_t rows, uint32_t cols,
                        uint32_t block, uint32_t aux, uint32_t count, unsigned threads)
{
    const bool shared = k->op != RBE_GEMM && k->isa && block > 128;

    (void)aux, (void)threads;
    return (shared ? shared_sums(rows, block) : rows) * count * cols * dot_bytes(k);
}

static double work_seed4(const struct rbe_kernel *k, uint32_t rows, uint32_t cols,
                         uint32_t block, uint32_t aux, uint32_t count, unsigned threads)
{
    (void)block, (void)aux, (void)threads;
    return (double)rows * cols * count * dot_bytes(k);
}

const struct rbe_format_ops rbe_format_seed = {
    .size = size, .decode_row = decode_seed, .work = work_seed, .is_fast = rbe_seed_is_fast};
const struct rbe_format_ops rbe_format_seed4 = {
    .size = size, .decode_row = decode_seed4, .work = work_seed4, .is_fast = rbe_seed_is_fast};
const struct rbe_format_ops rbe_format_seedg = {
    .size = size, .decode_row = decode_seedg, .work = work_seed, .is_fast = rbe_seed_is_fast};

/*
 * format.h - the code that each format brings for the rest: one struct per format.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_FORMAT_FORMAT_H
#define RBE_KERNELS_FORMAT_FORMAT_H

#include "kernels/kernel.h"

struct rbe_format_ops {
    /* As rbe_matrix_size(), of a block that the format takes. */
    struct rbe_matrix_size (*size)(uint32_t rows, uint32_t cols, uint32_t block, uint32_t aux);
    /* As rbe_decode_row(). */
    void (*decode_row)(const struct rbe_matrix *w, size_t r, float *out);
    /* Random codes of moderate finite weights into out, `size` bytes: what benchmarks multiply.
     * NULL: any bytes are such codes. */
    void (*fill)(uint32_t block, uint32_t aux, void *out, size_t size);
    /* Bytes at which such codes may be cut; NULL: anywhere, and they are alike for every block
     * and aux. */
    size_t (*record)(uint32_t block, uint32_t aux);
    /* Multiply-adds that a kernel does for a product, decoding not counted; NULL: one for each
     * weight and vector. */
    double (*work)(const struct rbe_kernel *k, uint32_t rows, uint32_t cols, uint32_t block,
                   uint32_t aux, uint32_t count, unsigned threads);
    /* Blocks that a budget may choose, of which more than others are fast; NULL: all alike. */
    bool (*is_fast)(unsigned block);
};

#define RBE_FORMAT(name, ...) extern const struct rbe_format_ops rbe_format_##name;
#include "kernels/formats.def"
#undef RBE_FORMAT

const struct rbe_format_ops *rbe_format_ops(enum rbe_format f);

/* Random numbers of `fill`, from a state that is not 0. */
static inline uint64_t rbe_fill_next(uint64_t *s)
{
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return *s * 0x2545F4914F6CDD1DULL;
}

static inline float rbe_fill_unit(uint32_t random)
{
    return (float)(int32_t)random * 0x1p-31F;
}

/* As `fill`: any bytes; f32 in -1..1; halves of either sign, 2^-6 <= |v| < 2^-5. */
void rbe_fill_bytes(uint32_t block, uint32_t aux, void *out, size_t size);
void rbe_fill_floats(uint32_t block, uint32_t aux, void *out, size_t size);
void rbe_fill_halves(uint32_t block, uint32_t aux, void *out, size_t size);

#endif

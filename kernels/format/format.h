/*
 * format.h - what each format tells the rest of the code; one struct per format.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_FORMAT_FORMAT_H
#define RBE_KERNELS_FORMAT_FORMAT_H

#include "kernels/kernel.h"

struct rbe_format_ops {
    /* As rbe_matrix_size(). */
    struct rbe_matrix_size (*size)(uint32_t rows, uint32_t cols, uint32_t block, uint32_t aux);
    /* As rbe_decode_row(). */
    void (*decode_row)(const struct rbe_matrix *w, size_t r, float *out);
    /* Largest |integer weight|, for formats that multiply in integers; 0 for the others. */
    int gmax;
    /* Columns one int32 sum spans: 0 for all of them. */
    uint32_t span;
    /* Rows a product may be split at are multiples of the block. */
    bool steps_by_block;
};

/* DO(NAME, name): every stored format. */
#define RBE_EACH_FORMAT(DO)                                                                    \
    DO(F32, f32) DO(F16, f16) DO(INT8, int8) DO(INT4, int4) DO(SEED, seed) DO(SEED4, seed4)    \
    DO(HYBRID, hybrid) DO(PACKED128, packed128)

#define RBE_FORMAT_OPS(NAME, name) extern const struct rbe_format_ops rbe_format_##name;
RBE_EACH_FORMAT(RBE_FORMAT_OPS)
#undef RBE_FORMAT_OPS

#endif

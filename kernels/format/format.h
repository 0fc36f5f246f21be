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

extern const struct rbe_format_ops rbe_format_f32, rbe_format_f16, rbe_format_int8,
    rbe_format_int4, rbe_format_seed, rbe_format_seed4, rbe_format_hybrid,
    rbe_format_packed128;

#endif

/*
 * int8.h - the stored layout of `int8`: bytes in groups of 128 columns.
 *
 * SPDX-License-Identifier: MIT
 *
 * codes: int8 [rows][groups = ceil(cols / 128)][128], zero past cols.
 * scale: f16 [rows][groups].
 * W[m][n] = scale[m][n / 128] * code.  The encoder stays within [-127, 127].
 *
 * Products: y = act.scale * sum of 16 lanes.  Lane l of group g sums, exactly in int32, the
 * products of columns 128 g + 32 k + 2 l and + 2 l + 1 for k = 0..3 (at most 8 * 128 * 32767
 * < 2^25); then in f32, group after group, lane += scale * (float)sum, rounded twice (no
 * FMA).  The lanes are added by halves: l and l + 8, then + 4, + 2, + 1.  Every kernel keeps
 * this order, so all of them agree bit for bit.
 */
#ifndef RBE_KERNELS_FORMAT_INT8_H
#define RBE_KERNELS_FORMAT_INT8_H

#include <stddef.h>

#include "kernels/formats.h"

static inline size_t rbe_int8_groups(size_t cols)
{
    return (cols + RBE_INT8_GROUP - 1) / RBE_INT8_GROUP;
}

/* Where the code of row r, column n lies; that row's scales start at r * rbe_int8_groups(). */
static inline size_t rbe_int8_at(size_t cols, size_t r, size_t n)
{
    return r * rbe_int8_groups(cols) * RBE_INT8_GROUP + n;
}

#endif

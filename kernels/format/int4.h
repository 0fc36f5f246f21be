/*
 * int4.h - the stored layout of `int4`: nibbles in groups of 32 columns.
 *
 * SPDX-License-Identifier: MIT
 *
 * Four groups form a unit of 128 columns, 64 bytes, 32 little-endian words:
 *
 *   word j of unit u:   | 15..12        | 11..8         | 7..4          | 3..0        |
 *   column 128 u +      | 96 + j        | 64 + j        | 32 + j        | j           |
 *
 * so one 512-bit register, shifted, gives the 32 columns of a group in order.  A nibble is a
 * signed number, two's complement, -8..7.
 *
 * codes: u16 [rows][units = ceil(cols / 128)][32], zero past cols.
 * scale: f16 [rows][4 * units], finite past the last group (zero, say).
 * W[m][n] = scale[m][n / 32] * code.
 *
 * Products: as in int8.h with groups of 32: lane l of group g is the exact int32 sum of
 * columns 32 g + 2 l and 32 g + 2 l + 1; lane += scale * (float)sum, rounded twice, group
 * after group; then the 16 lanes by halves.
 */
#ifndef RBE_KERNELS_FORMAT_INT4_H
#define RBE_KERNELS_FORMAT_INT4_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/formats.h"

enum { RBE_INT4_UNIT = 128 };

static inline size_t rbe_int4_units(size_t cols)
{
    return (cols + RBE_INT4_UNIT - 1) / RBE_INT4_UNIT;
}

/* Scales in a row. */
static inline size_t rbe_int4_groups(size_t cols)
{
    return 4 * rbe_int4_units(cols);
}

/* Index of the word that holds row r, column n. */
static inline size_t rbe_int4_word(size_t cols, size_t r, size_t n)
{
    return (r * rbe_int4_units(cols) + n / RBE_INT4_UNIT) * 32 + n % 32;
}

static inline int rbe_int4_get(const uint16_t *codes, size_t cols, size_t r, size_t n)
{
    const unsigned nibble = codes[rbe_int4_word(cols, r, n)] >> n % 128 / 32 * 4 & 15;
    return (int)(nibble ^ 8) - 8;
}

/* Sets a nibble that was zero; code in -8..7. */
static inline void rbe_int4_put(uint16_t *codes, size_t cols, size_t r, size_t n, int code)
{
    codes[rbe_int4_word(cols, r, n)] |= (uint16_t)((unsigned)code % 16 << n % 128 / 32 * 4);
}

#endif

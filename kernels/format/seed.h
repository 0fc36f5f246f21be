/*
 * seed.h - the stored layout of `seed` and `seed4`, and their generators (codecs.md 3).
 *
 * SPDX-License-Identifier: MIT
 *
 * A strip is one column and B consecutive rows, generated from 128 bits.  The strips of a
 * column are chained into one bit stream, little-endian; the stream is padded with zeros
 * past its last strip.  Row i of a strip reads the 16-bit window u that starts at bit
 * floor(128 i / B) of the strip.
 *
 * codes, u16: [strips = ceil(rows / B)][groups = ceil(cols / 32)][8 words][32 columns].
 * Word j of a strip holds its bits 16 j .. 16 j + 15.  So one 64-byte line is word j of 32
 * neighbouring columns, all at the same bit offset.  Columns past cols hold zero words and
 * meet zero activations.
 *
 * scale: f16 [rows].  col_scale: f16 [cols] or NULL.
 * W[m][n] = scale[m] * col_scale[n] * g.
 */
#ifndef RBE_KERNELS_FORMAT_SEED_H
#define RBE_KERNELS_FORMAT_SEED_H

#include <stddef.h>
#include <stdint.h>

enum {
    RBE_SEED_MIN_BLOCK = 16,
    RBE_SEED_MAX_BLOCK = 4096,
    RBE_SEED_WORDS = 8,             /* 16-bit words of a 128-bit seed */
    RBE_SEED_LANES = 32,            /* columns interleaved */
    RBE_SEED_GMAX = 256,            /* |g| <= 256: g is in [-256, 254] */
    RBE_SEED4_GMAX = 30,
};

static inline size_t rbe_seed_strips(size_t rows, size_t block)
{
    return (rows + block - 1) / block;
}

static inline size_t rbe_seed_groups(size_t cols)
{
    return (cols + RBE_SEED_LANES - 1) / RBE_SEED_LANES;
}

/* First bit of row i's window inside its strip, 0 <= i < B. */
static inline unsigned rbe_seed_bit(unsigned i, unsigned block)
{
    return 128 * i / block;
}

/* Two signed bytes: mean -1, standard deviation 104.5, triangular. */
static inline int rbe_seed_map(uint16_t u)
{
    const uint16_t h = (uint16_t)(u * 0xE37DU);
    return (int8_t)(h & 0xFF) + (int8_t)(h >> 8);
}

/* Four nibbles, with a row term: mean 0, standard deviation 9.22, closer to Gaussian. */
static inline int rbe_seed4_map(uint16_t u, unsigned i)
{
    const uint16_t h = (uint16_t)(u * 0x9E3BU + i * 0x6487U);
    return (h & 15) + (h >> 4 & 15) + (h >> 8 & 15) + (h >> 12) - 30;
}

#endif

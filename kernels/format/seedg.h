/*
 * seedg.h - the generator of `seedg`: the seeds of seed.h through a table.
 *
 * SPDX-License-Identifier: MIT
 *
 * h = the window, as a number with a sign, times the multiplier, doubled, rounded to its high
 * 16 bits: PMULHRSW and SQRDMULH make it in one step, and all bits of the window reach all bits
 * of it.  The low six bits of each byte of h take an entry of a table of 64; a weight is the
 * sum of the two entries.
 *
 * Entry i is base[i % 16] + i: the 16 stored numbers are quantiles of a normal distribution
 * less their places, and the two bits above them step by 16.  So one byte permute does it where
 * there is one of 64 bytes, and where there is one of 16 it takes one addition more.  The width
 * of the base, its order and the multiplier were found by trial (docs/log/KERNELS.md).
 */
#ifndef RBE_KERNELS_FORMAT_SEEDG_H
#define RBE_KERNELS_FORMAT_SEEDG_H

#include <stdint.h>

#define RBE_SEEDG_MULTIPLIER 0x9131U

static const int8_t rbe_seedg_base[16] = {
    19, -35, -83, -70, 61, -5, -47, -120, 25, -57, -1, -32, -69, -27, -41, -22};

/* Entry i of the 64. */
static inline int rbe_seedg_entry(unsigned i)
{
    return rbe_seedg_base[i % 16] + (int)i;
}

/* Mean about 0, standard deviation 66.2, close to Gaussian. */
static inline int rbe_seedg_map(uint16_t u)
{
    const uint32_t product = (uint32_t)(int16_t)u * (uint32_t)(int16_t)RBE_SEEDG_MULTIPLIER;
    const uint16_t h = (uint16_t)((product + 0x4000) >> 15);
    return rbe_seedg_entry(h & 63) + rbe_seedg_entry(h >> 8 & 63);
}

#endif

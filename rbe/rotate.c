/*
 * rotate.c - the randomised Hadamard rotation of a matrix's inputs.
 *
 * SPDX-License-Identifier: MIT
 *
 * Plain C and a fixed order of additions, so that every machine gets the same bits.
 */
#include <math.h>

#include "kernels/f16.h"
#include "rbe/container.h"

/* splitmix64's output function: 64 signs of columns 64 word .. 64 word + 63. */
static uint64_t sign_word(uint64_t seed, uint64_t word)
{
    uint64_t z = seed + (word + 1) * 0x9E3779B97F4A7C15ULL;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
}

static void flip_signs(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i += 64) {
        const uint64_t s = sign_word(seed, i / 64);
        const size_t end = n - i < 64 ? n - i : 64;

        for (size_t k = 0; k < end; k++) {
            const uint32_t sign = (uint32_t)(s >> k & 1) << 31;
            x[i + k] = rbe_f32_from_bits(rbe_bits_from_f32(x[i + k]) ^ sign);
        }
    }
}

/* Orthonormal fast Walsh-Hadamard transform of each block of n values; symmetric, so its
 * own inverse. */
static void hadamard(float *x, size_t n, size_t block)
{
    const float norm = (float)(1 / sqrt((double)block));

    for (size_t at = 0; at < n; at += block) {
        float *b = x + at;

        for (size_t half = 1; half < block; half *= 2)
            for (size_t i = 0; i < block; i += 2 * half)
                for (size_t k = i; k < i + half; k++) {
                    const float p = b[k], q = b[k + half];
                    b[k] = p + q;
                    b[k + half] = p - q;
                }
        for (size_t k = 0; k < block; k++)
            b[k] *= norm;
    }
}

void rbe_rotate(float *x, size_t ldx, size_t count, size_t n, uint32_t block,
                uint64_t sign_seed)
{
    for (size_t t = 0; t < count; t++) {
        flip_signs(x + t * ldx, n, sign_seed);
        hadamard(x + t * ldx, n, block);
    }
}

void rbe_unrotate(float *x, size_t ldx, size_t count, size_t n, uint32_t block,
                  uint64_t sign_seed)
{
    for (size_t t = 0; t < count; t++) {
        hadamard(x + t * ldx, n, block);
        flip_signs(x + t * ldx, n, sign_seed);
    }
}

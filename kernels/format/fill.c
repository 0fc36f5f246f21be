/*
 * fill.c - random codes that several formats share: bytes, floats and halves.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kernels/format/format.h"

enum { SEED = 20250131 };

void rbe_fill_bytes(uint32_t block, uint32_t aux, void *out, size_t size)
{
    uint64_t s = SEED;

    (void)block, (void)aux;
    for (size_t i = 0; i < size; i += 8) {
        const uint64_t r = rbe_fill_next(&s);
        memcpy((uint8_t *)out + i, &r, size - i < 8 ? size - i : 8);
    }
}

void rbe_fill_floats(uint32_t block, uint32_t aux, void *out, size_t size)
{
    uint64_t s = SEED;

    (void)block, (void)aux;
    for (size_t i = 0; i + 4 <= size; i += 8) {
        const uint64_t r = rbe_fill_next(&s);
        const float f[2] = {rbe_fill_unit((uint32_t)r), rbe_fill_unit((uint32_t)(r >> 32))};
        memcpy((uint8_t *)out + i, f, size - i < 8 ? 4 : 8);
    }
}

void rbe_fill_halves(uint32_t block, uint32_t aux, void *out, size_t size)
{
    uint64_t s = SEED;

    (void)block, (void)aux;
    for (size_t i = 0; i < size; i += 8) {
        const uint64_t r = (rbe_fill_next(&s) & 0x83FF83FF83FF83FFULL) | 0x2400240024002400ULL;
        memcpy((uint8_t *)out + i, &r, size - i < 8 ? size - i : 8);
    }
}

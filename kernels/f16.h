/*
 * f16.h - IEEE half precision in plain integer code, exact and the same on every machine.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_F16_H
#define RBE_KERNELS_F16_H

#include <stdint.h>
#include <string.h>

static inline float rbe_f32_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t rbe_bits_from_f32(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float rbe_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, man = h & 1023;

    if (exp == 31)
        return rbe_f32_from_bits(sign | 0x7F800000 | man << 13);
    if (exp == 0) {     /* subnormal: man * 2^-24 is exact in f32 */
        const float v = (float)man * 0x1p-24F;
        return sign ? -v : v;
    }
    return rbe_f32_from_bits(sign | (exp + 112) << 23 | man << 13);
}

/* Round to nearest, ties to even; overflow to infinity; NaN stays NaN. */
static inline uint16_t rbe_f16_from_f32(float f)
{
    const uint32_t u = rbe_bits_from_f32(f), sign = u >> 16 & 0x8000, a = u & 0x7FFFFFFF;

    if (a > 0x7F800000)
        return (uint16_t)(sign | 0x7E00);
    if (a >= 0x477FF000)        /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7C00);
    if (a < 0x38800000) {       /* below 2^-14: adding 0.5 leaves units of 2^-24 in the bits */
        const float v = rbe_f32_from_bits(a) + 0.5F;
        return (uint16_t)(sign | (rbe_bits_from_f32(v) - 0x3F000000));
    }
    const uint32_t r = a + 0xFFF + (a >> 13 & 1);
    return (uint16_t)(sign | (r - 0x38000000) >> 13);
}

#endif

/*
 * check_f16.c - half precision: all 65536 values there and back, and rounding at every tie.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>

#include "kernels/f16.h"
#include "kernels/test/check.h"

/* By definition, in double. */
static double value(unsigned h)
{
    const double sign = h & 0x8000 ? -1 : 1;
    const int exponent = h >> 10 & 31, mantissa = h & 1023;

    if (exponent == 31)
        return mantissa ? NAN : sign * INFINITY;
    return exponent ? sign * ldexp(1024 + mantissa, exponent - 25)
                    : sign * ldexp(mantissa, -24);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    unsigned wrong = 0;

    for (unsigned h = 0; h < 65536; h++) {
        const float f = rbe_f16_to_f32((uint16_t)h);
        const double want = value(h);
        if (isnan(want))
            wrong += !isnan(f) || !isnan(rbe_f16_to_f32(rbe_f16_from_f32(f)));
        else
            wrong += (double)f != want || !signbit(f) != (h < 0x8000) ||
                     rbe_f16_from_f32(f) != h;
    }
    CHECK(wrong == 0);

    /* Between neighbours: the tie goes to the even one, either side to the nearer one. */
    wrong = 0;
    for (unsigned h = 0; h < 0x7BFF; h++) {
        const float tie = (float)((value(h) + value(h + 1)) / 2);
        wrong += rbe_f16_from_f32(tie) != h + (h & 1);
        wrong += rbe_f16_from_f32(nextafterf(tie, 0)) != h;
        wrong += rbe_f16_from_f32(nextafterf(tie, INFINITY)) != h + 1;
        wrong += rbe_f16_from_f32(-tie) != (0x8000 | (h + (h & 1)));
    }
    CHECK(wrong == 0);
    CHECK(rbe_f16_from_f32(65519.996F) == 0x7BFF);
    CHECK(rbe_f16_from_f32(65520.0F) == 0x7C00);
    CHECK(rbe_f16_from_f32(-INFINITY) == 0xFC00);
    CHECK(rbe_f16_from_f32(0x1p-25F) == 0);
    CHECK(rbe_f16_from_f32(nextafterf(0x1p-25F, 1)) == 1);
    CHECK(rbe_f16_from_f32(-0.0F) == 0x8000);

    /* Any float: never further away than half a step. */
    wrong = 0;
    for (int i = 0; i < 1000000; i++) {
        const float f = rbe_f32_from_bits((uint32_t)check_next(&rng));
        if (!(fabsf(f) < 65504))
            continue;
        const double step = fmax(ldexp(1, ilogbf(f) - 10), 0x1p-24);
        wrong += !(fabs((double)rbe_f16_to_f32(rbe_f16_from_f32(f)) - (double)f) <= step / 2);
    }
    CHECK(wrong == 0);
    return check_done();
}

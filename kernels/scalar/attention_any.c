/*
 * attention_any.c - kernels/attention.h in registers that every CPU has, bytes one by one.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/scalar/simd_any.h"

#include "kernels/attention.h"
#include "kernels/body/unroll.h"
#include "kernels/list.h"
#include "kernels/body/attention_whole.h"

struct sums {
    uint32_t v[16];
};

INLINE struct sums sums_zero(void)
{
    return (struct sums){{0}};
}

INLINE struct sums sums_keys(struct sums s, const uint8_t *b, struct operand x, size_t g)
{
    for (int k = 0; k < 16; k++)
        for (int j = 0; j < 4; j++)
            s.v[k] += (uint32_t)(b[4 * k + j] * x.q[4 * g + (size_t)j]);
    return s;
}

INLINE struct sums sums_values(struct sums s, const int8_t *b, struct operand x, size_t g)
{
    for (int k = 0; k < 16; k++)
        for (int j = 0; j < 4; j++)
            s.v[k] += (uint32_t)(b[4 * k + j] * x.q[4 * g + (size_t)j]);
    return s;
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    memcpy(out, s.v, sizeof s.v);
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, any)

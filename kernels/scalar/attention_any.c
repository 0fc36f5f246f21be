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

enum { SUMS = 1 };

struct sums {
    uint32_t v[16];
};

struct bytes {
    const uint8_t *b;
};

struct four {
    const int16_t *q;
};

INLINE struct sums sums_zero(void)
{
    return (struct sums){{0}};
}

INLINE struct bytes bytes_load(const uint8_t *b)
{
    return (struct bytes){b};
}

INLINE struct four operand_four(struct operand x, size_t g)
{
    return (struct four){x.q + 4 * g};
}

INLINE struct sums sums_add(struct sums s, struct bytes b, struct four x)
{
    for (int k = 0; k < 16; k++)
        s.v[k] += (uint32_t)(b.b[4 * k] * x.q[0] + b.b[4 * k + 2] * x.q[1] +
                             b.b[4 * k + 1] * x.q[2] + b.b[4 * k + 3] * x.q[3]);
    return s;
}

INLINE void sums_store(int32_t out[16], struct sums s)
{
    memcpy(out, s.v, sizeof s.v);
}

#include "kernels/body/attention.h"

RBE_TABLE(attention, any)

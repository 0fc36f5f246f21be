/*
 * attention_bytes.h - operands of body/attention.h that are two signed bytes, 256 high + low.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_BODY_ATTENTION_BYTES_H
#define RBE_KERNELS_BODY_ATTENTION_BYTES_H

#include "kernels/attention.h"
#include "kernels/body/unroll.h"

struct operand {
    const int8_t *high, *low;
};

INLINE struct operand operand_keys(const struct rbe_kv_queries *q, size_t i, size_t n)
{
    return (struct operand){q->high + i * n, q->low + i * n};
}

/* Four neighbours, as one number. */
INLINE int32_t four_bytes(const int8_t *p, size_t g)
{
    int32_t q;

    memcpy(&q, p + 4 * g, sizeof q);
    return q;
}

#endif

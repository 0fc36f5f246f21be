/*
 * attention_whole.h - operands of body/attention.h that stay 16 bits wide.
 *
 * SPDX-License-Identifier: MIT
 *
 * Bytes 0 and 2 of four become words by a mask, bytes 1 and 3 by a shift; they meet the first
 * two numbers of four, and the others.
 */
#ifndef RBE_KERNELS_BODY_ATTENTION_WHOLE_H
#define RBE_KERNELS_BODY_ATTENTION_WHOLE_H

#include "kernels/attention.h"
#include "kernels/body/unroll.h"

enum { MOVED = 1 };

struct operand {
    const int16_t *q;
};

INLINE struct operand operand_keys(const struct rbe_kv_queries *q, size_t i, size_t n)
{
    return (struct operand){q->q + i * n};
}

INLINE struct operand operand_values(const int16_t *w, int8_t *room, size_t n)
{
    (void)room, (void)n;
    return (struct operand){w};
}

#endif

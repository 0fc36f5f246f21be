/*
 * words.h - 16-bit numbers that a register takes two by two.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_BODY_WORDS_H
#define RBE_KERNELS_BODY_WORDS_H

#include <stdint.h>
#include <string.h>

#include "kernels/body/unroll.h"

/* p[0] and p[1], as one number. */
INLINE int32_t two_words(const int16_t *p)
{
    int32_t q;

    memcpy(&q, p, sizeof q);
    return q;
}

#endif

/*
 * probe_scalar.c - one lane at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "bench/probe_list.h"

uint64_t rbe_probe_read_scalar(const void *p, size_t n)
{
    const uint64_t *w = p;
    uint64_t a = 0, b = 0, c = 0, d = 0;

    for (size_t i = 0; i < n / 8; i += 8) {
        a ^= w[i] ^ w[i + 1];
        b ^= w[i + 2] ^ w[i + 3];
        c ^= w[i + 4] ^ w[i + 5];
        d ^= w[i + 6] ^ w[i + 7];
    }
    return a ^ b ^ c ^ d;
}

uint64_t rbe_probe_fma_f32_scalar(const void *p, size_t n)
{
    float m = 0.75F, a = 0.5F, sum = 0;
    uint32_t bits;

    (void)p;
#define X(j) float s##j = (j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) s##j = s##j * m + a; RBE_OPAQUE(s##j);
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum += s##j;
    RBE_EACH12(X)
#undef X
    memcpy(&bits, &sum, sizeof bits);
    return bits;
}

uint64_t rbe_probe_dot_i16_scalar(const void *p, size_t n)
{
    int a = 3, b = 5;
    unsigned sum = 0;

    (void)p;
#define X(j) unsigned s##j = (j);
    RBE_EACH12(X)
#undef X
    for (size_t i = 0; i < n; i++) {
#define X(j) __asm__ volatile("" : "+r"(a)); s##j += (unsigned)(a * b);
        RBE_EACH12(X)
#undef X
    }
#define X(j) sum += s##j;
    RBE_EACH12(X)
#undef X
    return sum;
}

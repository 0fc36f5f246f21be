/*
 * elementwise.c - the functions of elementwise.h for any CPU, and the list of versions.
 *
 * SPDX-License-Identifier: MIT
 */
#define RBE_ELEMENTWISE rbe_elementwise_any
#define RBE_ELEMENTWISE_NAME "any"
#define RBE_ELEMENTWISE_ISA 0
#include "kernels/body/elementwise.h"

static const struct rbe_elementwise *const versions[] = {
    &rbe_elementwise_any,
#if defined(__x86_64__)
    &rbe_elementwise_avx2,
    &rbe_elementwise_avx512,
#endif
};
enum { VERSIONS = sizeof versions / sizeof versions[0] };

const struct rbe_elementwise *rbe_elementwise_at(size_t i)
{
    return i < VERSIONS ? versions[i] : NULL;
}

const struct rbe_elementwise *rbe_elementwise_best(uint32_t isa)
{
    const struct rbe_elementwise *best = versions[0];

    for (size_t i = 1; i < VERSIONS; i++)
        if (!(versions[i]->isa & ~isa))
            best = versions[i];
    return best;
}

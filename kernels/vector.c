/*
 * vector.c - the functions of vector.h for any CPU, and the list of versions.
 *
 * SPDX-License-Identifier: MIT
 */
#define RBE_VECTOR rbe_vector_any
#define RBE_VECTOR_NAME "any"
#define RBE_VECTOR_ISA 0
#include "kernels/body/vector.h"

static const struct rbe_vector *const versions[] = {
    &rbe_vector_any,
#if defined(__x86_64__)
    &rbe_vector_avx2,
    &rbe_vector_avx512,
#endif
};
enum { VERSIONS = sizeof versions / sizeof versions[0] };

const struct rbe_vector *rbe_vector_at(size_t i)
{
    return i < VERSIONS ? versions[i] : NULL;
}

const struct rbe_vector *rbe_vector_best(uint32_t isa)
{
    const struct rbe_vector *best = versions[0];

    for (size_t i = 1; i < VERSIONS; i++)
        if (!(versions[i]->isa & ~isa))
            best = versions[i];
    return best;
}

/*
 * transform.c - the list of versions of transform.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/transform.h"

static const struct rbe_transform *const versions[] = {
    &rbe_transform_scalar,
#if defined(__x86_64__)
    &rbe_transform_sse41,
    &rbe_transform_avx2,
    &rbe_transform_avx512,
#elif defined(__aarch64__)
    &rbe_transform_neon,
#endif
};
enum { VERSIONS = sizeof versions / sizeof versions[0] };

const struct rbe_transform *rbe_transform_at(size_t i)
{
    return i < VERSIONS ? versions[i] : NULL;
}

const struct rbe_transform *rbe_transform_best(uint32_t isa)
{
    const struct rbe_transform *best = versions[0];

    for (size_t i = 1; i < VERSIONS; i++)
        if (!(versions[i]->isa & ~isa))
            best = versions[i];
    return best;
}

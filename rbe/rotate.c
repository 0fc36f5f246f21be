/*
 * rotate.c - the randomised Hadamard rotation of a matrix's inputs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/cpu.h"
#include "kernels/transform.h"
#include "rbe/container.h"

void rbe_rotate(float *x, size_t ldx, size_t count, size_t n, uint32_t block,
                uint64_t sign_seed)
{
    const struct rbe_transform *f = rbe_transform_best(rbe_cpu_isa());

    for (size_t t = 0; t < count; t++)
        f->rotate(x + t * ldx, x + t * ldx, n, block, sign_seed);
}

void rbe_unrotate(float *x, size_t ldx, size_t count, size_t n, uint32_t block,
                  uint64_t sign_seed)
{
    const struct rbe_transform *f = rbe_transform_best(rbe_cpu_isa());

    for (size_t t = 0; t < count; t++) {
        f->hadamard(x + t * ldx, n, block);
        f->flip_signs(x + t * ldx, n, sign_seed);
    }
}

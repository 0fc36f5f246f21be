/*
 * trellis.c - the trellis step for any CPU, and the choice among those compiled in.
 *
 * SPDX-License-Identifier: MIT
 */
#define RBE_TRELLIS_OPS rbe_trellis_generic
#include "rbe/trellis_body.h"

#include "kernels/cpu.h"

const struct rbe_trellis_ops *rbe_trellis_best(uint32_t isa)
{
#if defined(__x86_64__)
    if (isa & RBE_ISA_AVX512)
        return &rbe_trellis_avx512;
    if (isa & RBE_ISA_AVX2)
        return &rbe_trellis_avx2;
#else
    (void)isa;
#endif
    return &rbe_trellis_generic;
}

/*
 * work.c - multiply-adds of a kernel.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/work.h"

#include "kernels/cpu.h"
#include "kernels/format/format.h"

struct rbe_work rbe_work_of(const struct rbe_kernel *k, uint32_t rows, uint32_t cols,
                            uint32_t block, uint32_t aux, uint32_t count, unsigned threads)
{
    const struct rbe_format_ops *ops = rbe_format_ops(k->format);

    return (struct rbe_work){
        .multiply_adds = ops->work ? ops->work(k, rows, cols, block, aux, count, threads)
                                   : (double)rows * cols * count,
        .kind = !rbe_format_facts(k->format)->gmax ? RBE_PROBE_FMA_F32
                : k->bits == 8 || k->isa & RBE_ISA_DOTPROD ? RBE_PROBE_DOT_I8
                                                           : RBE_PROBE_DOT_I16};
}

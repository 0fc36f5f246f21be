/*
 * work.c - multiply-adds of each format's kernels.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/work.h"

#include "kernels/cpu.h"
#include "kernels/format/hybrid.h"
#include "kernels/format/seed.h"

bool rbe_work_in_integers(enum rbe_format f)
{
    return f == RBE_INT8 || f == RBE_INT4 || f == RBE_SEED || f == RBE_SEED4;
}

/* Sums that kernels/body/seed_gemv.h makes for each column: above B = 128 one for each window
 * in place of one for each row. */
static double shared_sums(uint32_t rows, uint32_t block)
{
    const uint32_t strips = (rows + block - 1) / block;
    const uint32_t last = rbe_seed_bit((rows - 1) % block, block) + 1;

    return 128.0 * (strips - 1) + last;
}

/*
 * kernels/body/hybrid.h: for each column of blocks a transform of B x B, four sums and half
 * as much again for d, once in every thread; for each block K, B for d, and 45 that weigh the
 * basis functions; for each row of blocks three sums a row and a transform back.
 */
static double hybrid(uint32_t rows, uint32_t cols, uint32_t block, uint32_t aux,
                     uint32_t count, unsigned threads)
{
    const double b = block, wide = (double)((cols + block - 1) / block);
    const double high = (double)((rows + block - 1) / block);
    const double teams = threads < high ? threads : high;

    return count * (teams * wide * (1.5 * b * b + 4 * b) +
                    high * wide * ((double)rbe_hybrid_k(aux) + b + 45) +
                    high * (3 * b + b * b));
}

struct rbe_work rbe_work_of(const struct rbe_kernel *k, uint32_t rows, uint32_t cols,
                            uint32_t block, uint32_t aux, uint32_t count, unsigned threads)
{
    struct rbe_work w = {(double)rows * cols * count, RBE_PROBE_FMA_F32};

    if (k->format == RBE_HYBRID)
        w.multiply_adds = hybrid(rows, cols, block, aux, count, threads);
    if (!rbe_work_in_integers(k->format))
        return w;
    w.kind = RBE_PROBE_DOT_I16;
    if (k->op == RBE_GEMV && k->format == RBE_SEED && k->isa && block > 128)
        w.multiply_adds = shared_sums(rows, block) * cols;
    if (k->isa & RBE_ISA_DOTPROD) {
        /* Activations are two bytes; a weight of a seed is the sum of two as well. */
        w.kind = RBE_PROBE_DOT_I8;
        w.multiply_adds *= k->format == RBE_INT8 ? 2 : 4;
    }
    return w;
}

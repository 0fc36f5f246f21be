/*
 * registry.c - look-up in the one list.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/kernel.h"

#include <stdatomic.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/format/format.h"
#include "kernels/funnel.h"
#include "kernels/list.h"

/* The words of kernels.def as enumerators. */
enum { OP_gemv = RBE_GEMV, OP_gemv8 = RBE_GEMV, OP_gemv8u = RBE_GEMV };
enum { OP_few = RBE_FEW, OP_few8 = RBE_FEW, OP_few8u = RBE_FEW, OP_gemm = RBE_GEMM };
enum { BITS_gemv = 16, BITS_gemv8 = 8, BITS_gemv8u = 8 };
enum { BITS_few = 16, BITS_few8 = 8, BITS_few8u = 8, BITS_gemm = 16 };
enum { SUMS_gemv = 0, SUMS_gemv8 = 0, SUMS_gemv8u = 1 };
enum { SUMS_few = 0, SUMS_few8 = 0, SUMS_few8u = 1, SUMS_gemm = 0 };
enum {
#define RBE_FORMAT(name, NAME, ...) FORMAT_##name = RBE_##NAME,
#include "kernels/formats.def"
#undef RBE_FORMAT
};
enum { TABLE_transform, TABLE_elementwise, TABLE_attention, TABLE_vector, TABLE_trellis };

static const struct rbe_kernel kernels[] = {
#define RBE_KERNEL(op, format, isa)                                                            \
    RBE_ON(isa, {#op "_" #format "_" #isa, (enum rbe_op)OP_##op,                               \
                 (enum rbe_format)FORMAT_##format, RBE_BITS(isa),                              \
                 rbe_##op##_##format##_##isa, #isa, BITS_##op, SUMS_##op},)
#include "kernels/kernels.def"
};
enum { KERNEL_COUNT = sizeof kernels / sizeof kernels[0] };

const char *rbe_op_name(enum rbe_op op)
{
    static const char *const names[RBE_OP_COUNT] = {
        [RBE_GEMV] = "gemv", [RBE_GEMM] = "gemm", [RBE_FEW] = "few"};
    return names[op];
}

const struct rbe_kernel *rbe_kernel_at(size_t i)
{
    return i < KERNEL_COUNT ? &kernels[i] : NULL;
}

const struct rbe_kernel *rbe_kernel_by_name(const char *name)
{
    for (size_t i = 0; i < KERNEL_COUNT; i++)
        if (!strcmp(kernels[i].name, name))
            return &kernels[i];
    return NULL;
}

/* The bits of isa that make kernels faster on this CPU. */
static uint32_t worthwhile(uint32_t isa)
{
#if defined(__x86_64__)
    static atomic_int pays = -1;        /* measured once; two threads may both do it */
    const uint32_t needs = RBE_ISA_VBMI2 | RBE_ISA_VNNI;

    if ((isa & rbe_cpu_isa_unmasked() & needs) == needs) {
        if (pays < 0)
            pays = rbe_funnel_shift_pays();
        if (!pays)
            isa &= ~(uint32_t)RBE_ISA_VBMI2;
    }
#endif
    return isa;
}

const struct rbe_kernel *rbe_kernel_best_for(enum rbe_op op, enum rbe_format f, uint32_t isa,
                                             unsigned bits, bool sums)
{
    const struct rbe_kernel *best = NULL;

    if (rbe_format_facts(f)->weighs_funnel)
        isa = worthwhile(isa);
    for (size_t i = 0; i < KERNEL_COUNT; i++)
        if (kernels[i].op == op && kernels[i].format == f && kernels[i].bits >= bits &&
            (sums || !kernels[i].sums) && rbe_kernel_runs_on(&kernels[i], isa))
            best = &kernels[i];
    return best;
}

const struct rbe_kernel *rbe_kernel_best(enum rbe_op op, enum rbe_format f, uint32_t isa)
{
    return rbe_kernel_best_for(op, f, isa, 16, false);
}

/* --- versions of tables of functions ------------------------------------------------------ */

static const struct {
    int table;
    uint32_t isa;
    const void *version;
} versions[] = {
#define RBE_VERSION(table, isa)                                                                \
    RBE_ON(isa, {TABLE_##table, RBE_BITS(isa), &rbe_##table##_##isa},)
#include "kernels/kernels.def"
};
enum { VERSION_COUNT = sizeof versions / sizeof versions[0] };

static const void *version_at(int table, size_t i)
{
    for (size_t v = 0; v < VERSION_COUNT; v++)
        if (versions[v].table == table && i-- == 0)
            return versions[v].version;
    return NULL;
}

static const void *best_version(int table, uint32_t isa)
{
    const void *best = NULL;

    for (size_t v = 0; v < VERSION_COUNT; v++)
        if (versions[v].table == table && !(versions[v].isa & ~isa))
            best = versions[v].version;
    return best;
}

#define CHOOSE(table)                                                                          \
    const struct rbe_##table *rbe_##table##_at(size_t i)                                       \
    {                                                                                          \
        return version_at(TABLE_##table, i);                                                   \
    }                                                                                          \
                                                                                               \
    const struct rbe_##table *rbe_##table##_best(uint32_t isa)                                 \
    {                                                                                          \
        return best_version(TABLE_##table, isa);                                               \
    }
CHOOSE(transform)
CHOOSE(elementwise)
CHOOSE(attention)
CHOOSE(vector)
CHOOSE(trellis)

/*
 * registry.c - look-up in the one list.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/kernel.h"

#include <stdatomic.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/funnel.h"
#include "kernels/list.h"

static const struct rbe_kernel table[] = {
#define RBE_KERNEL(op, format, isa, op_enum, format_enum, bits)                                \
    {#op "_" #format "_" #isa, op_enum, format_enum, bits, rbe_##op##_##format##_##isa},
#include "kernels/kernels.def"
#undef RBE_KERNEL
};
enum { KERNEL_COUNT = sizeof table / sizeof table[0] };

const struct rbe_kernel *rbe_kernel_at(size_t i)
{
    return i < KERNEL_COUNT ? &table[i] : NULL;
}

const struct rbe_kernel *rbe_kernel_by_name(const char *name)
{
    for (size_t i = 0; i < KERNEL_COUNT; i++)
        if (!strcmp(table[i].name, name))
            return &table[i];
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

const struct rbe_kernel *rbe_kernel_best(enum rbe_op op, enum rbe_format f, uint32_t isa)
{
    const struct rbe_kernel *best = NULL;

    if (rbe_format_facts(f)->weighs_funnel)
        isa = worthwhile(isa);
    for (size_t i = 0; i < KERNEL_COUNT; i++)
        if (table[i].op == op && table[i].format == f && rbe_kernel_runs_on(&table[i], isa))
            best = &table[i];
    return best;
}

/*
 * init.c - <rbe/status.h>: the first call, and the version.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/status.h"
#include "base/version.h"
#include "kernels/cpu.h"
#include "kernels/kernel.h"

enum rbe_status rbe_init(struct rbe_diag *d)
{
    const char *bad = rbe_cpu_init();

    if (bad)
        return rbe_fail(d, RBE_ERR_ARG, "RBE_DISABLE_ISA: unknown name '%s'; valid: %s", bad,
                        rbe_isa_names());
    if ((bad = rbe_act_bits_init()))
        return rbe_fail(d, RBE_ERR_ARG, "RBE_ACTIVATIONS: '%s'; valid: 8, 16", bad);
    return RBE_OK;
}

const char *rbe_version(void)
{
    return RBE_VERSION;
}

/*
 * list.h - declares every kernel of kernels.def; a kernel file includes it, so that a wrong
 * signature does not compile.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_LIST_H
#define RBE_KERNELS_LIST_H

#include "kernels/cpu.h"
#include "kernels/kernel.h"

#define RBE_KERNEL(op, format, isa, op_enum, format_enum, bits)                                \
    rbe_product_fn rbe_##op##_##format##_##isa;
#include "kernels/kernels.def"
#undef RBE_KERNEL

#endif

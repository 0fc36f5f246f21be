/*
 * unroll.h - RBE_UNROLL before a loop of constant length: -O2 alone leaves its arrays of
 * registers in memory.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_BODY_UNROLL_H
#define RBE_KERNELS_BODY_UNROLL_H

#ifdef __clang__
#define RBE_UNROLL _Pragma("unroll")
#else
#define RBE_UNROLL _Pragma("GCC unroll 16")
#endif

#endif

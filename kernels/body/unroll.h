/*
 * unroll.h - what -O2 alone leaves undone: RBE_UNROLL before a loop of constant length, whose
 * arrays of registers stay in memory otherwise; INLINE before a function.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_BODY_UNROLL_H
#define RBE_KERNELS_BODY_UNROLL_H

#define INLINE static inline __attribute__((always_inline))

#ifdef __clang__
#define RBE_UNROLL _Pragma("unroll")
#else
#define RBE_UNROLL _Pragma("GCC unroll 16")
#endif

#endif

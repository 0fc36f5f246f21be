/*
 * unroll.h - what -O2 alone leaves undone: RBE_UNROLL before a loop of constant length, whose
 * arrays of registers stay in memory otherwise; INLINE before a function; weights asked for
 * before they are read.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_BODY_UNROLL_H
#define RBE_KERNELS_BODY_UNROLL_H

#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

#ifdef __clang__
#define RBE_UNROLL _Pragma("unroll")
#else
#define RBE_UNROLL _Pragma("GCC unroll 16")
#endif

/* How far ahead of their use integers that are read in order are asked for. */
enum { STREAM_AHEAD = 4096 };

/* Asks for the lines that lie STREAM_AHEAD bytes behind p..p + bytes; they may not exist. */
INLINE void stream_ahead(const void *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const void *)((uintptr_t)p + STREAM_AHEAD + i));
}

#endif

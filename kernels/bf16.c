/*
 * bf16.c - which products of bf16 this CPU has.
 *
 * SPDX-License-Identifier: MIT
 *
 * No bits of isa.h: the records of measurements name those, and nothing that is measured
 * multiplies bf16.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE             /* syscall() */
#endif
#include "kernels/bf16.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <pthread.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels/cpu.h"

extern const struct rbe_bf16 rbe_bf16_avx512bf16, rbe_bf16_amx;

static bool has_bf16, has_amx;

/* The kernel gives a process the tiles' registers when it asks. */
static bool ask_for_tiles(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };

    return !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA);
#else
    return false;
#endif
}

static void look(void)
{
    unsigned a, b, c, d;

    has_bf16 = __builtin_cpu_supports("avx512bf16");
    /* CPUID leaf 7: EDX bits 22 AMX_BF16, 24 AMX_TILE. */
    has_amx = has_bf16 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && d >> 22 & 1 &&
              d >> 24 & 1 && ask_for_tiles();
}

const struct rbe_bf16 *rbe_bf16_at(size_t i)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (!(rbe_cpu_isa() & RBE_ISA_AVX512))
        return NULL;
    pthread_once(&once, look);
    return i == 0 && has_bf16 ? &rbe_bf16_avx512bf16 : i == 1 && has_amx ? &rbe_bf16_amx : NULL;
}

#else

const struct rbe_bf16 *rbe_bf16_at(size_t i)
{
    (void)i;
    return NULL;
}

#endif

const struct rbe_bf16 *rbe_bf16_best(void)
{
    const struct rbe_bf16 *best = NULL, *v;

    for (size_t i = 0; (v = rbe_bf16_at(i)) != NULL; i++)
        best = v;
    return best;
}

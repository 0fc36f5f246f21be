/*
 * cpu.c - feature detection, the one place that decides.
 *
 * SPDX-License-Identifier: MIT
 *
 * Feature bits only: CPU model numbers lie in virtual machines.  __builtin_cpu_supports
 * asks XGETBV too, so a register file the OS does not save counts as absent.
 */
#include "kernels/cpu.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif
#ifdef __x86_64__
#include <cpuid.h>
#endif

static const struct {
    const char *name;
    uint32_t bit, needs;
} isas[] = {
#define ISA(name, NAME, number, needs) {#name, RBE_ISA_##NAME, needs},
    RBE_EACH_ISA(ISA)
#undef ISA
};
enum { ISA_COUNT = sizeof isas / sizeof isas[0] };

static uint32_t usable;

#ifdef __x86_64__
/* CPUID leaf 7.1, which has no name in gcc 12's builtin.  The registers are those of AVX2. */
static bool has_avxvnni(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && a >= 1 &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 4 & 1;
}
#endif

uint32_t rbe_cpu_isa_unmasked(void)
{
    uint32_t isa = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3"))
        isa |= RBE_ISA_SSE41;
    /* F16C has no name in gcc 12's builtin; every CPU with AVX2 has it. */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        isa |= RBE_ISA_AVX2;
    if ((isa & RBE_ISA_AVX2) && has_avxvnni())
        isa |= RBE_ISA_AVXVNNI;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        isa |= RBE_ISA_AVX512;
    if ((isa & RBE_ISA_AVX512) && __builtin_cpu_supports("avx512vnni"))
        isa |= RBE_ISA_VNNI;
    if ((isa & RBE_ISA_AVX512) && __builtin_cpu_supports("avx512vbmi") &&
        __builtin_cpu_supports("avx512vbmi2"))
        isa |= RBE_ISA_VBMI2;
#elif defined(__aarch64__) && defined(__APPLE__)
    int has = 0;
    size_t size = sizeof has;
    isa |= RBE_ISA_NEON;
    if (!sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, NULL, 0) && has)
        isa |= RBE_ISA_DOTPROD;
#elif defined(__aarch64__)
    const unsigned long caps = getauxval(AT_HWCAP);
    if (caps & (1 << 1))        /* HWCAP_ASIMD */
        isa |= RBE_ISA_NEON;
    if (caps & (1 << 20))       /* HWCAP_ASIMDDP */
        isa |= RBE_ISA_DOTPROD;
#endif
    return isa;
}

const char *rbe_cpu_init(void)
{
    static char unknown[32];
    const char *s = getenv("RBE_DISABLE_ISA");
    uint32_t mask = 0;

    while (s && *s) {
        const size_t n = strcspn(s, ",");
        bool found = n == 3 && !strncmp(s, "all", 3);
        if (found)
            mask = UINT32_MAX;
        for (size_t i = 0; i < ISA_COUNT; i++)
            if (strlen(isas[i].name) == n && !strncmp(s, isas[i].name, n)) {
                mask |= isas[i].bit;
                found = true;
            }
        if (!found && n) {
            snprintf(unknown, sizeof unknown, "%.*s", (int)(n < 31 ? n : 31), s);
            return unknown;
        }
        s += n + (s[n] == ',');
    }
    for (size_t i = 0; i < ISA_COUNT; i++)
        if (isas[i].needs & mask)       /* which stands before it in the list */
            mask |= isas[i].bit;
    usable = rbe_cpu_isa_unmasked() & ~mask;
    return NULL;
}

uint32_t rbe_cpu_isa(void)
{
    return usable;
}

char *rbe_isa_string(uint32_t isa, char *buf, size_t size)
{
    size_t used = 0;

    snprintf(buf, size, "scalar");
    for (size_t i = 0; i < ISA_COUNT; i++)
        if (isa & isas[i].bit && used < size)
            used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? "+" : "",
                                     isas[i].name);
    return buf;
}

const char *rbe_isa_names(void)
{
#define NAME(name, NAME, number, needs) #name ", "
    return RBE_EACH_ISA(NAME) "all";
#undef NAME
}

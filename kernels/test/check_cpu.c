/*
 * check_cpu.c - feature bits, their masking by $RBE_DISABLE_ISA, and look-up in the registry.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/elementwise.h"
#include "kernels/kernel.h"
#include "kernels/test/check.h"
#include "kernels/transform.h"
#include "kernels/trellis.h"
#include "kernels/vector.h"

static uint32_t masked(const char *names)
{
    setenv("RBE_DISABLE_ISA", names, 1);
    CHECK(rbe_cpu_init() == NULL);
    return rbe_cpu_isa();
}

static int refused(const char *names, const char *name)
{
    setenv("RBE_DISABLE_ISA", names, 1);
    const char *unknown = rbe_cpu_init();
    return unknown && !strcmp(unknown, name);
}

static void check_masking(uint32_t all)
{
    const uint32_t x86 = RBE_ISA_SSE41 | RBE_ISA_AVX2 | RBE_ISA_AVXVNNI | RBE_ISA_AVX512 |
                         RBE_ISA_VNNI | RBE_ISA_VBMI2;

    CHECK(masked("") == all);
    CHECK(masked("all") == 0);
    CHECK(masked("vnni") == (all & ~(uint32_t)RBE_ISA_VNNI));
    CHECK(masked("avx512") ==
          (all & ~(uint32_t)(RBE_ISA_AVX512 | RBE_ISA_VNNI | RBE_ISA_VBMI2)));
    CHECK(masked("avx2") == (all & ~(x86 & ~(uint32_t)RBE_ISA_SSE41)));
    CHECK(masked("avxvnni") == (all & ~(uint32_t)RBE_ISA_AVXVNNI));
    CHECK(masked("sse41") == (all & ~x86));
    CHECK(masked("vbmi2,neon") ==
          (all & ~(uint32_t)(RBE_ISA_VBMI2 | RBE_ISA_NEON | RBE_ISA_DOTPROD)));
    CHECK(masked("avx2,avx512,vnni") == (all & ~(x86 & ~(uint32_t)RBE_ISA_SSE41)));
    CHECK(refused("avx3", "avx3"));
    CHECK(refused("avx2,AVX512", "AVX512"));
    CHECK(refused("av", "av"));
    CHECK(refused("avx2 ", "avx2 "));
    CHECK(refused("none", "none"));
}

static void check_names(void)
{
    char text[64], tiny[8];

    CHECK(!strcmp(rbe_isa_string(0, text, sizeof text), "scalar"));
    CHECK(!strcmp(rbe_isa_string(RBE_ISA_AVX2 | RBE_ISA_VNNI, text, sizeof text), "avx2+vnni"));
    CHECK(!strcmp(rbe_isa_names(),
                  "sse41, avx2, avx512, vnni, vbmi2, neon, dotprod, avxvnni, all"));
    rbe_isa_string(UINT32_MAX, tiny, sizeof tiny);
    CHECK(strlen(tiny) < sizeof tiny);
    for (int f = 0; f < RBE_FORMAT_COUNT; f++) {
        CHECK(rbe_format_name((enum rbe_format)f) != NULL);
        CHECK(rbe_format_by_name(rbe_format_name((enum rbe_format)f)) == (enum rbe_format)f);
    }
    CHECK(rbe_format_name(RBE_FORMAT_COUNT) == NULL);
    CHECK(rbe_format_by_name("int5") == RBE_FORMAT_COUNT);
}

/* Each row of formats.def says what fits together. */
static void check_facts(void)
{
    char text[64];

    for (int i = 0; i < RBE_FORMAT_COUNT; i++) {
        const enum rbe_format f = (enum rbe_format)i;
        const struct rbe_format_facts *a = rbe_format_facts(f);

        CHECK(a->about && *a->about);
        CHECK((a->max_block > 0) == (a->rate != RBE_RATE_NONE));
        CHECK((a->usual_block > 0) == (a->max_block > 0) && (a->sweep[0] > 0) == !!a->rate);
        CHECK(rbe_format_takes_block(f, a->usual_block));
        CHECK(!a->max_block || (rbe_format_takes_block(f, a->min_block) &&
                                rbe_format_takes_block(f, a->max_block) &&
                                !rbe_format_takes_block(f, a->min_block - 1) &&
                                !rbe_format_takes_block(f, a->max_block + 1)));
        for (size_t k = 0; k < sizeof a->sweep / sizeof *a->sweep && a->sweep[k]; k++)
            CHECK(rbe_format_takes_block(f, a->sweep[k]) &&
                  (!k || a->sweep[k] > a->sweep[k - 1]));
        CHECK(!a->strip_bits || a->rate == RBE_RATE_BLOCK);
        CHECK(!a->published || a->rate == RBE_RATE_K);
        CHECK(!a->float_bytes || (!a->gmax && !a->rate));
        for (int op = 0; op < RBE_OP_COUNT; op++)
            CHECK(!rbe_kernel_best((enum rbe_op)op, f, 0) == (op == RBE_FEW && !a->strip_bits));
    }
    CHECK(!rbe_format_takes_block(RBE_HYBRID, 48));
    CHECK(!strcmp(rbe_format_blocks(text, sizeof text, RBE_HYBRID), "16, 32, ... 256"));
    CHECK(!strcmp(rbe_format_blocks(text, sizeof text, RBE_SEED4), "16 to 4096"));
    CHECK(RBE_SEED_GMAX == 256 && RBE_INT8_GROUP == 128 && RBE_PACKED128_MIN_BLOCK == 4);
    rbe_format_names(text, sizeof text, ", ", NULL);
    CHECK(!strncmp(text, "f32, f16, int8, int4, seed, seed4, hybrid, packed128", 52));
    CHECK(strlen(rbe_format_names(text, 6, ", ", NULL)) == 5);
}

static void check_registry(uint32_t all)
{
    size_t n = 0;
    unsigned scalars = 0;

    for (; rbe_kernel_at(n); n++) {
        const struct rbe_kernel *k = rbe_kernel_at(n);
        CHECK(rbe_kernel_by_name(k->name) == k);
        scalars += k->isa == 0;
        /* Whatever is masked, an operation keeps a kernel that the rest can run. */
        CHECK(rbe_kernel_best(k->op, k->format, 0)->isa == 0);
        CHECK(rbe_kernel_runs_on(rbe_kernel_best(k->op, k->format, all), all));
    }
    CHECK(n > 0);
    CHECK(scalars >= 2);
    CHECK(rbe_kernel_at(n) == NULL);
    CHECK(rbe_kernel_by_name("gemv_seed_avx3") == NULL);
}

/* A row of a word of kernels/isa.h is there on its architecture alone, with all its bits. */
static void check_words(void)
{
    const struct rbe_kernel *x86 = rbe_kernel_by_name("gemv_seed_avx512vbmi2");
    const struct rbe_kernel *arm = rbe_kernel_by_name("gemv_seed_neondot");
    const struct rbe_kernel *vnni = rbe_kernel_by_name("gemv8u_seed_avxvnni");
    const struct rbe_kernel *dot8 = rbe_kernel_by_name("gemv8_seed_neondot");

#if defined(__x86_64__)
    CHECK(x86 && x86->isa == (RBE_ISA_AVX512 | RBE_ISA_VNNI | RBE_ISA_VBMI2) && !arm);
    CHECK(vnni && vnni->bits == 8 && vnni->sums && vnni->op == RBE_GEMV && !dot8);
    /* Only for those who have what they need. */
    CHECK(rbe_kernel_best_for(RBE_GEMV, RBE_SEED, vnni->isa, 8, true) == vnni);
    CHECK(!rbe_kernel_best_for(RBE_GEMV, RBE_SEED, vnni->isa, 8, false)->sums);
    CHECK(rbe_kernel_best(RBE_GEMV, RBE_SEED, vnni->isa)->bits == 16);
#elif defined(__aarch64__)
    CHECK(arm && arm->isa == (RBE_ISA_NEON | RBE_ISA_DOTPROD) && !x86);
    CHECK(dot8 && dot8->bits == 8 && !dot8->sums && !vnni);
#else
    CHECK(!arm && !x86);
#endif
}

/* Of every table the first version runs everywhere; each is chosen where nothing wider runs. */
#define CHECK_VERSIONS(table)                                                                  \
    do {                                                                                       \
        size_t v = 0;                                                                          \
        CHECK(rbe_##table##_at(0) && rbe_##table##_best(0) == rbe_##table##_at(0));            \
        for (; rbe_##table##_at(v); v++)                                                       \
            CHECK(rbe_##table##_best(rbe_##table##_at(v)->isa) == rbe_##table##_at(v));        \
        CHECK(rbe_##table##_best(UINT32_MAX) == rbe_##table##_at(v - 1));                      \
    } while (0)

static void check_tables(void)
{
    CHECK_VERSIONS(transform);
    CHECK_VERSIONS(elementwise);
    CHECK_VERSIONS(vector);
    CHECK_VERSIONS(trellis);
}

int main(void)
{
    CHECK(rbe_cpu_isa() == 0);      /* nobody asked yet */
    const uint32_t all = rbe_cpu_isa_unmasked();
    check_masking(all);
    check_names();
    check_facts();
    check_registry(all);
    check_words();
    check_tables();
    return check_done();
}

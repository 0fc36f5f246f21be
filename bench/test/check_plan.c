/*
 * check_plan.c - which rows a run registers, on which teams, and the work they are said to do.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "bench/gbench.h"
#include "bench/plan.h"
#include "bench/work.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"

static struct rbe_teams teams;
static struct rbe_roofs roofs;
static struct rbe_data *data;

/* The rows of a selection; the caller closes them. */
static struct rbe_suite *planned(const struct rbe_selection_texts *t, bool full)
{
    const struct rbe_suite_options o = {.min_seconds = 0.001, .foreign_limit = 1};
    struct rbe_selection s = {.full = full, .slowest = -1};
    struct rbe_suite *suite;
    struct rbe_diag d = {{0}};
    unsigned left_out;

    CHECK(rbe_suite_open(&suite, data, &teams, &roofs, &o, &d) == RBE_OK);
    CHECK(rbe_selection_parse(&s, t, rbe_cpu_isa(), 8, &d) == RBE_OK);
    if (!CHECK(rbe_plan(suite, &s, rbe_cpu_isa(), &left_out, &d) == RBE_OK))
        printf("     %s\n", d.text);
    CHECK(left_out == 0 || (!full && !t->kernels));
    return suite;
}

/* Rows whose names begin and end so. */
static unsigned rows(const struct rbe_suite *s, const char *prefix, const char *suffix)
{
    unsigned n = 0;

    for (size_t i = 0; i < rbe_suite_count(s); i++) {
        const char *name = rbe_suite_name(s, i);
        const size_t length = strlen(name), end = strlen(suffix);
        n += !strncmp(name, prefix, strlen(prefix)) && length >= end &&
             !strcmp(name + length - end, suffix);
    }
    return n;
}

/* One and three threads are open, as with --threads 3: rows on two would have no team. */
static void only_open_teams(void)
{
    const struct rbe_selection_texts t = {.kernels = "gemv_seed_scalar", .threads = "3"};
    struct rbe_suite *s = planned(&t, false);

    CHECK(rows(s, "", "/t:1") + rows(s, "", "/t:3") == rbe_suite_count(s));
    CHECK(rows(s, "probe_read_", "/t:1") > 1 && rows(s, "probe_read_", "/t:3") > 1);
    CHECK(rows(s, "dense_", "/t:3") == 1 && rows(s, "dense_", "/t:1") == 0);
    /* The sweep goes on whatever the number of threads. */
    CHECK(rows(s, "gemv_seed_scalar/3072x768/B:", "/cold/t:3") >= 14);
    CHECK(rows(s, "gemv_seed_scalar/", "/t:1") == 0);
    CHECK(rows(s, "model_gemv_seed_scalar/", "/t:3") == 1);

    const struct rbe_product_case c = {
        .kernel = rbe_kernel_by_name("gemv_f32_scalar"), .rows = 8, .cols = 8, .threads = 2};
    struct rbe_diag d;
    CHECK(rbe_suite_product(s, &c, &d) == RBE_ERR_ARG && strstr(d.text, "2 threads"));
    rbe_suite_close(&s);
}

static void which_teams(void)
{
    const struct rbe_selection any = {0};
    const struct rbe_selection three = {.threads = {.count = 1, .v = {3}}};
    bool used[9], asked[9];

    for (unsigned t = 1; t <= 8; t++) {
        used[t] = rbe_plan_uses(&any, 6, t);
        asked[t] = rbe_plan_uses(&three, 6, t);
    }
    CHECK(used[1] && used[2] && !used[3] && used[4] && !used[5] && used[6] && !used[8]);
    CHECK(asked[1] && !asked[2] && asked[3] && !asked[4] && !asked[6]);
}

static void everything(void)
{
    struct rbe_suite *s = planned(&(struct rbe_selection_texts){.kernels = "gemv*"}, true);
    const struct rbe_kernel *k;
    char prefix[80];

    for (size_t i = 0; (k = rbe_kernel_at(i)); i++) {
        if (k->op != RBE_GEMV || !rbe_kernel_runs_on(k, rbe_cpu_isa()))
            continue;
        const unsigned blocks = rbe_format_facts(k->format)->strip_bits ? 18
                                : k->format == RBE_HYBRID               ? 5
                                : k->format == RBE_PACKED128            ? 8
                                                                        : 1;
        snprintf(prefix, sizeof prefix, "%s/768x768/", k->name);
        CHECK(rows(s, prefix, "/cold/t:1") == blocks && rows(s, prefix, "/hot/t:3") == blocks);
        snprintf(prefix, sizeof prefix, "model_%s/", k->name);
        CHECK(rows(s, prefix, "/cold/t:1") == blocks);
    }
    rbe_suite_close(&s);
}

/* 11 : 1 at every block size, and as near to it as whole entries allow. */
static void ratios(void)
{
    for (uint32_t b = 16; b <= 256; b *= 2) {
        const uint32_t k = rbe_plan_aux(RBE_HYBRID, b);
        const struct rbe_matrix_size size = rbe_matrix_size(RBE_HYBRID, b, b, b, k);
        const double ratio = 4.0 * b * b / (double)size.codes;
        CHECK(ratio >= 11 && ratio < 11.6);
    }
    CHECK(rbe_plan_aux(RBE_SEED, 44) == 0);
}

static struct rbe_kernel kernel(enum rbe_op op, enum rbe_format f, uint32_t isa, unsigned bits)
{
    return (struct rbe_kernel){.name = "x", .op = op, .format = f, .isa = isa, .bits = bits};
}

static void work(void)
{
    const uint32_t dot = RBE_ISA_NEON | RBE_ISA_DOTPROD;
    const struct rbe_kernel f32 = kernel(RBE_GEMV, RBE_F32, RBE_ISA_AVX2, 16);
    const struct rbe_kernel seed = kernel(RBE_GEMV, RBE_SEED, RBE_ISA_AVX2, 16);
    const struct rbe_kernel scalar = kernel(RBE_GEMV, RBE_SEED, 0, 16);
    const struct rbe_kernel gemm = kernel(RBE_GEMM, RBE_SEED, RBE_ISA_AVX2, 16);
    const struct rbe_kernel seed4 = kernel(RBE_GEMV, RBE_SEED4, RBE_ISA_AVX2, 16);
    const struct rbe_kernel hybrid = kernel(RBE_GEMV, RBE_HYBRID, 0, 16);
    const struct rbe_kernel dot8 = kernel(RBE_GEMV, RBE_INT8, dot, 16);
    const struct rbe_kernel dots = kernel(RBE_GEMV, RBE_SEED, dot, 16);
    const struct rbe_kernel bytes = kernel(RBE_GEMV, RBE_SEED, RBE_ISA_AVXVNNI, 8);
    const double all = 3072.0 * 768;

    CHECK(rbe_work_of(&f32, 3072, 768, 0, 0, 1, 1).multiply_adds == all);
    CHECK(rbe_work_of(&f32, 3072, 768, 0, 0, 1, 1).kind == RBE_PROBE_FMA_F32);
    CHECK(rbe_work_of(&seed, 3072, 768, 44, 0, 1, 1).multiply_adds == all);
    CHECK(rbe_work_of(&seed, 3072, 768, 44, 0, 1, 1).kind == RBE_PROBE_DOT_I16);
    /* 128 sums serve 1024 rows: three strips of them.  2000 rows: 128 and 122 (the window of
     * row 975 starts at bit 121). */
    CHECK(rbe_work_of(&seed, 3072, 768, 1024, 0, 1, 1).multiply_adds == 3 * 128 * 768);
    CHECK(rbe_work_of(&seed, 2000, 768, 1024, 0, 1, 1).multiply_adds == (128 + 122) * 768);
    /* Where nothing is shared: the reference, products with many vectors, rows with a term. */
    CHECK(rbe_work_of(&scalar, 3072, 768, 1024, 0, 1, 1).multiply_adds == all);
    CHECK(rbe_work_of(&gemm, 3072, 768, 1024, 0, 7, 1).multiply_adds == 7 * all);
    CHECK(rbe_work_of(&seed4, 3072, 768, 1024, 0, 1, 1).multiply_adds == all);
    CHECK(rbe_work_of(&dot8, 3072, 768, 0, 0, 1, 1).multiply_adds == 2 * all);
    CHECK(rbe_work_of(&dots, 3072, 768, 44, 0, 1, 1).multiply_adds == 4 * all);
    CHECK(rbe_work_of(&dots, 3072, 768, 44, 0, 1, 1).kind == RBE_PROBE_DOT_I8);
    /* Two bytes of a weight, one of an activation. */
    CHECK(rbe_work_of(&bytes, 3072, 768, 44, 0, 1, 1).multiply_adds == 2 * all);
    CHECK(rbe_work_of(&bytes, 3072, 768, 44, 0, 1, 1).kind == RBE_PROBE_DOT_I8);
    /* Far below one for each weight: transforms of 12 columns of blocks, 48 x 12 blocks, 48
     * transforms back. */
    CHECK(rbe_work_of(&hybrid, 3072, 768, 64, 420, 1, 1).multiply_adds ==
          12 * (1.5 * 4096 + 256) + 48 * 12 * (420 + 64 + 45) + 48 * (192 + 4096));
    CHECK(rbe_work_of(&hybrid, 3072, 768, 64, 420, 1, 2).multiply_adds ==
          24 * (1.5 * 4096 + 256) + 48 * 12 * (420 + 64 + 45) + 48 * (192 + 4096));
}

int main(void)
{
    struct rbe_machine *machine;
    struct rbe_cpulist one, three = {.count = 3};
    struct rbe_diag d;
    char *argv[] = {"check_plan", NULL};
    int argc = 1;

    rbe_cpu_init();
    CHECK(!rbe_gbench_init(&argc, argv));
    CHECK(rbe_machine_open(&machine, &d) == RBE_OK);
    rbe_machine_one_per_core(machine, &one);
    /* Three threads on any machine: they share a CPU. */
    for (int i = 0; i < 3; i++)
        three.cpu[i] = one.cpu[0];
    CHECK(rbe_team_open(&teams.of[1], 1, &one, &d) == RBE_OK);
    CHECK(rbe_team_open(&teams.of[3], 3, &three, &d) == RBE_OK);
    CHECK(rbe_data_open(&data, 1 << 22, &d) == RBE_OK);
    rbe_roofs_plan(&roofs, rbe_cpu_isa(), 1 << 22);
    which_teams();
    only_open_teams();
    everything();
    ratios();
    work();
    rbe_data_close(&data);
    rbe_team_close(&teams.of[3]);
    rbe_team_close(&teams.of[1]);
    rbe_machine_close(&machine);
    return check_done();
}

/*
 * time_seed_model.c - times GEMV kernels over all matrices of a GPT-2-124M-shaped model.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: time_seed_model [-b BLOCK] [-f seed|seed4] [-t THREADS] [-r ROUNDS] [KERNEL...]
 *
 * One sample is one token's worth of products: 12 layers of four matrices and the output
 * layer, 123.5M weights, activations prepared beforehand.  The weights are random and lie in
 * COPIES models used in turn, so that every sample reads its codes from memory.  Within a
 * round the kernels, and one thread and THREADS threads, take turns.  A sample in which a
 * thread lost its CPU to another process is repeated, up to 20 times.  Before anything is
 * timed, every kernel must give the scalar kernel's bits.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "kernels/format/seed.h"
#include "kernels/kernel.h"
#include "kernels/test/check.h"
#include "kernels/test/seed_prototype.h"
#include "rbe/threads.h"

enum {
    LAYERS = 12,
    MATRICES = 4 * LAYERS + 1,
    COPIES = 4,
    ROUNDS_MAX = 1000,
    KERNELS_MAX = 24,
};

static const uint32_t shapes[5][2] = {
    {2304, 768}, {768, 768}, {3072, 768}, {768, 3072}, {50257, 768}};

static struct rbe_matrix matrices[COPIES][MATRICES];
static struct rbe_act acts[2];
static float *output;           /* [50257] */

struct job {
    const struct rbe_matrix *w;
    rbe_product_fn *run;
};

static void part(void *arg, unsigned i, unsigned n)
{
    const struct job *j = arg;
    size_t begin, end;

    rbe_split(j->w->rows, rbe_row_step(j->w), i, n, &begin, &end);
    j->run(j->w, &acts[j->w->cols == 3072], output, 0, begin, end);
}

static void token(rbe_product_fn *run, int copy, struct rbe_pool *pool)
{
    for (int m = 0; m < MATRICES; m++) {
        struct job j = {&matrices[copy][m], run};
        rbe_pool_run(pool, part, &j);
    }
}

/* How often the system took the CPU from one of this process's threads. */
static long preemptions(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_nivcsw;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void *map_memory(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    /* A mapped model file has small pages; so has this. */
    madvise(p, bytes, MADV_NOHUGEPAGE);
    return p;
}

/* Returns the bytes of one model. */
static size_t make_models(enum rbe_format format, uint32_t block, struct check_rng *rng)
{
    size_t bytes = 0;

    for (int c = 0; c < COPIES; c++) {
        bytes = 0;
        for (int m = 0; m < MATRICES; m++) {
            const uint32_t *shape = shapes[m < 4 * LAYERS ? m % 4 : 4];
            const struct rbe_matrix_size size =
                rbe_matrix_size(format, shape[0], shape[1], block, 0);
            if (!size.codes) {
                fprintf(stderr, "time_seed_model: no %s matrix with B = %u\n",
                        rbe_format_name(format), block);
                exit(2);
            }
            uint64_t *codes = map_memory(size.codes);
            uint16_t *scale = map_memory(size.scale);
            for (size_t i = 0; i < size.codes / 8; i++)
                codes[i] = check_next(rng);
            for (size_t r = 0; r < shape[0]; r++)
                scale[r] = rbe_f16_from_f32(0.01F);
            matrices[c][m] = (struct rbe_matrix){
                format, shape[0], shape[1], block, 0, codes, size.codes, scale, NULL};
            bytes += size.codes + size.scale;
        }
    }
    for (int i = 0; i < 2; i++) {
        float x[3072];
        for (size_t n = 0; n < 3072; n++)
            x[n] = check_unit(rng);
        rbe_act_init(&acts[i], map_memory(rbe_act_bytes(1, 3072)), 1, 3072);
        rbe_act_prepare(&acts[i], &matrices[0][i ? 3 : 0], x, 0, 1);
    }
    output = map_memory(50257 * sizeof *output);
    return bytes;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

struct entry {
    const char *name;
    rbe_product_fn *run;
    double ms[2][ROUNDS_MAX];   /* one thread, all threads */
};

/* All four layer shapes, bit for bit against the scalar kernel. */
static bool verify(const struct entry *e, const struct rbe_kernel *scalar)
{
    static float want[3072], got[3072];

    for (int m = 0; m < 4; m++) {
        const struct rbe_matrix *w = &matrices[0][m];
        const struct rbe_act *a = &acts[w->cols == 3072];
        scalar->run(w, a, want, 0, 0, w->rows);
        memset(got, 0xA5, sizeof got);
        e->run(w, a, got, 0, 0, w->rows);
        if (memcmp(got, want, w->rows * sizeof *got))
            return false;
    }
    return true;
}

static struct entry entries[KERNELS_MAX];
static int entry_count;

static void add(const char *name, rbe_product_fn *run, char **wanted, int wanted_count)
{
    bool take = !wanted_count;

    for (int i = 0; i < wanted_count; i++)
        take |= !strcmp(wanted[i], name);
    if (take && entry_count < KERNELS_MAX)
        entries[entry_count++] = (struct entry){.name = name, .run = run};
}

static void add_kernels(enum rbe_format format, uint32_t block, char **wanted, int wanted_count)
{
    const uint32_t isa = rbe_cpu_isa();

    for (size_t i = 0; rbe_kernel_at(i); i++) {
        const struct rbe_kernel *k = rbe_kernel_at(i);
        if (k->op == RBE_GEMV && k->format == format && rbe_kernel_runs_on(k, isa) &&
            (k->isa || wanted_count))
            add(k->name, k->run, wanted, wanted_count);
    }
#if defined(__x86_64__)
    const uint32_t needs = RBE_ISA_VNNI | RBE_ISA_VBMI2;
    if (format == RBE_SEED && block == 44 && (isa & needs) == needs) {
        add("prototype_1", rbe_seed_prototype_1, wanted, wanted_count);
        add("prototype_2", rbe_seed_prototype_2, wanted, wanted_count);
        add("prototype_4", rbe_seed_prototype_4, wanted, wanted_count);
    }
#else
    (void)block;
#endif
}

static void usage(void)
{
    fprintf(stderr, "usage: time_seed_model [-b BLOCK] [-f seed|seed4] [-t THREADS] "
                    "[-r ROUNDS] [KERNEL...]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    struct check_rng rng = {1};
    struct rbe_diag diag = {0};
    enum rbe_format format = RBE_SEED;
    unsigned block = 44, threads = 0;
    int rounds = 15;
    char isa[96];

    for (int c; (c = getopt(argc, argv, "b:f:t:r:")) != -1;) {
        if (c == 'b')
            block = (unsigned)atoi(optarg);
        else if (c == 'f')
            format = rbe_format_by_name(optarg);
        else if (c == 't')
            threads = (unsigned)atoi(optarg);
        else if (c == 'r')
            rounds = atoi(optarg);
        else
            usage();
    }
    if (rbe_cpu_init() || (format != RBE_SEED && format != RBE_SEED4) || rounds < 1 ||
        rounds > ROUNDS_MAX)
        usage();
    struct rbe_pool *pool = NULL;
    if (rbe_pool_open(&pool, threads, &diag))
        return 1;
    threads = rbe_pool_threads(pool);
    const size_t bytes = make_models(format, block, &rng);
    add_kernels(format, block, argv + optind, argc - optind);
    if (!entry_count)
        usage();

    const struct rbe_kernel *scalar = rbe_kernel_best(RBE_GEMV, format, 0);
    for (int i = 0; i < entry_count; i++)
        if (!verify(&entries[i], scalar)) {
            printf("FAIL %s: differs from %s\n", entries[i].name, scalar->name);
            return 1;
        }
    int copy = 0, repeats = 0;
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < entry_count; i++)
            for (int many = 0; many < (threads > 1 ? 2 : 1); many++) {
                for (int tries = 0; tries < 20; tries++) {
                    const long before = preemptions();
                    const double start = now_ms();
                    token(entries[i].run, copy++ % COPIES, many ? pool : NULL);
                    entries[i].ms[many][r] = now_ms() - start;
                    if (preemptions() == before)
                        break;
                    repeats++;
                }
            }

    printf("%s, B = %u, %.1f MB a token, isa %s, %d rounds, %d samples repeated, "
           "median (MAD)\n",
           rbe_format_name(format), block, (double)bytes / 1e6,
           rbe_isa_string(rbe_cpu_isa(), isa, sizeof isa), rounds, repeats);
    printf("%-24s %19s  %d threads\n", "kernel", "1 thread, ms", threads);
    for (int i = 0; i < entry_count; i++) {
        printf("%-24s", entries[i].name);
        for (int many = 0; many < (threads > 1 ? 2 : 1); many++) {
            double *v = entries[i].ms[many];
            const double mid = median(v, rounds);
            for (int r = 0; r < rounds; r++)
                v[r] = fabs(v[r] - mid);
            const double mad = median(v, rounds);
            printf("  %6.3f (%.3f) %4.1f GB/s", mid, mad, (double)bytes / mid / 1e6);
        }
        printf("\n");
    }
    rbe_pool_close(&pool);
    return 0;
}

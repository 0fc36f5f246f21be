/*
 * check_seed.c - `seed`, `seed4` and `seedg`: the format by hand, and every kernel against an
 * exact integer oracle, for every block from 16 to 140 and a sample up to 4096.
 *
 * SPDX-License-Identifier: MIT
 *
 * The oracle is rbe_decode_row() with scales of one, whose weights are the integers g, and
 * sums in 64 bits; it shares no code with the kernels but the maps.
 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "kernels/format/seed.h"
#include "kernels/format/seedg.h"
#include "kernels/kernel.h"
#include "kernels/test/check.h"

enum { VECTORS = RBE_FEW_MAX };

/* A matrix, activations and the exact products. */
struct fixture {
    struct rbe_matrix w;
    struct rbe_act a;
    void *act_memory;
    int64_t *sum;               /* [VECTORS][rows] */
    float *want, *got;          /* [VECTORS][rows] */
    int32_t *row_sum;
};

static void *take(size_t bytes)
{
    /* Rounded up for aligned_alloc(); the end is checked by check_kernels' guard pages. */
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p)
        abort();
    return p;
}

static void fixture_free(struct fixture *f)
{
    free((void *)f->w.codes);
    free((void *)f->w.scale);
    free((void *)f->w.col_scale);
    free(f->act_memory);
    free(f->sum);
    free(f->want);
    free(f->got);
    free(f->row_sum);
}

enum fill { RANDOM, LARGEST };

/* LARGEST drives the sums as far as they can go: all weights alike, all activations equal. */
static void fixture_make(struct fixture *f, enum rbe_format format, uint32_t rows,
                         uint32_t cols, uint32_t block, enum fill fill, unsigned bits,
                         struct check_rng *rng)
{
    const struct rbe_matrix_size size = rbe_matrix_size(format, rows, cols, block, 0);
    uint16_t *codes = take(size.codes), *scale = take(size.scale);
    uint16_t *col_scale = fill == RANDOM && cols % 2 ? take(size.col_scale) : NULL;

    memset(codes, 0, size.codes);
    /* Columns that do not exist get codes too: they meet activations of zero. */
    for (size_t i = 0; fill == RANDOM && i < size.codes / 2; i++)
        codes[i] = (uint16_t)(check_next(rng) >> 40);
    for (size_t r = 0; r < rows; r++)
        scale[r] = rbe_f16_from_f32(0.01F + 0.02F * check_unit(rng));
    for (size_t n = 0; col_scale && n < cols; n++)
        col_scale[n] = rbe_f16_from_f32(1 + 0.5F * check_unit(rng));
    f->w =
        (struct rbe_matrix){.format = format, .rows = rows, .cols = cols, .block = block,
                            .codes = codes, .code_bytes = size.codes, .scale = scale,
                            .col_scale = col_scale};
    f->row_sum = take(rows * sizeof *f->row_sum);
    CHECK(rbe_row_sums(&f->w, f->row_sum));
    f->w.row_sum = f->row_sum;

    float *x = take(VECTORS * cols * sizeof *x);
    for (size_t i = 0; i < (size_t)VECTORS * cols; i++)
        x[i] = fill == RANDOM ? check_unit(rng) : 1;
    f->act_memory = take(rbe_act_bytes(VECTORS, cols));
    rbe_act_init(&f->a, f->act_memory, VECTORS, cols);
    f->a.bits = bits;
    rbe_act_prepare(&f->a, &f->w, x, cols, VECTORS);
    free(x);

    uint16_t *ones = take(rows * sizeof *ones);
    for (size_t r = 0; r < rows; r++)
        ones[r] = rbe_f16_from_f32(1);
    struct rbe_matrix plain = f->w;
    plain.scale = ones;
    plain.col_scale = NULL;
    float *g = take(cols * sizeof *g);
    f->sum = take(VECTORS * rows * sizeof *f->sum);
    f->want = take(VECTORS * rows * sizeof *f->want);
    f->got = take(VECTORS * rows * sizeof *f->got);
    for (size_t r = 0; r < rows; r++) {
        rbe_decode_row(&plain, r, g);
        for (size_t t = 0; t < VECTORS; t++) {
            int64_t sum = 0;
            for (size_t n = 0; n < cols; n++)
                sum += (int64_t)g[n] * f->a.q[t * f->a.stride + n];
            f->sum[t * rows + r] = sum;
            f->want[t * rows + r] =
                (float)(int32_t)sum * (rbe_f16_to_f32(scale[r]) * f->a.scale[t]);
            CHECK(sum == (int32_t)sum);
        }
    }
    free(g);
    free(ones);
}

/* Runs k over [row0, row1) and compares bits; rows outside must keep their pattern. */
static bool same(const struct rbe_kernel *k, struct fixture *f, size_t count, size_t row0,
                 size_t row1)
{
    const size_t rows = f->w.rows;
    struct rbe_act a = f->a;
    float untouched;

    a.count = count;
    memset(f->got, 0xA5, VECTORS * rows * sizeof *f->got);
    memcpy(&untouched, f->got, sizeof untouched);
    k->run(&f->w, &a, f->got, rows, row0, row1);
    for (size_t t = 0; t < VECTORS; t++)
        for (size_t r = 0; r < rows; r++) {
            const bool in = t < count && r >= row0 && r < row1;
            const float *got = &f->got[t * rows + r];
            if (memcmp(got, in ? &f->want[t * rows + r] : &untouched, sizeof *got)) {
                printf("     %s: %zu x %zu, B %u, rows %zu..%zu, vector %zu of %zu, row %zu: "
                       "%.9g, not %.9g\n", k->name, rows, (size_t)f->w.cols, f->w.block, row0,
                       row1, t, count, r, (double)*got,
                       (double)(in ? f->want[t * rows + r] : untouched));
                return false;
            }
        }
    return true;
}

static unsigned check_kernels(struct fixture *f, struct check_rng *rng)
{
    const size_t strips = rbe_seed_strips(f->w.rows, f->w.block);
    const size_t from = check_below(rng, (uint32_t)strips) * f->w.block;
    const size_t to =
        from + check_below(rng, (uint32_t)(strips - from / f->w.block)) * f->w.block;
    unsigned ran = 0;

    for (size_t i = 0; rbe_kernel_at(i); i++) {
        const struct rbe_kernel *k = rbe_kernel_at(i);
        const size_t most = rbe_kernel_vectors(k);
        const size_t count = 1 + check_below(rng, most < VECTORS ? (uint32_t)most : VECTORS);
        if (k->format != f->w.format || !rbe_kernel_runs_on(k, rbe_cpu_isa()) ||
            (k->bits == 8 && f->a.bits != 8))
            continue;
        ran++;
        CHECK(same(k, f, count, 0, f->w.rows));
        CHECK(same(k, f, count, from, to));
        CHECK(same(k, f, count, from, f->w.rows));
        CHECK(same(k, f, count, from, from));
    }
    return ran;
}

static void check_shape(enum rbe_format format, uint32_t rows, uint32_t cols, uint32_t block,
                        enum fill fill, struct check_rng *rng)
{
    for (unsigned bits = 8; bits <= 16; bits += 8) {
        struct fixture f;
        fixture_make(&f, format, rows, cols, block, fill, bits, rng);
        CHECK(check_kernels(&f, rng) > 0);
        fixture_free(&f);
    }
}

/* More vectors than a GEMM takes at once: each row block must start afresh for the rest. */
static void check_many_vectors(enum rbe_format format, struct check_rng *rng)
{
    enum { ROWS = 37, COLS = 65, MANY = 2 * 256 + 3 };
    struct fixture f;
    struct rbe_act a;

    fixture_make(&f, format, ROWS, COLS, 20, RANDOM, 16, rng);
    void *memory = take(rbe_act_bytes(MANY, COLS));
    float *y = take(MANY * ROWS * sizeof *y);
    rbe_act_init(&a, memory, MANY, COLS);
    a.cols = COLS;
    for (size_t t = 0; t < MANY; t++) {
        memcpy(a.q + t * a.stride, f.a.q + t % VECTORS * f.a.stride, a.stride * sizeof *a.q);
        a.scale[t] = f.a.scale[t % VECTORS];
    }
    for (size_t i = 0; rbe_kernel_at(i); i++) {
        const struct rbe_kernel *k = rbe_kernel_at(i);
        size_t bad = 0;
        if (k->op != RBE_GEMM || k->format != format || !rbe_kernel_runs_on(k, rbe_cpu_isa()))
            continue;
        memset(y, 0xA5, MANY * ROWS * sizeof *y);
        k->run(&f.w, &a, y, ROWS, 0, ROWS);
        for (size_t t = 0; t < MANY; t++)
            bad += !!memcmp(y + t * ROWS, f.want + t % VECTORS * ROWS, ROWS * sizeof *y);
        CHECK(bad == 0);
    }
    free(memory);
    free(y);
    fixture_free(&f);
}

/*
 * A column worked out by hand.  B = 16: rows 0..15 read bits 0, 8, ..., 120.  Two strips;
 * words 0x1234 0x5678 0 0 0 0 0 0x8001, then 0x00FF and zeros.
 * Row 0: u 1234; 0x1234 * 0xE37D = 0x102CFF64, h FF64: 100 - 1 = 99.
 * Row 1: u 7812; 0x7812 * 0xE37D = 0x6AB296CA, h 96CA: -54 - 106 = -160.
 * Row 15: the low byte is word 7's 80, the high byte the strip below's FF: u FF80;
 * 0xFF80 * 0xE37D = 0xE30B4180, h 4180: -128 + 65 = -63.
 * Row 16: u 00FF; 0xFF * 0xE37D = 0xE29983, h 9983: -125 - 103 = -228.
 * Row 31: past the last strip the stream goes on with the first, 0x34: u 3400;
 * 0x3400 * 0xE37D = 0x2E356400, h 6400: 0 + 100 = 100.
 * Without rows 18 to 31 the last strip's windows start in word 0 only, which alone is
 * stored, and row 17 reads 0xFF00 >> 8 with the ring's 0x34: u 3400 again.
 */
static void check_by_hand(void)
{
    static uint16_t codes[2 * 8 * 32];
    uint16_t scale[32];
    const struct {
        unsigned row;
        uint16_t u;
        int g;
    } want[] = {
        {0, 0x1234, 99}, {1, 0x7812, -160}, {15, 0xFF80, -63}, {16, 0x00FF, -228},
        {31, 0x3400, 100}};

    codes[0] = 0x1234;
    codes[32] = 0x5678;
    codes[7 * 32] = 0x8001;
    codes[8 * 32] = 0x00FF;
    for (size_t i = 0; i < 32; i++)
        scale[i] = 0x3C00;      /* 1.0 */
    const struct rbe_matrix w = {RBE_SEED, 32, 1, 16, 0, codes, sizeof codes, scale, NULL,
                                 NULL};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        const struct rbe_seed_window at = rbe_seed_window_at(&w, want[i].row);
        float g;
        rbe_decode_row(&w, want[i].row, &g);
        CHECK(rbe_seed_window(&at, 0) == want[i].u);
        CHECK(rbe_seed_map(want[i].u) == want[i].g);
        CHECK((int)g == want[i].g);
    }
    const struct rbe_matrix trimmed = {.format = RBE_SEED, .rows = 18, .cols = 1, .block = 16,
                                       .codes = codes, .code_bytes = 9 * 64, .scale = scale};
    float g17;
    CHECK(rbe_matrix_size(RBE_SEED, 18, 1, 16, 0).codes == trimmed.code_bytes);
    rbe_decode_row(&trimmed, 17, &g17);
    CHECK((int)g17 == 100);

    /* Four nibbles: 0x1234 * 0x9E3B = 0x0B4049FC; row 0: 4 + 9 + 15 + 12 - 30 = 10; row 2
     * adds 0xC90E: h 130A, 1 + 3 + 0 + 10 - 30 = -16. */
    CHECK(rbe_seed4_map(0x1234, 0) == 10);
    CHECK(rbe_seed4_map(0x1234, 2) == -16);
    /* Two entries: 0x1234 * -28367 * 2 + 32768 = 0xF03E5FE8 mod 2^32, h F03E: entries 62 and
     * 48, 21 + 67.  0xCD12 is -13038: 0x2C1764E4, h 2C17, entries 23 and 44, -97 - 25. */
    CHECK(rbe_seedg_map(0x1234) == 88);
    CHECK(rbe_seedg_map(0xCD12) == -122);

    int least = 0, most = 0, least4 = 0, most4 = 0;
    for (unsigned u = 0; u < 65536; u++) {
        const int g = rbe_seed_map((uint16_t)u), g4 = rbe_seed4_map((uint16_t)u, 0);
        least = g < least ? g : least;
        most = g > most ? g : most;
        least4 = g4 < least4 ? g4 : least4;
        most4 = g4 > most4 ? g4 : most4;
    }
    CHECK(least == -256 && most == 254 && least4 == -30 && most4 == 30);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    const uint32_t large[] = {150, 192, 200, 255, 256, 257, 384, 500, 512, 1000, 1024, 2048,
                              3001, 4095, 4096};
    const uint32_t columns[] = {1, 31, 32, 33, 64, 95, 200};
    const char *unknown = rbe_cpu_init();
    char isa[96];

    if (unknown) {
        printf("unknown ISA '%s'; valid: %s\n", unknown, rbe_isa_names());
        return 2;
    }
    printf("isa %s\n", rbe_isa_string(rbe_cpu_isa(), isa, sizeof isa));
    check_by_hand();
    for (int f = 0; f < RBE_FORMAT_COUNT; f++) {
        const enum rbe_format format = (enum rbe_format)f;
        if (!rbe_format_facts(format)->strip_bits)
            continue;
        for (uint32_t block = 16; block <= 140; block++) {
            const uint32_t cols = columns[check_below(&rng, 7)];
            check_shape(format, 1 + check_below(&rng, 3 * block), cols, block, RANDOM, &rng);
            check_shape(format, 2 * block, 33, block, RANDOM, &rng);
        }
        for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
            const uint32_t rows = 1 + check_below(&rng, 2 * large[i]);
            check_shape(format, rows, columns[check_below(&rng, 7)], large[i], RANDOM, &rng);
        }
        check_many_vectors(format, &rng);
        check_shape(format, 100, 768, 44, RANDOM, &rng);
        check_shape(format, 90, 3072, 44, RANDOM, &rng);
        check_shape(format, 60, 768, 43, LARGEST, &rng);
        check_shape(format, 60, 64, 16, LARGEST, &rng);
    }
    return check_done();
}

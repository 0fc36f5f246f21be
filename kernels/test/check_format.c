/*
 * check_format.c - stored layouts: sizes, and decoding against values worked out by hand or
 * straight from the definition in double.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/f16.h"
#include "kernels/format/hybrid.h"
#include "kernels/format/int4.h"
#include "kernels/format/int8.h"
#include "kernels/format/packed128.h"
#include "kernels/format/seed.h"
#include "kernels/format/seedg.h"
#include "kernels/kernel.h"
#include "kernels/test/check.h"

static struct check_rng rng;

static bool size_is(enum rbe_format f, uint32_t rows, uint32_t cols, uint32_t block,
                    uint32_t aux, size_t codes, size_t scale)
{
    const struct rbe_matrix_size s = rbe_matrix_size(f, rows, cols, block, aux);
    return s.codes == codes && s.scale == scale;
}

static void check_sizes(void)
{
    CHECK(size_is(RBE_F32, 3, 5, 0, 0, 60, 0));
    CHECK(size_is(RBE_F16, 3, 5, 0, 0, 30, 0));
    CHECK(size_is(RBE_INT8, 768, 768, 0, 0, 768 * 768, 768 * 6 * 2));
    CHECK(size_is(RBE_INT8, 2, 129, 0, 0, 512, 8));
    CHECK(size_is(RBE_INT4, 768, 768, 0, 0, 768 * 384, 768 * 24 * 2));   /* 4.5 bits */
    CHECK(size_is(RBE_INT4, 2, 129, 0, 0, 256, 32));
    CHECK(size_is(RBE_SEED, 768, 768, 64, 0, 768 * 12 * 16, 768 * 2));
    CHECK(size_is(RBE_SEED, 65, 33, 64, 0, (8 + 1) * 2 * 64, 130));
    CHECK(size_is(RBE_SEED, 768, 3072, 44, 0, (17 * 8 + 4) * 96 * 64, 1536));
    CHECK(size_is(RBE_SEED4, 1, 1, 4096, 0, 64, 2));
    CHECK(size_is(RBE_SEED, 64, 64, 15, 0, 0, 0));
    CHECK(size_is(RBE_SEED, 64, 64, 4097, 0, 0, 0));
    /* B = 64, K = 10: 16 + 20 + 15 bytes of indices, to even. */
    CHECK(size_is(RBE_HYBRID, 64, 128, 64, 10, 2 * 52, 0));
    CHECK(size_is(RBE_HYBRID, 65, 128, 64, 10, 4 * 52, 0));
    CHECK(size_is(RBE_HYBRID, 64, 64, 64, 10 | RBE_HYBRID_PUBLISHED, 32 + 80, 0));
    CHECK(size_is(RBE_HYBRID, 64, 64, 64, 0, 16, 0));
    CHECK(size_is(RBE_HYBRID, 64, 64, 64, 4097, 0, 0));
    CHECK(size_is(RBE_HYBRID, 64, 64, 48, 4, 0, 0));
    CHECK(size_is(RBE_HYBRID, 64, 64, 512, 4, 0, 0));
    CHECK(size_is(RBE_PACKED128, 65, 64, 64, 0, 48, 0));
    CHECK(size_is(RBE_PACKED128, 64, 64, 3, 0, 0, 0));
    CHECK(size_is(RBE_PACKED128, 64, 64, 513, 0, 0, 0));
    for (int f = 0; f < RBE_FORMAT_COUNT; f++) {
        CHECK(size_is((enum rbe_format)f, 0, 64, 64, 1, 0, 0));
        CHECK(size_is((enum rbe_format)f, 64, 0, 64, 1, 0, 0));
    }
    CHECK(size_is(RBE_FORMAT_COUNT, 64, 64, 64, 1, 0, 0));
}

static void check_plain(void)
{
    float out[130];
    static const float f32[6] = {1, -2, 0.5F, 3, 4, -5};
    static const uint16_t f16[4] = {0x3C00, 0xC000, 0x0001, 0x7BFF};
    struct rbe_matrix w = {.format = RBE_F32, .rows = 2, .cols = 3, .codes = f32};

    rbe_decode_row(&w, 1, out);
    CHECK(out[0] == 3 && out[1] == 4 && out[2] == -5);
    w = (struct rbe_matrix){.format = RBE_F16, .rows = 2, .cols = 2, .codes = f16};
    rbe_decode_row(&w, 0, out);
    CHECK(out[0] == 1 && out[1] == -2);
    rbe_decode_row(&w, 1, out);
    CHECK(out[0] == 0x1p-24F && out[1] == 65504);

    /* Two groups a row: scales 1 and 0.5 for row 0, 2 and 0.25 for row 1. */
    static int8_t i8[2 * 256];
    static const uint16_t s8[4] = {0x3C00, 0x3800, 0x4000, 0x3400};
    i8[0] = -127, i8[127] = 5, i8[128] = 7, i8[256] = 3, i8[256 + 129] = -4;
    w = (struct rbe_matrix){.format = RBE_INT8, .rows = 2, .cols = 130, .codes = i8,
                            .scale = s8};
    rbe_decode_row(&w, 0, out);
    CHECK(out[0] == -127 && out[127] == 5 && out[128] == 3.5F && out[129] == 0);
    rbe_decode_row(&w, 1, out);
    CHECK(out[0] == 6 && out[129] == -1 && out[1] == 0);

    /* The bit diagram of int4.h: word 2 holds columns 2, 34, 66, 98. */
    static uint16_t i4[2 * 2 * 32];
    static uint16_t s4[2 * 8];
    for (int g = 0; g < 16; g++)
        s4[g] = rbe_f16_from_f32((float)(g + 1));
    i4[2] = 0x8F71;             /* 1, 7, -1, -8 in groups 0, 1, 2, 3 */
    i4[64 + 32] = 0x0003;       /* row 1, column 128: group 4 of it */
    w = (struct rbe_matrix){.format = RBE_INT4, .rows = 2, .cols = 130, .codes = i4,
                            .scale = s4};
    rbe_decode_row(&w, 0, out);
    CHECK(out[2] == 1 && out[34] == 14 && out[66] == -3 && out[98] == -32 && out[0] == 0);
    rbe_decode_row(&w, 1, out);
    CHECK(out[128] == 3 * 13 && out[2] == 0);
    memset(i4, 0, sizeof i4);
    rbe_int4_put(i4, 130, 0, 2, 1), rbe_int4_put(i4, 130, 0, 34, 7);
    rbe_int4_put(i4, 130, 0, 66, -1), rbe_int4_put(i4, 130, 0, 98, -8);
    CHECK(i4[2] == 0x8F71);
    CHECK(rbe_int4_get(i4, 130, 0, 98) == -8 && rbe_int4_get(i4, 130, 0, 66) == -1);
}

static void check_seed_maps(void)
{
    int low = 0, high = 0, low4 = 0, high4 = 0;
    double sum = 0, squares = 0;

    for (unsigned u = 0; u < 65536; u++) {
        const int g = rbe_seed_map((uint16_t)u), g4 = rbe_seed4_map((uint16_t)u, 7);
        low = g < low ? g : low, high = g > high ? g : high;
        low4 = g4 < low4 ? g4 : low4, high4 = g4 > high4 ? g4 : high4;
        sum += g, squares += (double)g * g;
    }
    CHECK(low == -256 && high == 254 && low4 == -30 && high4 == 30);
    CHECK_NEAR(sum / 65536, -1, 1e-9);
    CHECK_NEAR(sqrt(squares / 65536 - 1), 104.5, 0.05);
    low = high = 0, sum = squares = 0;
    for (unsigned u = 0; u < 65536; u++) {
        const int g = rbe_seedg_map((uint16_t)u);
        low = g < low ? g : low, high = g > high ? g : high;
        sum += g, squares += (double)g * g;
    }
    CHECK(low == -RBE_SEEDG_GMAX && high == RBE_SEEDG_GMAX);
    CHECK_NEAR(sum / 65536, 0, 0.3);
    CHECK_NEAR(sqrt(squares / 65536), 66.2, 0.05);
    /* 1 * -28367 * 2 + 32768 = -23966: h FFFF, entry 63 twice. */
    CHECK(rbe_seedg_map(1) == 2 * (63 - 22));
    /* -13038 * -28367 * 2 + 32768 = 0x2C1764E4: entries 23 and 44. */
    CHECK(rbe_seedg_map(0xCD12) == 23 - 120 + 44 - 69);
    /* 1 * 0xE37D: bytes 0x7D = 125 and 0xE3 = -29. */
    CHECK(rbe_seed_map(1) == 96);
    /* 1 * 0x9E3B + 1 * 0x6487 = 0x02C2: 2 + 12 + 2 + 0 - 30. */
    CHECK(rbe_seed4_map(1, 1) == -14);
}

/* The published formula, in double, from the C library's functions. */
static double packed_value(const struct rbe_packed128 *p, unsigned i, unsigned j, unsigned b)
{
    const double r = (double)rbe_f32_from_bits((uint32_t)(p->lo >> 32));
    const double theta = (double)rbe_f32_from_bits((uint32_t)p->lo);
    const double x = 2.0 * j / (b - 1) - 1, y = 2.0 * i / (b - 1) - 1;
    const double d = sqrt(x * x + y * y), a = atan2(y, x);
    const double p0 = fmin(fmax(r - d * r + theta, 0), 1);
    const unsigned h = (31 * i + j) & 3, s = (unsigned)(p->hi & 0xFF) >> 2 * h & 3;
    const double v = s == 0   ? p0 * fabs(sin(a + theta))
                     : s == 1 ? p0 * fabs(cos(a + theta))
                     : s == 2 ? p0 * tanh(d * r + theta)
                              : p0 * (1 - exp(d * r) / 2);
    const double gain = 1 + 0.1 * ((double)(p->hi >> 8 & 0xFFF) / 4095 - 0.5);
    return fmin(fmax(v * gain, 0), 1);
}

static void check_packed128(void)
{
    double worst = 0;

    for (int n = 0; n < 300; n++) {
        const unsigned b = 4 + check_below(&rng, 60);
        const float r = check_unit(&rng) * 3, theta = check_unit(&rng) * 3;
        const struct rbe_packed128 p = {
            .lo = (uint64_t)rbe_bits_from_f32(r) << 32 | rbe_bits_from_f32(theta),
            .hi = check_next(&rng) >> 44,
            .scale = 1,
        };
        const struct rbe_matrix w = {.format = RBE_PACKED128, .rows = b, .cols = b, .block = b,
                                     .codes = &p};
        float out[64];
        for (unsigned i = 0; i < b; i++) {
            rbe_decode_row(&w, i, out);
            for (unsigned j = 0; j < b; j++)
                worst = fmax(worst, fabs((double)out[j] - packed_value(&p, i, j, b)));
        }
    }
    /* r - d r + theta and d r + theta are below 10 here: a few units of 2^-24 of that, times
     * the steepest slope (the gain's 1.05; 1/2 e^(d r) <= 35 where p is small). */
    CHECK(worst < 2e-5);
    printf("packed128: largest difference from the definition %.3g\n", worst);

    double relative = 0;
    for (float x = -87; x < 88; x += 0.00137F)
        relative = fmax(relative, fabs((double)rbe_packed128_exp(x) / exp((double)x) - 1));
    CHECK(relative < 0x1p-22);
    CHECK(rbe_packed128_exp(NAN) == rbe_packed128_exp(-87));
    CHECK(rbe_packed128_exp(INFINITY) == rbe_packed128_exp(88));
    CHECK(rbe_packed128_exp(0) == 1);

    /* Two blocks side by side, the second cropped; scale and offset apply after the value. */
    struct rbe_packed128 two[2] = {{.scale = 1, .offset = 0.25F}, {.scale = 0, .offset = -3}};
    two[0].lo = (uint64_t)rbe_bits_from_f32(0) << 32 | rbe_bits_from_f32(1);
    two[0].hi = 2 | 2 << 2 | 2 << 4 | 2 << 6;           /* tanh(1) everywhere */
    const struct rbe_matrix w = {.format = RBE_PACKED128, .rows = 4, .cols = 6, .block = 4,
                                 .codes = two};
    float out[6];
    rbe_decode_row(&w, 3, out);
    CHECK_NEAR((double)out[2], 0.95 * tanh(1) + 0.25, 1e-6);
    CHECK(out[4] == -3 && out[5] == -3);
}

/* D and Q are orthonormal; Q spans phi in order. */
static void check_hybrid_tables(unsigned b)
{
    const struct rbe_hybrid_tables *t = rbe_hybrid_tables(b);
    double worst_dct = 0, worst_basis = 0, products[8][8] = {{0}};

    if (!CHECK(t && t->block == b))
        return;
    for (unsigned k = 0; k < b; k++)
        for (unsigned l = 0; l <= k; l++) {
            double sum = 0;
            for (unsigned i = 0; i < b; i++)
                sum += (double)t->dct[k * b + i] * (double)t->dct[l * b + i];
            worst_dct = fmax(worst_dct, fabs(sum - (k == l)));
        }
    for (unsigned i = 0; i < b; i++)
        for (unsigned j = 0; j < b; j++) {
            double q[8] = {0};
            for (unsigned m = 0; m < 8; m++)
                for (unsigned n = 0; n <= m; n++)
                    q[m] += (double)t->gram[m][n] * (double)rbe_hybrid_phi(t, n, i, j);
            for (unsigned m = 0; m < 8; m++)
                for (unsigned n = 0; n < 8; n++)
                    products[m][n] += q[m] * q[n];
        }
    for (unsigned m = 0; m < 8; m++)
        for (unsigned n = 0; n < 8; n++)
            worst_basis = fmax(worst_basis, fabs(products[m][n] - (m == n)));
    CHECK(worst_dct < 1e-6);
    CHECK(worst_basis < 2e-5);
    CHECK_NEAR((double)t->dct[b + 1], sqrt(2.0 / b) * cos(M_PI * 3 / (2.0 * b)), 1e-7);
    CHECK_NEAR((double)rbe_hybrid_phi(t, 1, 0, 0), sqrt(2), 1e-6);
    CHECK_NEAR((double)rbe_hybrid_phi(t, 3, 5, 0), -1, 1e-6);
    CHECK_NEAR((double)rbe_hybrid_phi(t, 6, 0, 5), 1, 1e-6);
}

/* K = B * B gives any block back, to the accuracy of the values stored. */
static void check_hybrid_lossless(unsigned b, uint32_t flag, double tolerance)
{
    const struct rbe_hybrid_tables *t = rbe_hybrid_tables(b);
    const unsigned log2_block = rbe_hybrid_log2(b);
    const uint32_t aux = b * b | flag;
    unsigned char *record = calloc(1, rbe_hybrid_bytes(b, aux));
    float *block = malloc(sizeof *block * b * b), *half = malloc(sizeof *half * b * b), out[64];
    double worst = 0;

    for (unsigned n = 0; n < b * b; n++)
        block[n] = check_unit(&rng);
    for (unsigned i = 0; i < b; i++)
        for (unsigned l = 0; l < b; l++) {
            double sum = 0;
            for (unsigned j = 0; j < b; j++)
                sum += (double)block[i * b + j] * (double)t->dct[l * b + j];
            half[i * b + l] = (float)sum;
        }
    for (unsigned k = 0; k < b; k++)
        for (unsigned l = 0; l < b; l++) {
            double sum = 0;
            for (unsigned i = 0; i < b; i++)
                sum += (double)half[i * b + l] * (double)t->dct[k * b + i];
            rbe_hybrid_put(record, log2_block, aux, k * b + l,
                           (struct rbe_hybrid_entry){k, l, (float)sum});
        }
    const struct rbe_matrix w = {.format = RBE_HYBRID, .rows = b, .cols = b, .block = b,
                                 .aux = aux, .codes = record};
    for (unsigned i = 0; i < b; i++) {
        rbe_decode_row(&w, i, out);
        for (unsigned j = 0; j < b; j++)
            worst = fmax(worst, fabs((double)out[j] - (double)block[i * b + j]));
    }
    CHECK(worst < tolerance);
    free(record), free(block), free(half);
}

static void check_hybrid_records(void)
{
    for (unsigned log2_block = 4; log2_block <= 8; log2_block++) {
        const unsigned b = 1U << log2_block, k = 37;
        unsigned wrong = 0;
        for (int published = 0; published < 2; published++) {
            const uint32_t aux = k | (published ? RBE_HYBRID_PUBLISHED : 0);
            unsigned char *record = calloc(1, rbe_hybrid_bytes(b, aux));
            struct rbe_hybrid_entry in[37];
            for (unsigned e = 0; e < k; e++) {
                in[e] = (struct rbe_hybrid_entry){check_below(&rng, b), check_below(&rng, b),
                                                  (float)check_below(&rng, 2048) / 64};
                rbe_hybrid_put(record, log2_block, aux, e, in[e]);
            }
            for (unsigned m = 0; m < 8; m++)
                rbe_hybrid_put_coefficient(record, aux, m, (float)m - 4);
            for (unsigned e = 0; e < k; e++) {
                const struct rbe_hybrid_entry got = rbe_hybrid_get(record, log2_block, aux, e);
                wrong += got.k != in[e].k || got.l != in[e].l || got.value != in[e].value;
            }
            for (unsigned m = 0; m < 8; m++)
                wrong += rbe_hybrid_coefficient(record, aux, m) != (float)m - 4;
            free(record);
        }
        CHECK(wrong == 0);
    }
    /* A hostile index stays inside the block. */
    unsigned char record[40];
    memset(record, 0xFF, sizeof record);
    const struct rbe_hybrid_entry v = rbe_hybrid_get(record, 4, 1 | RBE_HYBRID_PUBLISHED, 0);
    CHECK(v.k == 15 && v.l == 15);
    CHECK(rbe_hybrid_tables(48) == NULL && rbe_hybrid_tables(8) == NULL);
}

int main(int argc, char **argv)
{
    rng = check_seed(argc, argv);
    check_sizes();
    check_plain();
    check_seed_maps();
    check_packed128();
    for (unsigned b = 16; b <= 256; b *= 2)
        check_hybrid_tables(b);
    check_hybrid_lossless(16, RBE_HYBRID_PUBLISHED, 16 * 0x1p-22);
    check_hybrid_lossless(64, RBE_HYBRID_PUBLISHED, 64 * 0x1p-22);
    check_hybrid_lossless(32, 0, 0.01);
    check_hybrid_records();
    return check_done();
}

/*
 * check_encode_block.c - the chapter's codecs: lossless limits, rates, seeds found again.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/format/hybrid.h"
#include "kernels/format/packed128.h"
#include "kernels/test/check.h"
#include "rbe/encode.h"
#include "rbe/quality.h"

/* Relative RMSE of w under o, and its bytes; -1 when it fails. */
static double error_of(const float *w, uint32_t rows, uint32_t cols,
                       const struct rbe_encode_options *o, size_t *bytes)
{
    struct rbe_weight enc;
    struct rbe_quality q;
    struct rbe_diag d = {""};
    double e = -1;

    if (rbe_encode_weight(&enc, w, rows, cols, o, NULL, &d) == RBE_OK &&
        rbe_quality_measure(&q, w, &enc, NULL, &d) == RBE_OK)
        e = q.relative_rmse;
    else
        printf("%s\n", d.text);
    if (bytes)
        *bytes = enc.bytes;
    rbe_weight_free(&enc);
    return e;
}

/* All coefficients kept: f32 round-off with f32 values, f16 round-off with f16 ones. */
static void hybrid_lossless(void)
{
    enum { R = 40, C = 70 };
    float w[R * C];

    rbe_white_gaussian(w, R * C, 11);
    for (uint32_t b = 16; b <= 64; b *= 2) {
        struct rbe_encode_options o = {.format = RBE_HYBRID, .block = b,
                                       .aux = b * b | RBE_HYBRID_PUBLISHED};
        size_t bytes;
        const double e = error_of(w, R, C, &o, &bytes);
        CHECK(e >= 0 && e < 2e-6);
        CHECK(bytes == (size_t)((R + b - 1) / b) * ((C + b - 1) / b) * (32 + 8 * b * b));
        o.aux = b * b;
        const double half = error_of(w, R, C, &o, NULL);
        CHECK(half > 0 && half < 4e-4);
        o.aux = b * b / 2;
        CHECK(error_of(w, R, C, &o, NULL) > 0.1);
    }
}

/* A combination of the eight functions needs no coefficient; one cosine more needs one. */
static void hybrid_basis(void)
{
    enum { B = 32 };
    const struct rbe_hybrid_tables *t = rbe_hybrid_tables(B);
    static float w[B * B];
    struct rbe_encode_options o = {.format = RBE_HYBRID, .block = B};
    struct rbe_diag d = {""};
    uint32_t k;

    for (unsigned i = 0; i < B; i++)
        for (unsigned j = 0; j < B; j++)
            for (unsigned m = 0; m < RBE_HYBRID_BASIS; m++)
                w[i * B + j] += (m % 2 ? -0.5F : 1) * rbe_hybrid_phi(t, m, i, j);
    CHECK(error_of(w, B, B, &o, NULL) < 1e-3);
    CHECK(rbe_encode_k_for_energy(&k, RBE_HYBRID, w, B, B, B, 1e-6, NULL, &d) == RBE_OK);
    CHECK(k == 0);
    for (unsigned i = 0; i < B; i++)
        for (unsigned j = 0; j < B; j++)
            w[i * B + j] += 60 * t->dct[7 * B + i] * t->dct[9 * B + j];
    CHECK(error_of(w, B, B, &o, NULL) > 0.3);
    o.aux = 1;
    CHECK(error_of(w, B, B, &o, NULL) < 1e-3);
    CHECK(rbe_encode_k_for_energy(&k, RBE_HYBRID, w, B, B, B, 1e-6, NULL, &d) == RBE_OK);
    CHECK(k == 1);
}

static void hybrid_energy(void)
{
    enum { R = 64, C = 96 };
    float w[R * C];
    struct rbe_encode_options o = {.format = RBE_HYBRID, .block = 32};
    struct rbe_diag d = {""};
    struct rbe_pool *pool;
    uint32_t k, again;

    rbe_white_gaussian(w, R * C, 5);
    CHECK(rbe_encode_k_for_energy(&k, RBE_HYBRID, w, R, C, 32, 0.25, NULL, &d) == RBE_OK);
    CHECK(k > 100 && k < 900);
    o.aux = k;
    CHECK_NEAR(error_of(w, R, C, &o, NULL), 0.5, 0.001);
    CHECK(rbe_pool_open(&pool, 2, &d) == RBE_OK);
    CHECK(rbe_encode_k_for_energy(&again, RBE_HYBRID, w, R, C, 32, 0.25, pool, &d) == RBE_OK);
    CHECK(again == k);
    rbe_pool_close(&pool);
    CHECK(rbe_encode_k_for_energy(&k, RBE_HYBRID, w, R, C, 32, 1e-12, NULL, &d) == RBE_OK);
    CHECK(k >= 1000);
    CHECK(rbe_encode_k_for_energy(&k, RBE_HYBRID, w, R, C, 48, 0.5, NULL, &d) == RBE_ERR_ARG);
    CHECK(rbe_encode_k_for_energy(&k, RBE_SEED, w, R, C, 32, 0.5, NULL, &d) == RBE_ERR_ARG);
}

/* What a seed rendered, a seed explains: blocks of the codec itself come back. */
static void packed128_finds_seeds(struct check_rng *rng)
{
    enum { B = 16, N = 6 };
    double worst = 0;

    for (int n = 0; n < N; n++) {
        const struct rbe_packed128 p = {
            .lo = (uint64_t)rbe_bits_from_f32(0.8F + 0.5F * check_unit(rng)) << 32 |
                  rbe_bits_from_f32(0.6F + 0.4F * check_unit(rng)),
            .hi = check_below(rng, 256) | 2047 << 8};
        const struct rbe_packed128_seed s = rbe_packed128_open(&p);
        struct rbe_encode_options o = {.format = RBE_PACKED128, .block = B};
        float w[B * B], mean = 0;
        size_t bytes;

        for (unsigned i = 0; i < B; i++)
            for (unsigned j = 0; j < B; j++)
                mean += (w[i * B + j] = 3 * rbe_packed128_value(&s, i, j, B)) / (B * B);
        for (int i = 0; i < B * B; i++)
            w[i] -= mean;
        const double e = error_of(w, B, B, &o, &bytes);
        worst = fmax(worst, e);
        CHECK(e >= 0 && e < 0.25);
        CHECK(bytes == 24);
    }
    printf("packed128: worst relative RMSE on its own blocks %.4f\n", worst);
}

/* Nothing beats the bound on white noise, and nothing is worse than zeros by more than the
 * rounding of what is stored. */
static void gaussian_control(void)
{
    static const struct {
        enum rbe_format f;
        uint32_t block, aux;
    } cases[] = {{RBE_PACKED128, 7, 0}, {RBE_PACKED128, 20, 0}, {RBE_PACKED128, 64, 0},
                 {RBE_HYBRID, 16, 5}, {RBE_HYBRID, 64, 580}, {RBE_HYBRID, 128, 0},
                 {RBE_HYBRID, 64, 100 | RBE_HYBRID_PUBLISHED}};

    static float w[128 * 128];

    rbe_white_gaussian(w, 128 * 128, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct rbe_encode_options o = {.format = cases[i].f, .block = cases[i].block,
                                             .aux = cases[i].aux};
        struct rbe_diag d = {""};
        struct rbe_quality q;

        CHECK(rbe_quality_encode(&q, w, 128, 128, &o, NULL, &d) == RBE_OK);
        printf("%s B %u: %.4f bits, relative RMSE %.4f, bound %.4f\n",
               rbe_format_name(o.format), o.block, q.bits, q.relative_rmse, q.bound);
        CHECK(q.relative_rmse >= q.bound && q.relative_rmse <= 1 + 1e-3);
    }
}

/* The edges of a matrix that blocks do not divide. */
static void edges(void)
{
    float w[5 * 3];
    struct rbe_encode_options o = {.format = RBE_PACKED128, .block = 4};
    size_t bytes;

    rbe_white_gaussian(w, 15, 2);
    CHECK(error_of(w, 5, 3, &o, &bytes) < 1 && bytes == 2 * 24);
    memset(w, 0, sizeof w);
    CHECK(error_of(w, 5, 3, &o, NULL) == 0);
    for (int i = 0; i < 15; i++)
        w[i] = 0.5F;
    CHECK(error_of(w, 5, 3, &o, NULL) == 0);
    o = (struct rbe_encode_options){.format = RBE_HYBRID, .block = 16,
                                    .aux = 256 | RBE_HYBRID_PUBLISHED};
    CHECK(error_of(w, 5, 3, &o, &bytes) < 1e-6 && bytes == 32 + 8 * 256);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);

    hybrid_lossless();
    hybrid_basis();
    hybrid_energy();
    packed128_finds_seeds(&rng);
    gaussian_control();
    edges();
    return check_done();
}

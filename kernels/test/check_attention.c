/*
 * check_attention.c - every version and cache against doubles, and against each other bit for
 * bit, in buffers that touch unreadable pages.
 *
 * SPDX-License-Identifier: MIT
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/attention.h"
#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "kernels/test/check.h"
#include "kernels/test/guard.h"

enum { DIM_MAX = 304, COUNT_MAX = 1040, QUERIES = 5 };

static const struct shape {
    size_t dim, count;
} shapes[] = {{64, 1},  {64, 2},   {64, 3},   {64, 16},  {64, 17},  {64, 511}, {64, 512},
              {64, 513}, {64, 1040}, {96, 100}, {128, 33}, {80, 40},  {1, 5},    {2, 19},
              {4, 15},  {20, 31},  {16, 4},   {256, 9},  {304, 40}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* Of queries one after another: within a step, and where pieces end between them. */
static const struct shape later[] = {{64, 1}, {80, 125}, {20, 510}, {32, 1021}};

static struct guarded key_room, value_room, key_scale_room, value_scale_room, query_room;
static float key[COUNT_MAX * DIM_MAX], value[COUNT_MAX * DIM_MAX], x[QUERIES * DIM_MAX];
static float p[QUERIES][COUNT_MAX], weight[QUERIES][COUNT_MAX], s[QUERIES][COUNT_MAX + 16];
static float y[QUERIES][DIM_MAX];
static float first_s[SHAPES][RBE_KV_TYPES][QUERIES][COUNT_MAX];
static float first_y[SHAPES][RBE_KV_TYPES][QUERIES][DIM_MAX];

static size_t steps(size_t n)
{
    return (n + RBE_KV_STEP - 1) / RBE_KV_STEP * RBE_KV_STEP;
}

static struct rbe_kv open_kv(enum rbe_kv_type t, size_t dim, size_t count)
{
    const size_t n = steps(count), bytes = rbe_kv_bytes(t, n, dim);
    const size_t scales = rbe_kv_scale_bytes(t, n);
    struct rbe_kv kv = {.dim = dim};

    /* As long as it must be, and no longer. */
    kv.keys = guarded_at(&key_room, AT_END, bytes, 4);
    kv.values = guarded_at(&value_room, AT_END, bytes, 4);
    memset(kv.keys, 0xFF, bytes);
    memset(kv.values, 0xFF, bytes);
    if (scales) {
        kv.key_scales = guarded_at(&key_scale_room, AT_END, scales, 2);
        kv.value_scales = guarded_at(&value_scale_room, AT_END, scales, 2);
        memset(kv.key_scales, 0xFF, scales);
        memset(kv.value_scales, 0xFF, scales);
    }
    return kv;
}

static struct rbe_kv_queries ask(enum rbe_kv_type t, const float *from, size_t n, size_t dim)
{
    struct rbe_kv_queries q;
    const size_t bytes = rbe_kv_query_bytes(t, n, dim);

    rbe_kv_ask(&q, t, bytes ? guarded_at(&query_room, AT_END, bytes, 4) : NULL, from, DIM_MAX,
               n, dim, 0.125F);
    return q;
}

static void place_all(const struct rbe_attention *a, enum rbe_kv_type t,
                      const struct rbe_kv *kv, size_t count)
{
    /* Some position first with something else, as after a truncation. */
    a->of[t].place(kv, count / 2, value, key);
    for (size_t i = 0; i < count; i++)
        a->of[t].place(kv, i, key + i * kv->dim, value + i * kv->dim);
}

static float largest(const float *v, size_t n)
{
    float m = 0;

    for (size_t i = 0; i < n; i++)
        m = fmaxf(m, fabsf(v[i]));
    return m;
}

/* Half a step of a value of this row, the scale's own rounding up within it. */
static double half_step(enum rbe_kv_type t, const float *row, size_t dim)
{
    const double m = (double)largest(row, dim);

    switch (t) {
    case RBE_KV_TYPE_F32: return 0;
    case RBE_KV_TYPE_F16: return m * 0x1p-11 + 0x1p-25;
    default: return m / 127 * (1 + 0x1p-7) / 2 * (1 + 0x1p-16) + 0x1p-101;
    }
}

/* |error| <= what keys and queries lost, and dim + 4 roundings of the whole sum. */
static void check_scores(enum rbe_kv_type t, size_t dim, size_t count, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float *q = x + i * DIM_MAX;
        const double q_step =
            t == RBE_KV_TYPE_INT8 ? (double)largest(q, dim) / 32638 / 2 * (1 + 0x1p-16) : 0;
        unsigned wrong = 0;
        for (size_t k = 0; k < count; k++) {
            const float *row = key + k * dim;
            const double step = half_step(t, row, dim);
            double want = 0, bound = 0;
            for (size_t j = 0; j < dim; j++) {
                want += (double)q[j] * row[j];
                bound += fabs((double)q[j]) * step + (fabs((double)row[j]) + step) * q_step +
                         fabs((double)q[j] * row[j]) * (double)(dim + 4) * 0x1p-24;
            }
            wrong += !(fabs(s[i][k] - want / 8) <= bound / 8 + 1e-37);
        }
        CHECK(wrong == 0);
    }
}

static void check_mix(enum rbe_kv_type t, size_t dim, size_t count, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double weight_step[COUNT_MAX / RBE_KV_CHUNK + 1] = {0};
        unsigned wrong = 0;
        for (size_t k = 0; k < count && t == RBE_KV_TYPE_INT8; k++) {
            double *w = &weight_step[k / RBE_KV_CHUNK];
            *w = fmax(*w, (double)p[i][k] * half_step(t, value + k * dim, dim) * 2);
        }
        for (size_t j = 0; j < dim; j++) {
            double want = 0, bound = 0;
            for (size_t k = 0; k < count; k++) {
                const double v = value[k * dim + j], w = p[i][k];
                const double step = half_step(t, value + k * dim, dim);
                want += w * v;
                /* A code of at most 127, a weight rounded to 32639 steps of the largest. */
                bound += w * step + fabs(w * v) * (double)(count + 8) * 0x1p-24 +
                         127 * weight_step[k / RBE_KV_CHUNK] / 32639 / 2;
            }
            wrong += !(fabs(y[i][j] - want) <= bound + 1e-37);
        }
        CHECK(wrong == 0);
    }
}

/* All that a version says of a shape; queries one by one and together. */
static void check_shape(const struct rbe_attention *a, bool is_first, size_t shape,
                        enum rbe_kv_type t)
{
    const size_t dim = shapes[shape].dim, count = shapes[shape].count;
    const struct rbe_attention_of *f = &a->of[t];
    const struct rbe_kv kv = open_kv(t, dim, count);

    place_all(a, t, &kv, count);
    for (size_t n = QUERIES; n; n--) {
        const struct rbe_kv_queries q = ask(t, x, n, dim);
        memset(s, 0xFF, sizeof s);
        memset(y, 0xFF, sizeof y);
        memcpy(weight, p, sizeof weight);
        f->scores(s[0], COUNT_MAX + 16, &q, &kv, count);
        f->mix(y[0], DIM_MAX, weight[0], COUNT_MAX, n, &kv, count, false);
        if (n == QUERIES) {
            check_scores(t, dim, count, n);
            check_mix(t, dim, count, n);
        }
        for (size_t i = 0; i < n; i++) {
            if (is_first && n == QUERIES) {
                memcpy(first_s[shape][t][i], s[i], count * sizeof(float));
                memcpy(first_y[shape][t][i], y[i], dim * sizeof(float));
            }
            CHECK(!memcmp(first_s[shape][t][i], s[i], count * sizeof(float)));
            CHECK(!memcmp(first_y[shape][t][i], y[i], dim * sizeof(float)));
            CHECK(dim == DIM_MAX || isnan(y[i][dim]));
        }
    }
    /* What comes later changes nothing before it. */
    const size_t fewer = (count + 1) / 2;
    const struct rbe_kv_queries q = ask(t, x, 1, dim);
    f->scores(s[0], COUNT_MAX + 16, &q, &kv, fewer);
    CHECK(!memcmp(first_s[shape][t][0], s[0], fewer * sizeof(float)));
}

/* Queries of tokens one after another: each gets the bits that it gets alone, whatever stands
 * behind what it looks at. */
static void check_later(const struct rbe_attention *a, enum rbe_kv_type t, size_t dim,
                        size_t count)
{
    static float alone[DIM_MAX], rest[QUERIES][COUNT_MAX];
    const size_t all = count + QUERIES - 1;
    const struct rbe_kv kv = open_kv(t, dim, all);
    unsigned wrong = 0;

    place_all(a, t, &kv, all);
    for (size_t n = 2; n <= QUERIES; n += QUERIES - 2) {
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < COUNT_MAX; k++)
                rest[i][k] = k < count + i ? p[i][k] : k % 2 ? 1e30F : NAN;
        memset(y, 0xFF, sizeof y);
        a->of[t].mix(y[0], DIM_MAX, rest[0], COUNT_MAX, n, &kv, count, true);
        for (size_t i = 0; i < n; i++) {
            memcpy(weight[0], p[i], sizeof weight[0]);
            a->of[t].mix(alone, DIM_MAX, weight[0], COUNT_MAX, 1, &kv, count + i, false);
            wrong += !!memcmp(alone, y[i], dim * sizeof(float));
            wrong += dim < DIM_MAX && !isnan(y[i][dim]);
        }
    }
    CHECK(wrong == 0);
}

/* One query value of 1, one weight of 1: single keys and values, within half a step. */
static void check_single(const struct rbe_attention *a, enum rbe_kv_type t, size_t dim,
                         size_t count)
{
    const struct rbe_kv kv = open_kv(t, dim, count);
    static float one[DIM_MAX];
    unsigned wrong = 0;

    place_all(a, t, &kv, count);
    for (size_t j = 0; j < dim; j++) {
        one[j] = 8;
        const struct rbe_kv_queries q = ask(t, one, 1, dim);
        a->of[t].scores(s[0], COUNT_MAX, &q, &kv, count);
        one[j] = 0;
        for (size_t k = 0; k < count; k++)
            wrong += !(fabs((double)s[0][k] - key[k * dim + j]) <=
                       half_step(t, key + k * dim, dim) + 4e-5 * fabs(key[k * dim + j]));
    }
    for (size_t k = 0; k < count; k++) {
        memset(weight[0], 0, count * sizeof(float));
        weight[0][k] = 1;
        a->of[t].mix(y[0], DIM_MAX, weight[0], COUNT_MAX, 1, &kv, count, false);
        for (size_t j = 0; j < dim; j++)
            wrong += !(fabs((double)y[0][j] - value[k * dim + j]) <=
                       half_step(t, value + k * dim, dim) + 4e-7 * fabs(value[k * dim + j]));
    }
    CHECK(wrong == 0);
}

/* Rows of zeros, of numbers large and small, and of none. */
static void check_special(const struct rbe_attention *a, enum rbe_kv_type t)
{
    enum { DIM = 64, COUNT = 20 };
    const struct rbe_kv kv = open_kv(t, DIM, COUNT);
    const struct rbe_attention_of *f = &a->of[t];
    struct rbe_kv_queries q = ask(t, x, 1, DIM);
    static const float sizes[] = {0, 1e-42F, 1e-37F, 1e-20F, 1e4F, 1e30F};
    const float odd[] = {NAN, INFINITY, -INFINITY};
    float row[DIM];

    place_all(a, t, &kv, COUNT);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (t == RBE_KV_TYPE_F16 && sizes[i] > 65504)
            continue;
        for (size_t j = 0; j < DIM; j++)
            row[j] = sizes[i] * key[j];
        f->place(&kv, 7, row, row);
        f->scores(s[0], COUNT_MAX, &q, &kv, COUNT);
        CHECK(isfinite(s[0][7]) && (sizes[i] != 0 || s[0][7] == 0));
        CHECK(fabs((double)s[0][7]) <= 64.0 * (double)sizes[i] * 2 + 1e-5);
        memset(weight[0], 0, sizeof weight[0]);
        weight[0][7] = 1;
        f->mix(y[0], DIM_MAX, weight[0], COUNT_MAX, 1, &kv, COUNT, false);
        for (size_t j = 0; j < DIM; j++)
            CHECK_NEAR(y[0][j], row[j], half_step(t, row, DIM) + 1e-6 * fabs(row[j]));
    }
    for (size_t i = 0; i < 3; i++) {
        memcpy(row, key, sizeof row);
        row[13] = odd[i];
        f->place(&kv, 7, row, row);
        f->scores(s[0], COUNT_MAX, &q, &kv, COUNT);
        for (size_t k = 0; k < COUNT; k++)
            CHECK(!!isfinite(s[0][k]) == (k != 7));
        memcpy(weight, p, sizeof weight);
        f->mix(y[0], DIM_MAX, weight[0], COUNT_MAX, 1, &kv, COUNT, false);
        CHECK(!isfinite(y[0][13]));
        f->place(&kv, 7, key, value);
        memcpy(weight, p, sizeof weight);
        weight[0][3] = NAN;
        f->mix(y[0], DIM_MAX, weight[0], COUNT_MAX, 1, &kv, COUNT, false);
        CHECK(isnan(y[0][13]));
        row[13] = key[13];
        row[2] = odd[i];
        const struct rbe_kv_queries bad = ask(t, row, 1, DIM);
        f->scores(s[0], COUNT_MAX, &bad, &kv, COUNT);
        CHECK(!isfinite(s[0][0]));
        q = ask(t, x, 1, DIM);
    }
    /* No weight at all. */
    memset(weight[0], 0, sizeof weight[0]);
    f->mix(y[0], DIM_MAX, weight[0], COUNT_MAX, 1, &kv, COUNT, false);
    for (size_t j = 0; j < DIM; j++)
        CHECK(y[0][j] == 0);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    const size_t most = COUNT_MAX * DIM_MAX * sizeof(float) + 64;
    const struct rbe_attention *a;
    unsigned ran = 0;

    if (rbe_cpu_init())
        return 2;
    if (!CHECK(guarded_open(&key_room, most) && guarded_open(&value_room, most) &&
               guarded_open(&key_scale_room, most) && guarded_open(&value_scale_room, most) &&
               guarded_open(&query_room, most)))
        return check_done();
    for (size_t i = 0; i < COUNT_MAX * DIM_MAX; i++) {
        key[i] = 4 * check_unit(&rng) * check_unit(&rng);
        value[i] = check_unit(&rng) * check_unit(&rng) * check_unit(&rng);
    }
    for (size_t i = 0; i < QUERIES * DIM_MAX; i++)
        x[i] = 3 * check_unit(&rng);
    /* A few large weights among many small ones. */
    for (size_t i = 0; i < QUERIES * COUNT_MAX; i++)
        p[i / COUNT_MAX][i % COUNT_MAX] = expf(8 * check_unit(&rng) - 8);
    for (size_t i = 0; (a = rbe_attention_at(i)); i++) {
        const unsigned failed = check_failed;
        if (a->isa & ~rbe_cpu_isa()) {
            printf("SKIP attention_%s: this CPU lacks it, or it is masked\n", a->name);
            continue;
        }
        for (int t = 0; t < RBE_KV_TYPES; t++) {
            for (size_t shape = 0; shape < SHAPES; shape++)
                check_shape(a, ran == 0, shape, (enum rbe_kv_type)t);
            for (size_t at = 0; at < sizeof later / sizeof later[0]; at++)
                check_later(a, (enum rbe_kv_type)t, later[at].dim, later[at].count);
            check_single(a, (enum rbe_kv_type)t, 64, 37);
            check_single(a, (enum rbe_kv_type)t, 20, 5);
            check_special(a, (enum rbe_kv_type)t);
        }
        printf("%s attention_%s\n", check_failed == failed ? "ok  " : "FAIL", a->name);
        ran++;
    }
    CHECK(ran > 0 && rbe_attention_best(0) == rbe_attention_at(0));
    return check_done();
}

/*
 * check_act.c - activations: the limits of their quantisation, and what poisons them.
 *
 * SPDX-License-Identifier: MIT
 */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/f16.h"
#include "kernels/kernel.h"
#include "kernels/test/check.h"

enum { MAX_COLS = 4096, COUNT = 3 };

static struct check_rng rng;
static float x[COUNT * MAX_COLS];
static uint16_t col_scale[MAX_COLS];

/* Every int32 sum a kernel may form, whatever the weights: gmax * sum|q| over a span. */
static bool sums_fit(const struct rbe_act *a, size_t t, const struct rbe_format_facts *facts)
{
    const size_t span = facts->group ? facts->group : a->cols;
    int64_t sum = 0;

    for (size_t n = 0; n < a->cols; n++) {
        if (n % span == 0)
            sum = 0;
        sum += llabs((long long)a->q[t * a->stride + n]) * facts->gmax;
        if (sum > INT32_MAX)
            return false;
    }
    return true;
}

static void check_numbers(struct rbe_act *a, struct rbe_matrix *w,
                          const struct rbe_format_facts *facts, int kind)
{
    for (size_t i = 0; i < (size_t)COUNT * w->cols; i++) {
        const float u = check_unit(&rng);
        x[i] = kind == 0   ? u
               : kind == 1 ? (u < 0 ? -1.0F : 1.0F)             /* all at the limit */
               : kind == 2 ? u * u * u * u * u * 1e30F
               : kind == 3 ? (i % w->cols == 3 % w->cols ? 1e-3F : u * 1e-9F)
                           : ldexpf(u, -120);
    }
    const int most = a->bits == 8 ? RBE_ACT8_MAX : RBE_ACT_MAX;

    rbe_act_prepare(a, w, x, w->cols, COUNT);
    CHECK(a->count == COUNT && a->cols == w->cols);
    for (size_t t = 0; t < COUNT; t++) {
        unsigned wrong = 0;
        int largest = 0;
        for (size_t n = 0; n < w->cols; n++) {
            const float scaled = x[t * w->cols + n] *
                                 (w->col_scale ? rbe_f16_to_f32(w->col_scale[n]) : 1);
            const int q = a->q[t * a->stride + n];
            wrong += rbe_bits_from_f32(a->x[t * a->stride + n]) != rbe_bits_from_f32(scaled);
            /* A half step, and three roundings of a product of at most 2^15. */
            wrong += !(fabs((double)scaled / (double)a->scale[t] - q) <= 0.5 + 0.01);
            largest = abs(q) > largest ? abs(q) : largest;
        }
        for (size_t n = w->cols; n < (w->cols + RBE_ACT_PAD - 1) / RBE_ACT_PAD * RBE_ACT_PAD;
             n++)
            wrong += a->q[t * a->stride + n] != 0 || a->x[t * a->stride + n] != 0;
        for (size_t n = 0; a->bits == 8 && n < a->stride && n < w->cols + RBE_ACT_PAD - 1; n++)
            wrong += n / RBE_ACT_PAD * RBE_ACT_PAD < w->cols &&
                     a->pair[t * a->stride + n] != (a->q[t * a->stride + n] + 128) * 257;
        CHECK(wrong == 0);
        CHECK(largest <= most);
        CHECK(sums_fit(a, t, facts));
        /* One of the limits is used up, but for numbers near the smallest. */
        if ((facts->group || a->bits == 8) && kind != 4)
            CHECK(largest >= most - 2);
    }
}

static void check_poison(struct rbe_act *a, struct rbe_matrix *w)
{
    static const float poison[] = {NAN, INFINITY, -INFINITY};

    memset(x, 0, sizeof x);
    rbe_act_prepare(a, w, x, w->cols, 1);
    CHECK(a->scale[0] == 0);
    CHECK(a->q[0] == 0);
    for (size_t i = 0; i < 3; i++) {
        x[w->cols / 2] = poison[i];
        rbe_act_prepare(a, w, x, w->cols, 1);
        CHECK(isnan(a->scale[0]));
        if (w->cols > 1) {
            x[0] = 1;
            rbe_act_prepare(a, w, x, w->cols, 1);
            CHECK(isnan(a->scale[0]));
            x[0] = 0;
        }
    }
    /* Two infinities of unlike sign, and numbers whose sum overflows f32. */
    x[0] = INFINITY, x[w->cols - 1] = -INFINITY;
    rbe_act_prepare(a, w, x, w->cols, 1);
    CHECK(isnan(a->scale[0]));
    for (size_t n = 0; n < w->cols; n++)
        x[n] = FLT_MAX;
    rbe_act_prepare(a, w, x, w->cols, 1);
    CHECK(isfinite(a->scale[0]) && a->q[0] > 0);
    /* The smallest numbers give a number. */
    memset(x, 0, sizeof x);
    x[0] = 0x1p-149F;
    rbe_act_prepare(a, w, x, w->cols, 1);
    CHECK(isfinite(a->scale[0]));
}

/* The choice of all, and each format's own. */
static void check_choice(void)
{
    char text[64];

    CHECK(rbe_format_act_bits(RBE_F32) == 0 && rbe_format_act_bits(RBE_INT8) == 16);
    CHECK(rbe_format_act_bits(RBE_SEED) == 8 && rbe_format_act_bits(RBE_SEED4) == 8);
    rbe_act_bits_string(text, sizeof text);
    CHECK(!strncmp(text, "int8:16 int4:16 seed:8 seed4:8", 30));
    CHECK(strlen(rbe_act_bits_string(text, 6)) == 5);
    setenv("RBE_ACTIVATIONS", "16", 1);
    CHECK(!rbe_act_bits_init() && rbe_format_act_bits(RBE_SEED) == 16);
    setenv("RBE_ACTIVATIONS", "8", 1);
    CHECK(!rbe_act_bits_init() && rbe_format_act_bits(RBE_INT4) == 8);
    CHECK(rbe_format_act_bits(RBE_HYBRID) == 0);
    setenv("RBE_ACTIVATIONS", "12", 1);
    CHECK(rbe_act_bits_init() && !strcmp(rbe_act_bits_init(), "12"));
    unsetenv("RBE_ACTIVATIONS");
    CHECK(!rbe_act_bits_init() && rbe_format_act_bits(RBE_SEED) == 8);
}

int main(int argc, char **argv)
{
    static const uint32_t widths[] = {1, 2, 63, 64, 65, 127, 128, 129, 768, 3072, 4096};
    struct rbe_act a;

    rng = check_seed(argc, argv);
    check_choice();
    void *mem = aligned_alloc(64, (rbe_act_bytes(COUNT, MAX_COLS) + 63) / 64 * 64);
    if (!CHECK(mem))
        return check_done();
    for (size_t n = 0; n < MAX_COLS; n++)
        col_scale[n] = rbe_f16_from_f32(0.5F + (float)check_below(&rng, 1000) / 1000);

    rbe_act_init(&a, mem, COUNT, MAX_COLS);
    CHECK(a.stride == MAX_COLS);
    CHECK((char *)(a.scale + COUNT) <= (char *)mem + rbe_act_bytes(COUNT, MAX_COLS));
    CHECK((uintptr_t)a.q % 64 == 0 && (uintptr_t)a.x % 64 == 0);
    for (int f = 0; f < RBE_FORMAT_COUNT; f++)
        for (size_t c = 0; c < sizeof widths / sizeof widths[0]; c++) {
            const struct rbe_format_facts *facts = rbe_format_facts((enum rbe_format)f);
            struct rbe_matrix w = {.format = (enum rbe_format)f, .rows = 64, .cols = widths[c],
                                   .block = 64};
            if (!facts->gmax)
                continue;
            memset(mem, 0xFF, rbe_act_bytes(COUNT, MAX_COLS));
            for (a.bits = 8; a.bits <= 16; a.bits += 8) {
                for (int kind = 0; kind < 5; kind++) {
                    w.col_scale = kind == 2 ? NULL : col_scale;
                    check_numbers(&a, &w, facts, kind);
                }
                w.col_scale = NULL;
                check_poison(&a, &w);
            }
        }
    free(mem);
    return check_done();
}

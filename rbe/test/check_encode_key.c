/*
 * check_encode_key.c - whatever decides the bytes of a matrix decides its key.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kernels/test/check.h"
#include "rbe/encode.h"

enum { ROWS = 6, COLS = 4, KEYS = 64 };

static float w[ROWS * COLS], other[ROWS * COLS], h[COLS * COLS], h2[COLS * COLS], rows[ROWS],
    rows2[ROWS], g[ROWS * ROWS], g2[ROWS * ROWS];
static char keys[KEYS][65];
static size_t count;

/* A key that none before had. */
static void fresh(const float *x, uint32_t r, uint32_t c, const struct rbe_encode_options *o)
{
    char again[65];

    if (!CHECK(count < KEYS))
        return;
    CHECK(!rbe_encode_key(keys[count], x, r, c, o) && !rbe_encode_key(again, x, r, c, o));
    CHECK(strlen(again) == 64 && !strcmp(again, keys[count]));
    for (size_t i = 0; i < count; i++)
        if (!CHECK(strcmp(keys[i], keys[count])))
            printf("     the keys %zu and %zu, in the order of the program\n", i, count);
    count++;
}

static bool never(void *arg, double done)
{
    (void)arg;
    return done < 0;
}

int main(void)
{
    static const struct rbe_encode_part parts[] = {{2, RBE_SEED, 44, 0}, {4, RBE_SEED, 44, 0}};
    static const struct rbe_encode_part cut[] = {{3, RBE_SEED, 44, 0}, {3, RBE_SEED, 44, 0}};
    static const struct rbe_encode_part block[] = {{2, RBE_SEED, 44, 0}, {4, RBE_SEED, 40, 0}};
    static const struct rbe_encode_part codec[] = {{2, RBE_SEED, 44, 0}, {4, RBE_SEED4, 44, 0}};
    static const struct rbe_encode_part aux[] = {{2, RBE_SEED, 44, 0}, {4, RBE_SEED, 44, 1}};
    const struct rbe_encode_options base = {.format = RBE_SEED, .block = 44};
    const struct rbe_encode_part *const all[] = {parts, cut, block, codec, aux};
    struct rbe_encode_options o = base;
    char key[65];

    for (size_t i = 0; i < ROWS; i++)
        rows[i] = rows2[i] = 1;
    for (size_t i = 0; i < COLS * COLS; i++)
        h[i] = h2[i] = i % (COLS + 1) == 0;
    for (size_t i = 0; i < ROWS * ROWS; i++)
        g[i] = g2[i] = i % (ROWS + 1) == 0;
    other[7] = g2[ROWS * ROWS - 1] = rows2[ROWS - 1] = h2[COLS * COLS - 1] = 2;
    fresh(w, ROWS, COLS, &base);
    fresh(other, ROWS, COLS, &base);
    fresh(w, COLS, ROWS, &base);
    fresh(w, 2 * COLS, ROWS / 2, &base);
#define CHANGE(field, value) o = base; o.field = (value); fresh(w, ROWS, COLS, &o)
    CHANGE(format, RBE_SEED4);
    CHANGE(block, 40);
    CHANGE(aux, 3);
    CHANGE(search, RBE_SEARCH_BEST);
    CHANGE(drawn, true);
    CHANGE(window, 12);
    CHANGE(fixed_cols, true);
    CHANGE(search_scale, 1.1F);
    CHANGE(search_scale, 1.1000001F);
    CHANGE(scales, RBE_SCALES_ROW);
    CHANGE(scale_search, true);
    CHANGE(hadamard, 4);
    CHANGE(sign_seed, 7);
    CHANGE(sign_seed, 7ULL << 40);
    CHANGE(damping, 0.02F);
    CHANGE(moment, h);
    CHANGE(moment, h2);
    CHANGE(row_importance, rows);
    CHANGE(row_importance, rows2);
    CHANGE(row_metric, g);
    CHANGE(row_metric, g2);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        o = base;
        o.parts = all[i];
        o.part_count = 2;
        fresh(w, ROWS, COLS, &o);
    }
    /* What was encoded before, and which columns are encoded again. */
    struct rbe_weight before[2];
    CHECK(!rbe_encode_weight(&before[0], w, ROWS, COLS, &base, NULL, NULL) &&
          !rbe_encode_weight(&before[1], other, ROWS, COLS, &base, NULL, NULL));
    bool again[COLS] = {false};
    for (int i = 0; i < 3; i++) {
        o = base;
        o.before = &before[i % 2];
        o.again = again;
        again[1] = i == 2;
        fresh(w, ROWS, COLS, &o);
    }
    rbe_weight_free(&before[0]);
    rbe_weight_free(&before[1]);
    /* Whoever watches decides nothing. */
    o = base;
    o.progress = never;
    o.progress_arg = &o;
    CHECK(!rbe_encode_key(key, w, ROWS, COLS, &o));
    CHECK(!strcmp(key, keys[0]));
    return check_done();
}

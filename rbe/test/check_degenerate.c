/*
 * check_degenerate.c - rows and columns that say little: zeros, constants, one weight alone,
 * the smallest and the largest numbers, in every codec and by every way to encode.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "rbe/encode.h"

enum { ROWS = 66, COLS = 32, EVERY = 5, BLOCK_ROWS = 30 };

static struct check_rng rng;
static float plain[ROWS * COLS], w[ROWS * COLS], h[COLS * COLS], importance[ROWS];

/* Every EVERY-th row is special; the columns are apart. */
enum kind { ZEROS, ALL_ZERO, ZERO_COLS, BOTH, CONSTANT, ALONE, DENORMAL, SMALL, LARGE,
            LARGE_COL, KINDS };
static const char *const names[KINDS] = {
    [ZEROS] = "rows of zeros", [ALL_ZERO] = "zeros", [ZERO_COLS] = "columns of zeros",
    [BOTH] = "rows and columns of zeros", [CONSTANT] = "constant rows",
    [ALONE] = "one weight in a row", [DENORMAL] = "denormal rows", [SMALL] = "f16's smallest",
    [LARGE] = "f16's largest", [LARGE_COL] = "one large column"};

/* How it is encoded. */
enum way { PLAIN, IMPORTANCE, FEEDBACK, DEAD_INPUTS, ROTATED, ROTATED_FEEDBACK, ROW_SCALES,
           PARTS, WIDE, WAYS };

static bool special(size_t r)
{
    return r % EVERY == 0;
}

static bool zero_col(size_t c)
{
    return c % 7 == 3;
}

static void make(enum kind kind)
{
    memcpy(w, plain, sizeof w);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++) {
            float *x = &w[r * COLS + c];

            if (kind == ALL_ZERO || ((kind == ZERO_COLS || kind == BOTH) && zero_col(c)))
                *x = 0;
            if (kind == LARGE_COL && c == 11)
                *x *= 1e6F;
            if (!special(r))
                continue;
            if (kind == ZEROS || kind == BOTH)
                *x = 0;
            else if (kind == CONSTANT)
                *x = 0.25F;
            else if (kind == ALONE)
                *x = c == r % COLS ? 5 : 0;
            else if (kind == DENORMAL)
                *x *= 1e-40F;
            else if (kind == SMALL)
                *x = *x > 0 ? 0x1p-24F : -0x1p-24F;
            else if (kind == LARGE)
                *x = *x > 0 ? 65504 : -65504;
        }
}

/* H of correlated inputs; `dead`: a quarter of them are always zero. */
static void make_moment(bool dead)
{
    for (size_t i = 0; i < COLS; i++)
        for (size_t k = 0; k < COLS; k++)
            h[i * COLS + k] = dead && (i % 4 == 1 || k % 4 == 1)
                                  ? 0 : powf(0.9F, fabsf((float)i - (float)k));
}

static struct rbe_encode_options options(enum rbe_format f, enum way way)
{
    static struct rbe_encode_part parts[2];
    struct rbe_encode_options o = {.format = f, .window = 11};

    o.block = f == RBE_SEED || f == RBE_SEED4 || f == RBE_SEEDG ? 44
              : f == RBE_HYBRID || f == RBE_PACKED128 ? 16 : 0;
    o.aux = f == RBE_HYBRID ? 128 : 0;
    o.row_importance = way == IMPORTANCE || way == FEEDBACK ? importance : NULL;
    make_moment(way == DEAD_INPUTS);
    if (way == FEEDBACK || way == DEAD_INPUTS || way == ROTATED_FEEDBACK)
        o.moment = h;
    if (way == ROTATED || way == ROTATED_FEEDBACK) {
        o.hadamard = COLS;
        o.sign_seed = 1;
    }
    o.scales = way == ROW_SCALES ? RBE_SCALES_ROW : RBE_SCALES_ROW_COL;
    o.scale_search = way == WIDE;
    if (way == PARTS) {
        parts[0] = (struct rbe_encode_part){BLOCK_ROWS, f, o.block, o.aux};
        parts[1] = (struct rbe_encode_part){ROWS - BLOCK_ROWS, f, o.block, o.aux};
        o.parts = parts;
        o.part_count = 2;
    }
    return o;
}

struct outcome {
    double others, own;         /* squared errors: of the rows that are not special; of those */
    double power;               /* of the special rows */
    size_t infinite, zeros;     /* weights that are no numbers; rows that are all zeros */
    size_t zero_cols;           /* of those that were made so */
};

static enum rbe_status encode(struct outcome *to, const struct rbe_encode_options *o,
                              struct rbe_pool *pool)
{
    struct rbe_diag d = {""};
    struct rbe_weight e;
    bool col[COLS];
    float row[COLS];
    const enum rbe_status err = rbe_encode_weight(&e, w, ROWS, COLS, o, pool, &d);

    *to = (struct outcome){0};
    memset(col, 1, sizeof col);
    if (err)
        return err;
    for (size_t r = 0; r < ROWS; r++) {
        bool zeros = true;

        rbe_weight_decode_row(&e, r, row);
        for (size_t c = 0; c < COLS; c++) {
            const double x = (double)w[r * COLS + c], v = x - (double)row[c];
            *(special(r) ? &to->own : &to->others) += v * v;
            to->power += special(r) ? x * x : 0;
            to->infinite += !isfinite(row[c]);
            zeros = zeros && row[c] == 0;
            col[c] = col[c] && row[c] == 0;
        }
        to->zeros += special(r) && zeros;
    }
    for (size_t c = 0; c < COLS; c++)
        to->zero_cols += zero_col(c) && col[c];
    rbe_weight_free(&e);
    return RBE_OK;
}

static bool is_seed(enum rbe_format f)
{
    return f == RBE_SEED || f == RBE_SEED4 || f == RBE_SEEDG;
}

/* Codecs of blocks mix rows, and promise nothing of one alone. */
static bool has_rows(enum rbe_format f)
{
    return f != RBE_HYBRID && f != RBE_PACKED128;
}

static size_t count(bool (*which)(size_t), size_t n)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += which(i);
    return sum;
}

static void check_kind(enum rbe_format f, enum way way, enum kind kind, double usual,
                       struct rbe_pool *pool)
{
    const struct rbe_encode_options o = options(f, way);
    const size_t rows = count(special, ROWS), cols = count(zero_col, COLS);
    const bool rotated = o.hadamard > 0;
    const unsigned failed = check_failed;
    struct outcome got;

    make(kind);
    const enum rbe_status err = encode(&got, &o, pool);
    if (f == RBE_HYBRID && (kind == LARGE || kind == LARGE_COL) && err == RBE_ERR_NUMERIC)
        return;                 /* its f16 coefficients are sums */
    if (f == RBE_F16 && (kind == LARGE_COL || (kind == LARGE && rotated)) &&
        err == RBE_ERR_NUMERIC)
        return;
    CHECK(err == RBE_OK);
    CHECK(got.infinite == 0);
    if (kind == ALL_ZERO)
        CHECK(got.others == 0 && got.own == 0 && got.zeros == rows);
    if (has_rows(f) && (kind == ZEROS || kind == BOTH))
        CHECK(got.zeros == rows && got.own == 0);
    if (has_rows(f) && !rotated && (kind == ZERO_COLS || kind == BOTH) &&
        !(is_seed(f) && way == ROW_SCALES))
        CHECK(got.zero_cols == cols);
    /* No worse than no row at all, or by what a scale of few bits loses; under a moment that
     * is not what is asked for. */
    if (!o.moment && has_rows(f))
        CHECK(got.own <= (kind == SMALL ? 2.5 : 1.001) * got.power + 1e-60);
    if (kind == LARGE && is_seed(f) && way == PLAIN)
        CHECK(got.own <= 0.05 * got.power);
    /* Rows apart from those fare as they did, or better. */
    if (has_rows(f) && (kind == ZEROS || kind == BOTH || kind == DENORMAL))
        CHECK(got.others <= 1.02 * usual);
    if (failed != check_failed)
        printf("     %s, way %d, %s: special rows %.3g of %.3g, others %.3g, usually %.3g\n",
               rbe_format_name(f), (int)way, names[kind], got.own, got.power, got.others,
               usual);
}

static void check_codec(enum rbe_format f, struct rbe_pool *pool)
{
    for (int way = 0; way < WAYS; way++) {
        const struct rbe_encode_options o = options(f, (enum way)way);
        struct outcome usual;

        /* What tells the ways apart means nothing to codecs of blocks, which are slow. */
        if (!has_rows(f) && way != PLAIN)
            continue;
        memcpy(w, plain, sizeof w);
        CHECK(encode(&usual, &o, pool) == RBE_OK);
        for (int kind = 0; kind < KINDS; kind++)
            check_kind(f, (enum way)way, (enum kind)kind, usual.others, pool);
    }
}

/* Of the codecs of blocks: blocks of zeros between others are zeros. */
static void check_zero_blocks(enum rbe_format f)
{
    const struct rbe_encode_options o = options(f, PLAIN);
    struct rbe_weight e;
    float row[COLS];
    size_t wrong = 0;

    memcpy(w, plain, sizeof w);
    memset(w + 32 * COLS, 0, 32 * COLS * sizeof *w);
    CHECK(rbe_encode_weight(&e, w, ROWS, COLS, &o, NULL, NULL) == RBE_OK);
    for (size_t r = 32; r < 64; r++) {
        rbe_weight_decode_row(&e, r, row);
        for (size_t c = 0; c < COLS; c++)
            wrong += row[c] != 0;
    }
    CHECK(wrong == 0);
    rbe_weight_free(&e);
}

/* What no f16 scale can hold is refused, not stored as infinity. */
static void check_too_large(void)
{
    static const enum rbe_format formats[] = {RBE_SEED, RBE_SEED4, RBE_INT8, RBE_INT4, RBE_F16,
                                              RBE_HYBRID, RBE_SEEDG};

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const struct rbe_encode_options o = options(formats[i], PLAIN);
        struct rbe_diag d = {""};
        struct rbe_weight e;

        memcpy(w, plain, sizeof w);
        for (size_t c = 0; c < COLS; c++)
            w[7 * COLS + c] = c % 2 ? 1e9F : -1e9F;
        CHECK(rbe_encode_weight(&e, w, ROWS, COLS, &o, NULL, &d) == RBE_ERR_NUMERIC);
        CHECK(strstr(d.text, "large") || strstr(d.text, "f16"));
        rbe_weight_free(&e);
    }
}

int main(int argc, char **argv)
{
    static const enum rbe_format formats[] = {RBE_F32, RBE_F16, RBE_INT8, RBE_INT4, RBE_SEED,
                                              RBE_SEED4, RBE_HYBRID, RBE_PACKED128, RBE_SEEDG};
    struct rbe_pool *pool = NULL;

    rng = check_seed(argc, argv);
    rbe_cpu_init();
    for (size_t i = 0; i < ROWS * COLS; i++) {
        float s = 0;
        for (int k = 0; k < 12; k++)
            s += check_unit(&rng);
        plain[i] = 0.05F * s;
    }
    for (size_t r = 0; r < ROWS; r++)
        importance[r] = r % 3 ? 1 : 4;
    CHECK(rbe_pool_open(&pool, 2, NULL) == RBE_OK);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        check_codec(formats[i], pool);
    check_zero_blocks(RBE_HYBRID);
    check_zero_blocks(RBE_PACKED128);
    check_too_large();
    rbe_pool_close(&pool);
    return check_done();
}

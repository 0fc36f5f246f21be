/*
 * check_kernels.c - every kernel of the registry against a double-precision oracle.
 *
 * SPDX-License-Identifier: MIT
 *
 * For every format, shape, fill, number of vectors and placement in memory: the oracle sums
 * rbe_decode_row() times the prepared activations in double; every kernel of that format that
 * this CPU runs must agree.  Float formats agree to a derived bound, integer formats also bit
 * for bit with their scalar kernel, products of few vectors with the scalar one of each alone.
 * Four fills: `exact` and `one-hot` leave no room for rounding, `random` has the bound,
 * `special` asks for the right NaN, infinity and zero.
 * Every buffer touches an unreadable page: its end in one pass, its start in the next.
 */
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "kernels/format/format.h"
#include "kernels/format/hybrid.h"
#include "kernels/format/int4.h"
#include "kernels/format/int8.h"
#include "kernels/format/packed128.h"
#include "kernels/format/seed.h"
#include "kernels/kernel.h"
#include "kernels/test/check.h"
#include "kernels/test/guard.h"

enum fill { EXACT, ONE_HOT, RANDOM, SPECIAL, FILL_COUNT };
static const char *const fill_names[FILL_COUNT] = {"exact", "one-hot", "random", "special"};

static const char *const place_names[PLACE_COUNT] = {"at the end", "at the start", "odd"};

/* MANY vectors: of few columns. */
enum { MAX_COLS = 16390, MAX_COUNT = 33, MANY = 259, MAX_KERNELS = 256 };

/* Formats before this have fills and shapes of their own below; later ones what fits all. */
static const unsigned own_formats = RBE_SEEDG + 1;

/* Shapes have numbers of their own, so that a part of them is always the same part. */
static struct check_rng rng, shape_rng;

static struct guarded codes_room, scale_room, x_room, q_room, pair_room, act_scale_room, y_room;
static float *decoded;          /* [rows][cols] */
static double *want, *bound;    /* [count][rows] */

static const char *volatile running = "none";

static void on_fault(int signal)
{
    static const char text[] = "FAIL read or wrote outside its buffers, or trapped: ";
    const char *name = running;

    (void)!write(1, text, sizeof text - 1);
    (void)!write(1, name, strlen(name));
    (void)!write(1, "\n", 1);
    _exit(signal == SIGSEGV ? 1 : 2);
}

/* --- matrices ----------------------------------------------------------------------------- */

struct shape {
    enum rbe_format format;
    uint32_t rows, cols, block, aux;
};

static bool is_integer(enum rbe_format f)
{
    return rbe_format_facts(f)->gmax > 0;
}

static uint16_t random_half(float limit)
{
    return rbe_f16_from_f32(check_unit(&rng) * limit);
}

/* A power of two that f16 holds. */
static float power_of_two(void)
{
    return ldexpf(1, (int)check_below(&rng, 8) - 4);
}

static void fill_floats(const struct rbe_matrix *w, void *codes, enum fill fill)
{
    const size_t n = (size_t)w->rows * w->cols;

    for (size_t i = 0; i < n; i++) {
        float v = check_unit(&rng) * 2;
        if (fill == EXACT)
            v = (float)((int)check_below(&rng, 17) - 8) / 8;
        else if (fill == SPECIAL) {
            static const float special[] = {NAN, INFINITY, -INFINITY, 0, -0.0F, 0x1p-20F, 1};
            v = check_below(&rng, 50) ? 0x1p-14F * v : special[check_below(&rng, 7)];
        }
        if (w->format == RBE_F32)
            memcpy((float *)codes + i, &v, sizeof v);
        else
            ((uint16_t *)codes)[i] = rbe_f16_from_f32(v);
    }
}

static void fill_scales(uint16_t *scale, size_t n, enum fill fill)
{
    for (size_t i = 0; i < n; i++) {
        scale[i] = fill == EXACT     ? rbe_f16_from_f32(power_of_two())
                   : fill == SPECIAL ? (uint16_t)check_below(&rng, 4)  /* zero, subnormal */
                                     : random_half(1);
        if (fill == SPECIAL && !check_below(&rng, 20))
            scale[i] = check_below(&rng, 2) ? 0x7C00 : 0x7E00;
    }
}

static void fill_int8(const struct rbe_matrix *w, int8_t *codes, enum fill fill)
{
    for (size_t r = 0; r < w->rows; r++)
        for (size_t n = 0; n < w->cols; n++)
            codes[rbe_int8_at(w->cols, r, n)] =
                (int8_t)(fill == SPECIAL ? (check_below(&rng, 2) ? 127 : -128)
                                         : (int)check_below(&rng, 255) - 127);
}

static void fill_int4(const struct rbe_matrix *w, uint16_t *codes, enum fill fill)
{
    for (size_t r = 0; r < w->rows; r++)
        for (size_t n = 0; n < w->cols; n++)
            rbe_int4_put(codes, w->cols, r, n,
                         fill == SPECIAL ? (check_below(&rng, 2) ? 7 : -8)
                                         : (int)check_below(&rng, 16) - 8);
}

static void fill_seed(const struct rbe_matrix *w, uint16_t *codes, enum fill fill)
{
    const uint16_t same = (uint16_t)check_next(&rng);

    for (size_t s = 0; s < rbe_seed_strips(w->rows, w->block); s++) {
        const struct rbe_seed_strip strip = rbe_seed_strip_at(w, s);
        uint16_t *line = codes + (strip.line - (const uint16_t *)w->codes);
        for (size_t n = 0; n < w->cols; n++)
            for (size_t j = 0; j < strip.words; j++)
                line[(n / 32 * strip.words + j) * 32 + n % 32] =
                    fill == SPECIAL ? same : (uint16_t)(check_next(&rng) >> 32);
    }
}

static void fill_hybrid(const struct rbe_matrix *w, unsigned char *codes, enum fill fill)
{
    const size_t bytes = rbe_hybrid_bytes(w->block, w->aux);
    const unsigned log2_block = rbe_hybrid_log2(w->block);
    const size_t blocks =
        rbe_hybrid_blocks(w->rows, w->block) * rbe_hybrid_blocks(w->cols, w->block);

    for (size_t b = 0; b < blocks; b++, codes += bytes) {
        for (unsigned m = 0; m < RBE_HYBRID_BASIS; m++)
            rbe_hybrid_put_coefficient(codes, w->aux, m,
                                       fill == SPECIAL && !check_below(&rng, 40)
                                           ? NAN
                                           : check_unit(&rng) * (float)w->block);
        for (size_t e = 0; e < rbe_hybrid_k(w->aux); e++) {
            const struct rbe_hybrid_entry v = {check_below(&rng, w->block),
                                               check_below(&rng, w->block), check_unit(&rng)};
            rbe_hybrid_put(codes, log2_block, w->aux, e, v);
        }
    }
}

static void fill_packed128(const struct rbe_matrix *w, struct rbe_packed128 *codes,
                           enum fill fill)
{
    const size_t blocks =
        rbe_packed128_blocks(w->rows, w->block) * rbe_packed128_blocks(w->cols, w->block);

    for (size_t b = 0; b < blocks; b++) {
        float r = check_unit(&rng) * 4, theta = check_unit(&rng) * 4;
        if (fill == SPECIAL) {
            static const float special[] = {NAN, INFINITY, -INFINITY, 0, 1e30F, -1e30F, 1e-40F};
            r = special[check_below(&rng, 7)];
            theta = special[check_below(&rng, 7)];
        }
        codes[b] = (struct rbe_packed128){
            .lo = (uint64_t)rbe_bits_from_f32(r) << 32 | rbe_bits_from_f32(theta),
            .hi = check_next(&rng) >> 44,
            .scale = fill == EXACT ? 0 : check_unit(&rng),
            .offset = fill == EXACT ? power_of_two() : check_unit(&rng),
        };
    }
}

/* Of a format that this test has no fill of its own for. */
static void fill_any(const struct rbe_matrix *w, void *codes)
{
    const struct rbe_format_ops *ops = rbe_format_ops(w->format);

    (ops->fill ? ops->fill : rbe_fill_bytes)(w->block, w->aux, codes, w->code_bytes);
}

/* Alignment the container promises for a format's codes, at least. */
static size_t code_unit(enum rbe_format f)
{
    return f == RBE_F32 ? 4 : f == RBE_INT8 ? 1 : f == RBE_PACKED128 ? 8 : 2;
}

/* int4.h: scales past the last group are finite. */
static void clear_unused_scales(const struct rbe_matrix *w, uint16_t *scale)
{
    const size_t groups = rbe_int4_groups(w->cols);
    const size_t used = (w->cols + RBE_INT4_GROUP - 1) / RBE_INT4_GROUP;

    for (size_t r = 0; r < w->rows; r++)
        memset(scale + r * groups + used, 0, (groups - used) * sizeof *scale);
}

static struct rbe_matrix make_matrix(const struct shape *s, enum fill fill, enum place place)
{
    const struct rbe_matrix_size size =
        rbe_matrix_size(s->format, s->rows, s->cols, s->block, s->aux);
    void *codes = guarded_at(&codes_room, place, size.codes, code_unit(s->format));
    uint16_t *scale = guarded_at(&scale_room, place, size.scale, 2);
    const struct rbe_matrix w = {
        .format = s->format,
        .rows = s->rows,
        .cols = s->cols,
        .block = s->block,
        .aux = s->aux,
        .codes = codes,
        .code_bytes = size.codes,
        .scale = size.scale ? scale : NULL,
    };

    memset(codes, 0, size.codes);
    fill_scales(scale, size.scale / 2, fill);
    switch (s->format) {
    case RBE_F32:
    case RBE_F16:
        fill_floats(&w, codes, fill);
        break;
    case RBE_INT8:
        fill_int8(&w, codes, fill);
        break;
    case RBE_INT4:
        fill_int4(&w, codes, fill);
        clear_unused_scales(&w, scale);
        break;
    case RBE_SEED:
    case RBE_SEED4:
    case RBE_SEEDG:
        fill_seed(&w, codes, fill);
        break;
    case RBE_HYBRID:
        fill_hybrid(&w, codes, fill);
        break;
    case RBE_PACKED128:
        fill_packed128(&w, codes, fill);
        break;
    default:
        fill_any(&w, codes);
    }
    return w;
}

/* --- activations -------------------------------------------------------------------------- */

static struct rbe_act make_act(const struct rbe_matrix *w, enum fill fill, size_t count,
                               enum place place, unsigned bits)
{
    /* The stride may be longer than the padding of these columns: buffers are shared. */
    const size_t need = (w->cols + RBE_ACT_PAD - 1) / RBE_ACT_PAD * RBE_ACT_PAD;
    const size_t stride = need + (check_below(&rng, 3) ? 0 : RBE_ACT_PAD);
    const size_t n = (count - 1) * stride + need;
    struct rbe_act a = {
        .count = count,
        .cols = w->cols,
        .stride = stride,
        .x = guarded_at(&x_room, place == ODD ? AT_START : place, n * sizeof(float), 64),
        .q = guarded_at(&q_room, place == ODD ? AT_START : place, n * sizeof(int16_t), 64),
        .pair =
            guarded_at(&pair_room, place == ODD ? AT_START : place, n * sizeof(int16_t), 64),
        .bits = bits,
        .scale = guarded_at(&act_scale_room, AT_END, count * sizeof(float), sizeof(float)),
    };
    static float x[MAX_COUNT * 4096];

    memset(a.x, 0xFF, n * sizeof *a.x);
    memset(a.q, 0xFF, n * sizeof *a.q);
    memset(a.pair, 0xFF, n * sizeof *a.pair);
    for (size_t t = 0; t < count; t++) {
        /* Of the wide ones a column that kernels do not take at first. */
        const uint32_t first = w->cols > 4096 ? 4096 : 0;
        const size_t hot = first + check_below(&rng, w->cols - first);
        for (size_t c = 0; c < w->cols; c++) {
            float v = check_unit(&rng) * 3;
            if (fill == EXACT)
                v = (float)((int)check_below(&rng, 7) - 3);
            else if (fill == ONE_HOT)
                v = c == hot;
            x[t * w->cols + c] = v;
        }
        if (fill == SPECIAL && t % 3 == 1)
            memset(x + t * w->cols, 0, w->cols * sizeof *x);
        if (fill == SPECIAL && t % 3 == 2)
            x[t * w->cols + hot] = check_below(&rng, 2) ? NAN : INFINITY;
    }
    rbe_act_prepare(&a, w, x, w->cols, count);
    /* Integer kernels are exact in q: these fills choose it, instead of the quantiser. */
    if (fill == EXACT || fill == ONE_HOT)
        for (size_t t = 0; t < count; t++) {
            a.scale[t] = 1;
            for (size_t c = 0; c < w->cols; c++)
                a.q[t * stride + c] = (int16_t)x[t * w->cols + c];
            for (size_t c = 0; c < need && bits == 8 && is_integer(w->format); c++)
                a.pair[t * stride + c] =
                    (uint16_t)(0x101 * ((a.q[t * stride + c] & 0xFF) ^ 0x80));
        }
    return a;
}

/* --- the oracle --------------------------------------------------------------------------- */

/* |error| <= g(n) * sum|terms|, g(n) = n u / (1 - n u): holds for every order of summation,
 * with or without FMA, n roundings deep.  Beside it n units of the smallest subnormal. */
static double error_bound(double n, double sum_abs, double scale)
{
    const double u = FLT_EPSILON / 2;
    return n * u / (1 - n * u) * sum_abs + n * 0x1p-149 * (1 + scale);
}

/* |D| |x|, block after block: what hybrid_terms() needs of a vector, for all rows. */
static void hybrid_spectrum(const struct rbe_matrix *w, const float *x, double *spectrum)
{
    const struct rbe_hybrid_tables *t = rbe_hybrid_tables(w->block);
    const unsigned b = w->block;

    for (size_t n0 = 0; n0 < w->cols; n0 += b)
        for (unsigned l = 0; l < b; l++) {
            double sum = 0;
            for (unsigned j = 0; j < b && n0 + j < w->cols; j++)
                sum += fabs((double)t->dct[l * b + j] * (double)x[n0 + j]);
            spectrum[n0 + l] = sum;
        }
}

/* The sum of |terms| the separable product of `hybrid` adds up for row r. */
static double hybrid_terms(const struct rbe_matrix *w, const float *x, const double *spectrum,
                           size_t r)
{
    const struct rbe_hybrid_tables *t = rbe_hybrid_tables(w->block);
    const unsigned b = w->block, i = (unsigned)(r % b);
    const size_t bytes = rbe_hybrid_bytes(b, w->aux);
    const unsigned char *record =
        (const unsigned char *)w->codes + r / b * rbe_hybrid_blocks(w->cols, b) * bytes;
    double sum = 0;

    for (size_t n0 = 0; n0 < w->cols; n0 += b, record += bytes) {
        double u[RBE_HYBRID_BASIS] = {0};
        for (unsigned j = 0; j < b && n0 + j < w->cols; j++)
            for (unsigned m = 0; m < RBE_HYBRID_BASIS; m++)
                u[m] += fabs((double)rbe_hybrid_phi(t, m, i, j) * (double)x[n0 + j]);
        for (unsigned m = 0; m < RBE_HYBRID_BASIS; m++)
            for (unsigned n = 0; n <= m; n++)
                sum += fabs((double)rbe_hybrid_coefficient(record, w->aux, m) *
                            (double)t->gram[m][n]) * u[n];
        for (size_t e = 0; e < rbe_hybrid_k(w->aux); e++) {
            const struct rbe_hybrid_entry v = rbe_hybrid_get(record, t->log2_block, w->aux, e);
            sum += fabs((double)v.value * (double)t->dct[v.k * b + i]) * spectrum[n0 + v.l];
        }
    }
    return sum;
}

static double roundings(const struct rbe_matrix *w)
{
    const size_t k = rbe_hybrid_k(w->aux);

    switch (w->format) {
    case RBE_SEED:
    case RBE_SEED4:
    case RBE_SEEDG:
        return 6;       /* the sum to f32, three factors; nothing else is rounded */
    case RBE_INT8:
        return (double)rbe_int8_groups(w->cols) + 8;
    case RBE_INT4:
        return (double)rbe_int4_groups(w->cols) + 8;
    case RBE_HYBRID:    /* both transforms, the terms of a row of blocks, the coefficients */
        return 3.0 * w->block + 32 +
               (double)rbe_hybrid_blocks(w->cols, w->block) * ((double)k + 12);
    default:
        return w->cols + 4.0;
    }
}

static void fill_oracle(const struct rbe_matrix *w, const struct rbe_act *a)
{
    const bool integer = is_integer(w->format);
    const bool seeds = w->format == RBE_SEED || w->format == RBE_SEED4 ||
                       w->format == RBE_SEEDG;
    static double spectrum[MAX_COLS + RBE_HYBRID_MAX_BLOCK];

    for (size_t r = 0; r < w->rows; r++)
        rbe_decode_row(w, r, decoded + r * w->cols);
    for (size_t t = 0; t < a->count; t++) {
        if (w->format == RBE_HYBRID)
            hybrid_spectrum(w, a->x + t * a->stride, spectrum);
        for (size_t r = 0; r < w->rows; r++) {
            const float *row = decoded + r * w->cols, *x = a->x + t * a->stride;
            const int16_t *q = a->q + t * a->stride;
            double sum = 0, sum_abs = 0;
            for (size_t c = 0; c < w->cols; c++) {
                const double v = (double)row[c] * (integer ? q[c] : (double)x[c]);
                sum += v;
                sum_abs += fabs(v);
            }
            const double scale = integer ? (double)a->scale[t] : 1;
            sum *= scale;
            sum_abs *= scale;
            if (seeds)
                sum_abs = fabs(sum);
            if (w->format == RBE_HYBRID)
                sum_abs += hybrid_terms(w, x, spectrum, r);
            want[t * w->rows + r] = sum;
            bound[t * w->rows + r] = error_bound(roundings(w), sum_abs, scale);
        }
    }
}

/* --- the verdict -------------------------------------------------------------------------- */

static unsigned cases[MAX_KERNELS], failures[MAX_KERNELS];

/* Integer formats multiply by a scale after summing, hybrid sums in another domain: infinity
 * and NaN come out as their sums have it, so any value that is not finite matches any other. */
static bool agrees(float got, double expected, double tolerance, bool exact, bool loose)
{
    if (loose && !isfinite(expected))
        return !isfinite(got);
    if (isnan(expected))
        return isnan(got);
    if (isinf(expected))
        return (double)got == expected;
    if (exact)
        return (double)got == expected;
    return fabs((double)got - expected) <= tolerance;
}

/* Bit for bit; any NaN equals any other. */
static bool same(float a, float b)
{
    return rbe_bits_from_f32(a) == rbe_bits_from_f32(b) || (isnan(a) && isnan(b));
}

struct run {
    size_t kernel;
    const struct shape *shape;
    enum fill fill;
    enum place place;
    size_t count, ldy, row0, row1;
};

static void complain(const struct run *run, const char *what, size_t t, size_t r, float got,
                     double expected)
{
    if (++failures[run->kernel] <= 5)
        printf("FAIL %s: %s: %u x %u B %u aux %#x, %s, %s, rows %zu..%zu of vector %zu/%zu, "
               "row %zu: got %.9g, want %.17g\n",
               rbe_kernel_at(run->kernel)->name, what, run->shape->rows, run->shape->cols,
               run->shape->block, run->shape->aux, fill_names[run->fill],
               place_names[run->place], run->row0, run->row1, t, run->count, r, (double)got,
               expected);
    check_may_stop();
}

/* Runs one kernel over some rows; reference: what the scalar kernel gave, or NULL. */
static void run_kernel(const struct run *run, const struct rbe_matrix *w,
                       const struct rbe_act *a, float *y, const float *reference)
{
    const struct rbe_kernel *k = rbe_kernel_at(run->kernel);
    const size_t n = (run->count - 1) * run->ldy + w->rows;
    const float untouched = rbe_f32_from_bits(0x7FBADBAD);     /* a NaN: never a result */
    const bool exact = (run->fill == EXACT || run->fill == ONE_HOT) &&
                       w->format != RBE_HYBRID &&
                       (w->format < own_formats || is_integer(w->format));
    const unsigned before = failures[run->kernel];

    for (size_t i = 0; i < n; i++)
        memcpy(y + i, &untouched, sizeof *y);
    running = k->name;
    k->run(w, a, y, run->ldy, run->row0, run->row1);
    running = "none";
    for (size_t i = 0; i < n && failures[run->kernel] == before; i++) {
        const size_t t = i / run->ldy, r = i % run->ldy;
        if (r < run->row0 || r >= run->row1) {
            if (rbe_bits_from_f32(y[i]) != rbe_bits_from_f32(untouched))
                complain(run, "wrote outside its rows", t, r, y[i], 0);
        } else if (!agrees(y[i], want[t * w->rows + r], bound[t * w->rows + r], exact,
                           is_integer(w->format) || w->format == RBE_HYBRID)) {
            complain(run, "wrong", t, r, y[i], want[t * w->rows + r]);
        } else if (reference && !same(y[i], reference[t * w->rows + r])) {
            complain(run, "differs from scalar", t, r, y[i],
                     (double)reference[t * w->rows + r]);
        }
    }
    cases[run->kernel]++;
}

/* y [count][rows]: each vector alone, by the scalar kernel. */
static void multiply_singly(const struct rbe_matrix *w, const struct rbe_act *a, float *y)
{
    const struct rbe_kernel *k = rbe_kernel_best(RBE_GEMV, w->format, 0);

    for (size_t t = 0; t < a->count; t++) {
        struct rbe_act one = *a;
        one.count = 1;
        one.x += t * a->stride;
        one.q += t * a->stride;
        one.scale += t;
        k->run(w, &one, y + t * w->rows, w->rows, 0, w->rows);
    }
}

static void check_bits(const struct shape *s, enum fill fill, enum place place, size_t count,
                       unsigned bits)
{
    static float scalar_y[MAX_COUNT * 4200], single_y[RBE_FEW_MAX * 4200];
    struct rbe_matrix w = make_matrix(s, fill, place);
    const struct rbe_act a = make_act(&w, fill, count, place, bits);
    int32_t *sums = malloc(w.rows * sizeof *sums);
    const size_t step = rbe_row_step(&w), steps = (w.rows + step - 1) / step;
    bool have_scalar[RBE_OP_COUNT] = {false};

    fill_oracle(&w, &a);
    if (bits == 8 && rbe_row_sums(&w, sums))
        w.row_sum = sums;
    if (count <= RBE_FEW_MAX)
        multiply_singly(&w, &a, single_y);
    for (size_t i = 0; rbe_kernel_at(i); i++) {
        const struct rbe_kernel *k = rbe_kernel_at(i);
        if (k->format != s->format || count > rbe_kernel_vectors(k) ||
            (k->bits == 8 && bits != 8) || (k->sums && !w.row_sum) ||
            !rbe_kernel_runs_on(k, rbe_cpu_isa()))
            continue;
        struct run run = {i, s, fill, place, count, w.rows + check_below(&rng, 4), 0, w.rows};
        if (count == 1 && k->op == RBE_GEMV)
            run.ldy = w.rows;
        float *y = guarded_at(&y_room, place == ODD ? AT_END : place,
                              ((count - 1) * run.ldy + w.rows) * sizeof *y, sizeof *y);
        const bool compare = is_integer(s->format) && have_scalar[k->op];
        const float *reference = k->op == RBE_FEW ? single_y : compare ? scalar_y : NULL;
        run_kernel(&run, &w, &a, y, reference);
        if (k->isa == 0) {
            /* The first of its op: what the others must equal. */
            have_scalar[k->op] = true;
            for (size_t t = 0; t < count; t++)
                memcpy(scalar_y + t * w.rows, y + t * run.ldy, w.rows * sizeof *y);
        }
        /* A range of rows, empty at times. */
        run.row0 = check_below(&rng, (uint32_t)steps + 1) * step;
        run.row0 = run.row0 < w.rows ? run.row0 : 0;
        run.row1 = run.row0 + check_below(&rng, (uint32_t)steps + 1) * step;
        run.row1 = run.row1 < w.rows ? run.row1 : w.rows;
        run_kernel(&run, &w, &a, y, reference);
    }
    free(sums);
}

/* With 16 bits, and with 8 where kernels take them; else at times. */
static void check_case(const struct shape *s, enum fill fill, enum place place, size_t count)
{
    const bool eight = rbe_format_facts(s->format)->act_bits == 8;

    check_bits(s, fill, place, count, 16);
    if (is_integer(s->format) && (eight ? count <= RBE_FEW_MAX : check_below(&rng, 8) == 0))
        check_bits(s, fill, place, count, 8);
}

/* A part of the shapes: $RBE_CHECK_FROM, + $RBE_CHECK_EVERY, + 2 $RBE_CHECK_EVERY, ...; and
 * those of one format only, $RBE_CHECK_FORMAT. */
static unsigned every = 1, from, shapes_seen;
static enum rbe_format only = RBE_FORMAT_COUNT;

static bool is_wanted(const struct shape *s)
{
    return shapes_seen++ % every == from && (only == RBE_FORMAT_COUNT || s->format == only);
}

static unsigned number_from(const char *variable, unsigned otherwise)
{
    const char *value = getenv(variable);
    return value ? (unsigned)strtoul(value, NULL, 10) : otherwise;
}

static const size_t counts[] = {1, 2, 3, 7, 16, 33};

static void check_shape(const struct shape *s)
{
    const bool big = (size_t)s->rows * s->cols > 20000;

    if (!is_wanted(s))
        return;
    if (!rbe_matrix_size(s->format, s->rows, s->cols, s->block, s->aux).codes) {
        printf("FAIL %s %u x %u B %u: no size\n", rbe_format_name(s->format), s->rows, s->cols,
               s->block);
        exit(1);
    }
    for (int fill = 0; fill < FILL_COUNT; fill++) {
        check_case(s, (enum fill)fill, (enum place)check_below(&rng, PLACE_COUNT), 1);
        check_case(s, (enum fill)fill, (enum place)check_below(&rng, PLACE_COUNT),
                   counts[check_below(&rng, big ? 4 : 6)]);
    }
}

/* Around a register, a group, a line; the widths of GPT-2 last. */
static const uint32_t widths[] = {1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 100, 127, 128,
                                  129, 160, 257, 768, 3072};
enum { WIDTHS = sizeof widths / sizeof widths[0] };

static void check_plain(enum rbe_format f)
{
    static const uint32_t heights[] = {1, 2, 3, 4, 5, 7, 9, 33, 70};

    for (size_t c = 0; c < WIDTHS; c++)
        for (size_t r = 0; r < sizeof heights / sizeof heights[0]; r++)
            if (widths[c] < 700 || heights[r] < 6)
                check_shape(&(struct shape){f, heights[r], widths[c], 0, 0});
}

/* Heights around the block, 0 standing for 5. */
static void check_blocks(enum rbe_format f, uint32_t block, uint32_t aux)
{
    const uint32_t heights[] = {1, 5, block - 1, block, block + 1, 2 * block + 3};

    for (size_t r = 0; r < sizeof heights / sizeof heights[0]; r++)
        for (int i = 0; i < 3; i++) {
            const uint32_t cols = widths[check_below(&shape_rng, WIDTHS)];
            if ((uint64_t)heights[r] * cols < 150000)
                check_shape(&(struct shape){f, heights[r], cols, block, aux});
        }
}

/* What the lists above leave out: the chapter's side of 128 and the largest one, and more
 * columns than kernels take at a time or have scratch for. */
static void check_lone_shapes(void)
{
    static const struct shape shapes[] = {
        {RBE_PACKED128, 5, 768, 128, 0},   {RBE_PACKED128, 129, 260, 128, 0},
        {RBE_PACKED128, 9, 600, 512, 0},   {RBE_PACKED128, 513, 17, 512, 0},
        {RBE_HYBRID, 17, 4097, 16, 3},     {RBE_HYBRID, 5, 4608, 32, 9},
        {RBE_F16, 2, 16390, 0, 0},         {RBE_INT4, 2, 16390, 0, 0},
    };

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        check_shape(&shapes[i]);
}

/* A format of which nothing more is known here. */
static void check_any(enum rbe_format f)
{
    const struct rbe_format_facts *facts = rbe_format_facts(f);
    const struct shape many = {f, 9, 65, facts->usual_block, 0};

    if (!facts->max_block)
        check_plain(f);
    for (size_t i = 0; i < sizeof facts->sweep / sizeof *facts->sweep && facts->sweep[i]; i++)
        check_blocks(f, facts->sweep[i], facts->rate == RBE_RATE_K ? 3 : 0);
    if (is_wanted(&many))
        check_case(&many, RANDOM, AT_END, MANY);
}

/* More vectors than any kernel takes at a time: 256. */
static void check_many_vectors(void)
{
    static const struct shape shapes[] = {
        {RBE_F32, 9, 65, 0, 0},       {RBE_F16, 9, 65, 0, 0},     {RBE_INT8, 9, 65, 0, 0},
        {RBE_INT4, 9, 65, 0, 0},      {RBE_SEED, 18, 65, 17, 0},  {RBE_SEED4, 18, 65, 17, 0},
        {RBE_HYBRID, 17, 33, 16, 3},  {RBE_PACKED128, 9, 65, 7, 0}, {RBE_SEEDG, 18, 65, 17, 0},
    };

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (is_wanted(&shapes[i]))
            check_case(&shapes[i], RANDOM, AT_END, MANY);
}

/* A stride may pass by all shapes of a format, or all counts of a kernel: those have a case of
 * each count at least.  Without a stride a kernel that no list reaches is a failure. */
static void check_passed_by(void)
{
    for (size_t i = 0; every > 1 && rbe_kernel_at(i); i++) {
        const struct rbe_kernel *k = rbe_kernel_at(i);
        const struct rbe_format_facts *facts = rbe_format_facts(k->format);
        const struct shape s = {k->format, 9, 65, facts->usual_block,
                                facts->rate == RBE_RATE_K ? 3 : 0};
        const bool asked = only == RBE_FORMAT_COUNT || k->format == only;

        if (asked && !cases[i] && rbe_kernel_runs_on(k, rbe_cpu_isa()))
            for (size_t n = 0; n < sizeof counts / sizeof counts[0]; n++)
                check_case(&s, RANDOM, AT_END, counts[n]);
    }
}

int main(int argc, char **argv)
{
    const char *unknown = rbe_cpu_init();
    char isa[128];
    unsigned ran = 0;

    rng = shape_rng = check_seed(argc, argv);
    if (unknown) {
        printf("unknown ISA '%s' in RBE_DISABLE_ISA; known: %s\n", unknown, rbe_isa_names());
        return 2;
    }
    printf("isa %s, mask %#x\n", rbe_isa_string(rbe_cpu_isa(), isa, sizeof isa), rbe_cpu_isa());

    every = number_from("RBE_CHECK_EVERY", 1);
    every += !every;
    from = number_from("RBE_CHECK_FROM", 0) % every;
    if (getenv("RBE_CHECK_FORMAT")) {
        only = rbe_format_by_name(getenv("RBE_CHECK_FORMAT"));
        if (only == RBE_FORMAT_COUNT) {
            printf("unknown format '%s' in RBE_CHECK_FORMAT\n", getenv("RBE_CHECK_FORMAT"));
            return 2;
        }
    }
    decoded = malloc(sizeof *decoded * 400000);
    want = malloc(sizeof *want * MAX_COUNT * 4200);
    bound = malloc(sizeof *bound * MAX_COUNT * 4200);
    if (!decoded || !want || !bound || !guarded_open(&codes_room, 4 << 20) ||
        !guarded_open(&scale_room, 1 << 20) ||
        !guarded_open(&x_room, MAX_COUNT * 4096 * sizeof(float)) ||
        !guarded_open(&q_room, MAX_COUNT * 4096 * sizeof(int16_t)) ||
        !guarded_open(&pair_room, MAX_COUNT * 4096 * sizeof(int16_t)) ||
        !guarded_open(&act_scale_room, 4096) ||
        !guarded_open(&y_room, MAX_COUNT * 4200 * sizeof(float))) {
        printf("FAIL out of memory\n");
        return 1;
    }
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    signal(SIGILL, on_fault);
    signal(SIGFPE, on_fault);

    check_plain(RBE_F32);
    check_plain(RBE_F16);
    check_plain(RBE_INT8);
    check_plain(RBE_INT4);
    static const uint32_t strips[] = {16, 17, 31, 32, 44, 64, 100, 128, 300, 512};
    for (size_t i = 0; i < sizeof strips / sizeof strips[0]; i++) {
        check_blocks(RBE_SEED, strips[i], 0);
        check_blocks(RBE_SEED4, strips[i], 0);
        check_blocks(RBE_SEEDG, strips[i], 0);
    }
    check_shape(&(struct shape){RBE_SEED, 4097, 33, 4096, 0});
    check_shape(&(struct shape){RBE_SEED4, 4097, 33, 4096, 0});
    check_shape(&(struct shape){RBE_SEEDG, 4097, 33, 4096, 0});
    static const uint32_t ks[][2] = {{16, 0}, {16, 1}, {16, 17}, {16, 256}, {32, 40},
                                     {64, 100}, {128, 30}, {256, 64}};
    for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++) {
        check_blocks(RBE_HYBRID, ks[i][0], ks[i][1]);
        check_blocks(RBE_HYBRID, ks[i][0], ks[i][1] | RBE_HYBRID_PUBLISHED);
    }
    static const uint32_t sides[] = {4, 7, 16, 32, 33, 64};
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++)
        check_blocks(RBE_PACKED128, sides[i], 0);
    check_lone_shapes();
    check_many_vectors();
    for (unsigned f = own_formats; f < RBE_FORMAT_COUNT; f++)
        check_any((enum rbe_format)f);
    check_passed_by();

    for (size_t i = 0; rbe_kernel_at(i); i++) {
        const struct rbe_kernel *k = rbe_kernel_at(i);
        if (!rbe_kernel_runs_on(k, rbe_cpu_isa())) {
            printf("SKIP %s: needs %s\n", k->name, rbe_isa_string(k->isa, isa, sizeof isa));
            continue;
        }
        if (only != RBE_FORMAT_COUNT && k->format != only)
            continue;
        printf("%s %s (%u cases)\n", failures[i] || !cases[i] ? "FAIL" : "ok  ", k->name,
               cases[i]);
        ran++;
        check_passed += cases[i] - failures[i];
        check_failed += failures[i] + !cases[i];
    }
    CHECK(ran > 0);
    return check_done();
}

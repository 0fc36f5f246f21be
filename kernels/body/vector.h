/*
 * body/vector.h - the functions of vector.h for any width of registers.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/body/lanes.h"
#include "kernels/vector.h"

/* A row's sums go through f32 lanes for this many values, then through a double. */
enum { BLOCK = 512 };

/* Runs body for i = 0, F32_LANES, ... with `full` true, then once with the n - i left. */
#define EACH(n, body)                                                                          \
    do {                                                                                       \
        size_t i = 0;                                                                          \
        for (; i + F32_LANES <= (n); i += F32_LANES) {                                         \
            body(f32_load, f32_store)                                                          \
        }                                                                                      \
        if (i < (n)) {                                                                         \
            const size_t left = (n) - i;                                                       \
            body(load_left, store_left)                                                        \
        }                                                                                      \
    } while (0)
#define load_left(p) f32_load_part(p, left, 0)
#define store_left(p, v) f32_store_part(p, v, left)

static void add(float *y, const float *x, const float *bias, size_t n)
{
#define BODY(LOAD, STORE) STORE(y + i, LOAD(x + i) + LOAD(bias + i));
    EACH(n, BODY);
#undef BODY
}

/* s = 1 / (1 + e^(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3): GELU(x) = x s. */
INLINE f32x gate(f32x x)
{
    const f32x u = (x * x * 0.044715F + 1) * x * -1.59576912F;
    return 1 / (exp_lanes(u) + 1);
}

static void gelu(float *y, const float *x, size_t n)
{
#define BODY(LOAD, STORE)                                                                      \
    const f32x v = LOAD(x + i);                                                                \
    STORE(y + i, v * gate(v));
    EACH(n, BODY);
#undef BODY
}

static void gelu_back(float *d, float *x, size_t n)
{
    /* (x s)' = s + x s (1 - s) (2u)', (2u)' = 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2). */
#define BODY(LOAD, STORE)                                                                      \
    const f32x v = LOAD(x + i), s = gate(v), y = v * s;                                        \
    const f32x slope = v * v * (1.59576912F * 0.134145F) + 1.59576912F;                        \
    STORE(d + i, LOAD(d + i) * (y * (1 - s) * slope + s));                                     \
    STORE(x + i, y);
    EACH(n, BODY);
#undef BODY
}

static void norm_back(float *dx, const float *base, float *y, const float *x,
                      const float *gain, const float *bias, const float *dy, float *dgain,
                      float *dbias, size_t n, float eps)
{
    const size_t whole = n / LANES * LANES;
    const float mean = row_sum(x, n, 0, false) / (float)n;
    struct sixteen squares = {.a = {0}}, g_sum = {.a = {0}}, gx_sum = {.a = {0}};
    float x_last[LANES], g_last[LANES];
    size_t j = 0;

    /* g = dy gain; sums of (x - mean)^2, g and g (x - mean) in one go. */
#define SQUARE(k) ((f32_load(x + j + (k)) - mean) * (f32_load(x + j + (k)) - mean))
#define G(k) (f32_load(dy + j + (k)) * f32_load(gain + j + (k)))
#define GX(k) (G(k) * (f32_load(x + j + (k)) - mean))
    for (; j < whole; j += LANES) {
        ADD_LANES(squares, SQUARE);
        ADD_LANES(g_sum, G);
        ADD_LANES(gx_sum, GX);
    }
#undef SQUARE
#undef G
#undef GX
#define SQUARE(k) ((f32_load(x_last + (k)) - mean) * (f32_load(x_last + (k)) - mean))
#define G(k) f32_load(g_last + (k))
#define GX(k) (f32_load(g_last + (k)) * (f32_load(x_last + (k)) - mean))
    if (j < n) {
        pad(x_last, x + j, n - j, mean);
        pad(g_last, dy + j, n - j, 0);
        for (size_t k = 0; j + k < n; k++)
            g_last[k] *= gain[j + k];
        ADD_LANES(squares, SQUARE);
        ADD_LANES(g_sum, G);
        ADD_LANES(gx_sum, GX);
    }
#undef SQUARE
#undef G
#undef GX
    const float r = 1 / sqrtf(sum_lanes(squares) / (float)n + eps);
    const float g_mean = sum_lanes(g_sum) / (float)n;
    const float gx_mean = sum_lanes(gx_sum) * r / (float)n;
#define BODY(LOAD, STORE)                                                                      \
    const f32x h = (LOAD(x + i) - mean) * r, d = LOAD(dy + i), w = LOAD(gain + i);             \
    STORE(dgain + i, LOAD(dgain + i) + d * h);                                                 \
    STORE(dbias + i, LOAD(dbias + i) + d);                                                     \
    STORE(y + i, h * w + LOAD(bias + i));                                                      \
    f32x to = (d * w - g_mean - h * gx_mean) * r;                                              \
    if (base)                                                                                  \
        to += LOAD(base + i);                                                                  \
    STORE(dx + i, to);
    EACH(n, BODY);
#undef BODY
}

static void rms_back(float *dx, const float *base, float *y, const float *x, const float *gain,
                     const float *dy, float *dgain, size_t n, float eps)
{
    const size_t whole = n / LANES * LANES;
    struct sixteen squares = {.a = {0}}, gx_sum = {.a = {0}};
    float x_last[LANES], g_last[LANES];
    size_t j = 0;

#define SQUARE(k) (f32_load(x + j + (k)) * f32_load(x + j + (k)))
#define GX(k) (f32_load(dy + j + (k)) * f32_load(gain + j + (k)) * f32_load(x + j + (k)))
    for (; j < whole; j += LANES) {
        ADD_LANES(squares, SQUARE);
        ADD_LANES(gx_sum, GX);
    }
#undef SQUARE
#undef GX
#define SQUARE(k) (f32_load(x_last + (k)) * f32_load(x_last + (k)))
#define GX(k) (f32_load(g_last + (k)) * f32_load(x_last + (k)))
    if (j < n) {
        pad(x_last, x + j, n - j, 0);
        pad(g_last, dy + j, n - j, 0);
        for (size_t k = 0; j + k < n; k++)
            g_last[k] *= gain[j + k];
        ADD_LANES(squares, SQUARE);
        ADD_LANES(gx_sum, GX);
    }
#undef SQUARE
#undef GX
    const float r = 1 / sqrtf(sum_lanes(squares) / (float)n + eps);
    const float gx_mean = sum_lanes(gx_sum) * r / (float)n;
#define BODY(LOAD, STORE)                                                                      \
    const f32x h = LOAD(x + i) * r, d = LOAD(dy + i), w = LOAD(gain + i);                      \
    STORE(dgain + i, LOAD(dgain + i) + d * h);                                                 \
    STORE(y + i, h * w);                                                                       \
    f32x to = (d * w - h * gx_mean) * r;                                                       \
    if (base)                                                                                  \
        to += LOAD(base + i);                                                                  \
    STORE(dx + i, to);
    EACH(n, BODY);
#undef BODY
}

static void swiglu_back(float *dx, float *dy, float *d, const float *x, const float *y,
                        size_t n)
{
    /* With s = 1 / (1 + e^-x): (x s)' = s + x s (1 - s). */
#define BODY(LOAD, STORE)                                                                      \
    const f32x v = LOAD(x + i), u = LOAD(y + i), g = LOAD(d + i);                              \
    const f32x by = exp_lanes(-v) + 1, s = 1 / by, z = v / by;                                 \
    STORE(dx + i, g * u * (z * (1 - s) + s));                                                  \
    STORE(dy + i, g * z);                                                                      \
    STORE(d + i, z * u);
    EACH(n, BODY);
#undef BODY
}

static void softmax_back(float *d, const float *p, size_t n, float scale)
{
    const size_t whole = n / LANES * LANES;
    struct sixteen sum = {.a = {0}};
    float d_last[LANES], p_last[LANES];
    size_t j = 0;

#define PRODUCT(k) (f32_load(d + j + (k)) * f32_load(p + j + (k)))
    for (; j < whole; j += LANES)
        ADD_LANES(sum, PRODUCT);
#undef PRODUCT
#define PRODUCT(k) (f32_load(d_last + (k)) * f32_load(p_last + (k)))
    if (j < n) {
        pad(d_last, d + j, n - j, 0);
        pad(p_last, p + j, n - j, 0);
        ADD_LANES(sum, PRODUCT);
    }
#undef PRODUCT
    const float mean = sum_lanes(sum);
#define BODY(LOAD, STORE) STORE(d + i, LOAD(p + i) * scale * (LOAD(d + i) - mean));
    EACH(n, BODY);
#undef BODY
}

/* --- losses ------------------------------------------------------------------------------- */

/* What a row is measured by: maxima, 1/T, and whether one exponential of s serves both the
 * cross entropy and the divergence (T = 1, or only one of them is wanted). */
struct row {
    float s_max, t_max, by_t;
    bool single;
};

/* Sixteen-lane sums of e^s, e^(s/T), e^(t/T) and e^(t/T) (t - s) / T, all by the maxima. */
struct row_lanes {
    struct sixteen plain, soft, teacher, gap;
};

struct row_sums {
    double plain, soft, teacher, gap;
};

/* One register: t becomes e^(t/T); s becomes e^s where that is enough for the gradient. */
INLINE void sum_register(f32x *plain, f32x *soft, f32x *teacher, f32x *gap, float *s, float *t,
                         const float *mask, const struct row *r)
{
    const f32x m = f32_load(mask), ds = f32_load(s) - r->s_max;
    const f32x e = exp_lanes(ds) * m;

    *plain += e;
    if (t) {
        const f32x dt = (f32_load(t) - r->t_max) * r->by_t, p = exp_lanes(dt) * m;
        *teacher += p;
        *gap += p * (dt - ds * r->by_t);
        f32_store(t, p);
        if (!r->single)
            *soft += exp_lanes(ds * r->by_t) * m;
    }
    if (r->single)
        f32_store(s, e);
}

INLINE void sum_sixteen(struct row_lanes *l, float *s, float *t, const float *mask,
                        const struct row *r)
{
#define AT(part, k)                                                                            \
    sum_register(&l->plain.part, &l->soft.part, &l->teacher.part, &l->gap.part, s + (k),       \
                 t ? t + (k) : NULL, mask + (k), r)
    AT(a, 0);
    if (F32_LANES < LANES)
        AT(b, F32_LANES);
    if (2 * F32_LANES < LANES) {
        AT(c, 2 * F32_LANES);
        AT(d, 3 * F32_LANES);
    }
#undef AT
}

INLINE void sum_row(struct row_sums *sums, float *s, float *t, size_t n, const struct row *r)
{
    static const float ones[LANES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

    *sums = (struct row_sums){0};
    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t end = n - at < BLOCK ? n : at + BLOCK;
        struct row_lanes l = {.plain = {.a = {0}}};
        size_t i = at;
        for (; i + LANES <= end; i += LANES)
            sum_sixteen(&l, s + i, t ? t + i : NULL, ones, r);
        if (i < end) {
            float mask[LANES], s_last[LANES], t_last[LANES];
            pad(mask, ones, end - i, 0);
            pad(s_last, s + i, end - i, r->s_max);
            if (t)
                pad(t_last, t + i, end - i, r->t_max);
            sum_sixteen(&l, s_last, t ? t_last : NULL, mask, r);
            memcpy(s + i, s_last, (end - i) * sizeof *s);
            if (t)
                memcpy(t + i, t_last, (end - i) * sizeof *t);
        }
        sums->plain += (double)sum_lanes(l.plain);
        sums->soft += (double)sum_lanes(l.soft);
        sums->teacher += (double)sum_lanes(l.teacher);
        sums->gap += (double)sum_lanes(l.gap);
    }
    if (r->single)
        sums->soft = sums->plain;
}

/* s = a e^s + b e^(s/T) - c e^(t/T), the exponentials as sum_row() left them. */
INLINE void row_gradient(float *s, const float *t, size_t n, const struct row *r, float a,
                         float b, float c)
{
    if (!t) {
#define BODY(LOAD, STORE) STORE(s + i, LOAD(s + i) * a);
        EACH(n, BODY);
#undef BODY
    } else if (r->single) {
#define BODY(LOAD, STORE) STORE(s + i, LOAD(s + i) * (a + b) - LOAD(t + i) * c);
        EACH(n, BODY);
#undef BODY
    } else {
#define BODY(LOAD, STORE)                                                                      \
    const f32x d = LOAD(s + i) - r->s_max;                                                     \
    STORE(s + i, exp_lanes(d) * a + exp_lanes(d * r->by_t) * b - LOAD(t + i) * c);
        EACH(n, BODY);
#undef BODY
    }
}

static void loss_row(const struct rbe_loss *l, float *student, float *teacher, size_t vocab,
                     uint32_t target, float weight, bool want_gradient,
                     struct rbe_loss_sums *sums)
{
    const struct row r = {.s_max = row_max(student, vocab),
                          .t_max = teacher ? row_max(teacher, vocab) : 0,
                          .by_t = 1 / l->temperature,
                          .single = !teacher || l->temperature == 1};
    const double alpha = teacher ? (double)l->alpha : 0, s_target = (double)student[target];
    const double t_target = teacher ? (double)(teacher[target] - r.t_max) * (double)r.by_t : 0;
    const double hard = 1 - alpha + (double)l->text;
    struct row_sums row;

    if (teacher) {
        size_t best = 0;
        while (best + 1 < vocab && teacher[best] != r.t_max)
            best++;
        sums->agree += student[best] == r.s_max;
    }
    sum_row(&row, student, teacher, vocab, &r);
    const double ce = (double)r.s_max + log(row.plain) - s_target;
    /* sum of p (log p - log q), p = e^t / teacher, q = e^s / soft. */
    const double kl = teacher ? row.gap / row.teacher - log(row.teacher) + log(row.soft) : 0;
    sums->ce += ce;
    sums->kl += kl;
    sums->original += teacher ? log(row.teacher) - t_target : 0;
    sums->loss += hard * ce + alpha * (double)l->factor * kl;
    sums->count++;
    if (want_gradient) {
        const double plain = hard * (double)weight;
        const double soft = alpha * (double)l->factor * (double)weight * (double)r.by_t;
        row_gradient(student, teacher, vocab, &r, (float)(plain / row.plain),
                     (float)(soft / row.soft), teacher ? (float)(soft / row.teacher) : 0);
        student[target] -= (float)plain;
    }
}

/* --- optimisers --------------------------------------------------------------------------- */

static double squares(const float *x, size_t n)
{
    double total = 0;

    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t end = n - at < BLOCK ? n : at + BLOCK;
        struct sixteen sum = {.a = {0}};
        float last[LANES];
        size_t i = at;
#define SQUARE(k) (f32_load(x + i + (k)) * f32_load(x + i + (k)))
        for (; i + LANES <= end; i += LANES)
            ADD_LANES(sum, SQUARE);
#undef SQUARE
#define SQUARE(k) (f32_load(last + (k)) * f32_load(last + (k)))
        if (i < end) {
            pad(last, x + i, end - i, 0);
            ADD_LANES(sum, SQUARE);
        }
#undef SQUARE
        total += (double)sum_lanes(sum);
    }
    return total;
}

static void adam(float *p, float *m, float *v, const float *g, size_t n,
                 const struct rbe_vector_adam *c)
{
#define BODY(LOAD, STORE)                                                                      \
    const f32x d = LOAD(g + i) * c->gradient;                                                  \
    const f32x first = LOAD(m + i) * c->b1 + d * (1 - c->b1);                                  \
    const f32x second = LOAD(v + i) * c->b2 + d * d * (1 - c->b2);                             \
    STORE(m + i, first);                                                                       \
    STORE(v + i, second);                                                                      \
    STORE(p + i, LOAD(p + i) * c->keep -                                                       \
                     first * c->step / (f32_sqrt(second) * c->root + c->eps));
    EACH(n, BODY);
#undef BODY
}

static void momentum(float *u, float *m, const float *g, size_t n, float beta, float scale)
{
#define BODY(LOAD, STORE)                                                                      \
    const f32x d = LOAD(g + i) * scale, v = LOAD(m + i) * beta + d;                            \
    STORE(m + i, v);                                                                           \
    STORE(u + i, v * beta + d);
    EACH(n, BODY);
#undef BODY
}

static void multiply_add(float *sum, const float *a, const float *b, size_t n)
{
#define BODY(LOAD, STORE) STORE(sum + i, LOAD(sum + i) + LOAD(a + i) * LOAD(b + i));
    EACH(n, BODY);
#undef BODY
}

static void blend(float *y, const float *x, size_t n, float a, float b)
{
#define BODY(LOAD, STORE) STORE(y + i, LOAD(y + i) * a + LOAD(x + i) * b);
    EACH(n, BODY);
#undef BODY
}

typedef uint32_t vu __attribute__((vector_size(4 * F32_LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * F32_LANES)));

/* The upper half, after adding just under half of the lower (or half, where what stays is
 * odd). */
INLINE vh halves(f32x x)
{
    const vu bits = (vu)x;

    return __builtin_convertvector((bits + ((bits >> 16 & 1) + 0x7FFF)) >> 16, vh);
}

static void round_bf16(uint16_t *to, const float *x, size_t n, float scale)
{
    size_t i = 0;

    for (; i + F32_LANES <= n; i += F32_LANES) {
        const vh h = halves(f32_load(x + i) * scale);
        memcpy(to + i, &h, sizeof h);
    }
    if (i < n) {
        const vh h = halves(f32_load_part(x + i, n - i, 0) * scale);
        memcpy(to + i, &h, (n - i) * sizeof *to);
    }
}

/* Two registers of b, each with the same four values of k of F32_LANES / 4 vectors, meet those
 * of four vectors of a. */
static void dots(double *out, const float *a, const float *b, size_t rows, size_t cols,
                 size_t n)
{
    enum { EACH_B = F32_LANES / 4, DOWN = 4, ACROSS = 2 };
    float each[F32_LANES];

    for (size_t j = 0; j < cols; j += ACROSS * EACH_B)
        for (size_t i = 0; i < rows; i += DOWN) {
            f32x s[DOWN][ACROSS] = {{{0}}};

            for (size_t k = 0; k < n; k += 4) {
                const float *at = b + k * cols + 4 * j;
                const f32x x = f32_load(at), y = f32_load(at + F32_LANES);
                for (size_t p = 0; p < DOWN; p++) {
                    const f32x v = f32_quads(a + (i + p) * n + k);
                    s[p][0] += v * x;
                    s[p][1] += v * y;
                }
            }
            for (size_t p = 0; p < DOWN * ACROSS; p++) {
                double *to = out + (i + p / ACROSS) * cols + j + p % ACROSS * EACH_B;
                f32_store(each, s[p / ACROSS][p % ACROSS]);
                for (size_t e = 0; e < EACH_B; e++)
                    to[e] += ((double)each[4 * e] + (double)each[4 * e + 1]) +
                             ((double)each[4 * e + 2] + (double)each[4 * e + 3]);
            }
        }
}

static void scale(float *to, const float *x, size_t n, float by)
{
#define BODY(LOAD, STORE) STORE(to + i, LOAD(x + i) * by);
    EACH(n, BODY);
#undef BODY
}

/* Of a register; added to sums. */
INLINE f32x energy(float *sums, const float *g, bool logit)
{
    const f32x v = f32_load(g), a = f32_max(v, -v), e = logit ? a * (1 - a) : v * v;

    f32_store(sums, f32_load(sums) + e);
    return e;
}

INLINE double all_energies(float *sums, const float *g, size_t n, bool logit)
{
    double total = 0;

    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t end = n - at < BLOCK ? n : at + BLOCK;
        struct sixteen sum = {.a = {0}};
        float last[LANES], more[LANES] = {0};
        size_t i = at;
#define ENERGY(k) energy(sums + i + (k), g + i + (k), logit)
        for (; i + LANES <= end; i += LANES)
            ADD_LANES(sum, ENERGY);
#undef ENERGY
#define ENERGY(k) energy(more + (k), last + (k), logit)
        if (i < end) {
            pad(last, g + i, end - i, 0);
            ADD_LANES(sum, ENERGY);
            for (size_t k = 0; i + k < end; k++)
                sums[i + k] += more[k];
        }
#undef ENERGY
        total += (double)sum_lanes(sum);
    }
    return total;
}

static double energies(float *sums, const float *g, size_t n, bool logit)
{
    return logit ? all_energies(sums, g, n, true) : all_energies(sums, g, n, false);
}

/* --- error feedback ----------------------------------------------------------------------- */

static void take_off(float *to, const float *by, size_t stride, const float *x, size_t ld,
                     size_t count, size_t n)
{
    const size_t whole = count / 4 * 4;

#define BODY(LOAD, STORE)                                                                      \
    f32x sum = LOAD(to + i);                                                                   \
    for (size_t p = 0; p < whole; p += 4) {                                                    \
        const float *b = by + p * stride, *at = x + p * ld + i;                                \
        sum -= (LOAD(at) * b[0] + LOAD(at + ld) * b[stride]) +                                 \
               (LOAD(at + 2 * ld) * b[2 * stride] + LOAD(at + 3 * ld) * b[3 * stride]);        \
    }                                                                                          \
    for (size_t p = whole; p < count; p++)                                                     \
        sum -= LOAD(x + p * ld + i) * by[p * stride];                                          \
    STORE(to + i, sum);
    EACH(n, BODY);
#undef BODY
}

typedef double f64_lanes __attribute__((vector_size(sizeof(f32x))));
enum { F64_LANES = F32_LANES / 2, TILE_ROWS = 4, TILE_VECTORS = 2,
       TILE_COLS = TILE_VECTORS * F64_LANES };

INLINE f64_lanes f64_lanes_at(const double *p)
{
    f64_lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Of a whole tile: its elements are independent of one another. */
INLINE void subtract_tile(double *c, const double *l, size_t ldl, const double *x, size_t ld,
                          size_t count)
{
    f64_lanes t[TILE_ROWS][TILE_VECTORS];

    RBE_UNROLL
    for (size_t r = 0; r < TILE_ROWS; r++)
        RBE_UNROLL
        for (size_t v = 0; v < TILE_VECTORS; v++)
            t[r][v] = f64_lanes_at(c + r * ld + v * F64_LANES);
    for (size_t k = 0; k < count; k++)
        RBE_UNROLL
        for (size_t r = 0; r < TILE_ROWS; r++)
            RBE_UNROLL
            for (size_t v = 0; v < TILE_VECTORS; v++)
                t[r][v] -= f64_lanes_at(x + k * ld + v * F64_LANES) * l[r * ldl + k];
    RBE_UNROLL
    for (size_t r = 0; r < TILE_ROWS; r++)
        RBE_UNROLL
        for (size_t v = 0; v < TILE_VECTORS; v++)
            memcpy(c + r * ld + v * F64_LANES, &t[r][v], sizeof t[r][v]);
}

static void subtract(double *c, const double *l, size_t ldl, const double *x, size_t ld,
                     size_t count, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i += TILE_ROWS)
        for (size_t j = 0; j < cols; j += TILE_COLS) {
            if (rows - i >= TILE_ROWS && cols - j >= TILE_COLS) {
                subtract_tile(c + i * ld + j, l + i * ldl, ldl, x + j, ld, count);
                continue;
            }
            for (size_t r = i; r < rows && r < i + TILE_ROWS; r++)
                for (size_t k = 0; k < count; k++)
                    for (size_t q = j; q < cols && q < j + TILE_COLS; q++)
                        c[r * ld + q] -= l[r * ldl + k] * x[k * ld + q];
        }
}

/* --- predictions that move ---------------------------------------------------------------- */

/* p (e^d - 1 - d) of a register. */
INLINE f32x tilted(const float *p, const float *moves, float from)
{
    const f32x d = f32_load(moves) - from;

    return f32_load(p) * (exp_lanes(d) - 1 - d);
}

static void tilt(double sum[2], const float *p, const float *moves, size_t n, float from)
{
    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t end = n - at < BLOCK ? n : at + BLOCK;
        struct sixteen means = {.a = {0}}, rest = {.a = {0}};
        float p_last[LANES], last[LANES];
        size_t i = at;

#define MEAN(k) (f32_load(p + i + (k)) * (f32_load(moves + i + (k)) - from))
#define REST(k) tilted(p + i + (k), moves + i + (k), from)
        for (; i + LANES <= end; i += LANES) {
            ADD_LANES(means, MEAN);
            ADD_LANES(rest, REST);
        }
#undef MEAN
#undef REST
#define MEAN(k) (f32_load(p_last + (k)) * (f32_load(last + (k)) - from))
#define REST(k) tilted(p_last + (k), last + (k), from)
        if (i < end) {
            pad(p_last, p + i, end - i, 0);
            pad(last, moves + i, end - i, from);
            ADD_LANES(means, MEAN);
            ADD_LANES(rest, REST);
        }
#undef MEAN
#undef REST
        sum[0] += (double)sum_lanes(means);
        sum[1] += (double)sum_lanes(rest);
    }
}

#define FUNCTIONS                                                                              \
    add, gelu, gelu_back, norm_back, softmax_back, loss_row, squares, adam, momentum,          \
    round_bf16, multiply_add, blend, rms_back, swiglu_back, dots, scale, energies,         \
    take_off, subtract, tilt

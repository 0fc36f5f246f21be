/*
 * body/elementwise.h - the functions of elementwise.h for any width of registers.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/body/lanes.h"
#include "kernels/elementwise.h"

/* --- the functions ------------------------------------------------------------------------ */

static void layer_norm(float *y, const float *x, const float *gain, const float *bias,
                       size_t n, float eps)
{
    const float mean = row_sum(x, n, 0, false) / (float)n;
    const float scale = 1 / sqrtf(row_sum(x, n, mean, true) / (float)n + eps);
    size_t i = 0;

    for (; i + F32_LANES <= n; i += F32_LANES)
        f32_store(y + i, (f32_load(x + i) - mean) * scale * f32_load(gain + i) +
                             f32_load(bias + i));
    for (; i < n; i++)
        y[i] = (x[i] - mean) * scale * gain[i] + bias[i];
}

/* x/2 (1 + tanh u) = x / (1 + e^(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3). */
INLINE void gelu_registers(f32x *x, const int count)
{
    f32x u[EXP_AT_ONCE];

    RBE_UNROLL
    for (int k = 0; k < count; k++)
        u[k] = (x[k] * x[k] * 0.044715F + 1) * x[k] * -1.59576912F;
    exp_registers(u, count);
    RBE_UNROLL
    for (int k = 0; k < count; k++)
        x[k] = x[k] / (u[k] + 1);
}

/* For functions that go through several registers at once while there are so many. */
enum { SEVERAL = EXP_AT_ONCE * F32_LANES };

/* The registers from x on. */
INLINE void load_several(f32x *v, const float *x)
{
    RBE_UNROLL
    for (int k = 0; k < EXP_AT_ONCE; k++)
        v[k] = f32_load(x + k * F32_LANES);
}

INLINE void store_several(float *x, const f32x *v)
{
    RBE_UNROLL
    for (int k = 0; k < EXP_AT_ONCE; k++)
        f32_store(x + k * F32_LANES, v[k]);
}

static void bias_gelu(float *x, const float *bias, size_t n)
{
    f32x v[EXP_AT_ONCE], b[EXP_AT_ONCE];
    size_t i = 0;

    for (; i + SEVERAL <= n; i += SEVERAL) {
        load_several(v, x + i);
        load_several(b, bias + i);
        RBE_UNROLL
        for (int k = 0; k < EXP_AT_ONCE; k++)
            v[k] += b[k];
        gelu_registers(v, EXP_AT_ONCE);
        store_several(x + i, v);
    }
    for (; i < n; i += F32_LANES) {
        const size_t left = n - i < F32_LANES ? n - i : F32_LANES;
        v[0] = f32_load_part(x + i, left, 0) + f32_load_part(bias + i, left, 0);
        gelu_registers(v, 1);
        f32_store_part(x + i, v[0], left);
    }
}

static void bias_add(float *x, const float *bias, size_t n)
{
    size_t i = 0;

    for (; i + F32_LANES <= n; i += F32_LANES)
        f32_store(x + i, f32_load(x + i) + f32_load(bias + i));
    for (; i < n; i++)
        x[i] += bias[i];
}

static void residual_add(float *x, const float *y, const float *bias, size_t n)
{
    size_t i = 0;

    for (; i + F32_LANES <= n; i += F32_LANES)
        f32_store(x + i, f32_load(x + i) + (f32_load(y + i) + f32_load(bias + i)));
    for (; i < n; i++)
        x[i] += y[i] + bias[i];
}

static void softmax(float *x, size_t n)
{
    const float m = row_max(x, n);
    f32x v[EXP_AT_ONCE];
    size_t i = 0;

    for (; i + SEVERAL <= n; i += SEVERAL) {
        load_several(v, x + i);
        RBE_UNROLL
        for (int k = 0; k < EXP_AT_ONCE; k++)
            v[k] -= m;
        exp_registers(v, EXP_AT_ONCE);
        store_several(x + i, v);
    }
    for (; i + F32_LANES <= n; i += F32_LANES)
        f32_store(x + i, exp_lanes(f32_load(x + i) - m));
    if (i < n)
        f32_store_part(x + i, exp_lanes(f32_load_part(x + i, n - i, m) - m), n - i);
    const float scale = 1 / row_sum(x, n, 0, false);
    for (i = 0; i + F32_LANES <= n; i += F32_LANES)
        f32_store(x + i, f32_load(x + i) * scale);
    for (; i < n; i++)
        x[i] *= scale;
}

static double log_sum_exp(const float *x, size_t n)
{
    const float m = row_max(x, n);
    double total = 0;

    /* Up to 32 exponentials a lane are added in f32, which costs at most 32 roundings of
     * 2^-24 and rarely more than one; blocks in double. */
    for (size_t at = 0; at < n; at += 32 * LANES) {
        const size_t end = n - at < 32 * LANES ? n : at + 32 * LANES;
        struct sixteen sum = {.a = {0}};
        float last[LANES];
        size_t i = at;
#define VALUE(k) v[r + (k) / F32_LANES]
        for (; i + SEVERAL <= end; i += SEVERAL) {
            f32x v[EXP_AT_ONCE];
            load_several(v, x + i);
            RBE_UNROLL
            for (int k = 0; k < EXP_AT_ONCE; k++)
                v[k] -= m;
            exp_registers(v, EXP_AT_ONCE);
            RBE_UNROLL
            for (int r = 0; r < EXP_AT_ONCE; r += LANES / F32_LANES)
                ADD_LANES(sum, VALUE);
        }
#undef VALUE
#define VALUE(k) exp_lanes(f32_load(x + i + (k)) - m)
        for (; i + LANES <= end; i += LANES)
            ADD_LANES(sum, VALUE);
#undef VALUE
#define VALUE(k) f32_load(last + (k))
        if (i < end) {
            float e[LANES];
            pad(e, x + i, end - i, m);
            for (int k = 0; k < LANES; k += F32_LANES)
                f32_store(e + k, exp_lanes(f32_load(e + k) - m));
            pad(last, e, end - i, 0);
            ADD_LANES(sum, VALUE);
        }
#undef VALUE
        total += (double)sum_lanes(sum);
    }
    return (double)m + log(total);
}

static void rms_norm(float *y, const float *x, const float *gain, size_t n, float eps)
{
    const float scale = 1 / sqrtf(row_sum(x, n, 0, true) / (float)n + eps);
    size_t i = 0;

    for (; i + F32_LANES <= n; i += F32_LANES)
        f32_store(y + i, f32_load(x + i) * scale * f32_load(gain + i));
    for (; i < n; i++)
        y[i] = x[i] * scale * gain[i];
}

INLINE f32x swiglu_lanes(f32x x, f32x y)
{
    return x / (exp_lanes(-x) + 1) * y;
}

static void swiglu(float *x, const float *y, size_t n)
{
    size_t i = 0;

    for (; i + F32_LANES <= n; i += F32_LANES)
        f32_store(x + i, swiglu_lanes(f32_load(x + i), f32_load(y + i)));
    if (i < n)
        f32_store_part(x + i, swiglu_lanes(f32_load_part(x + i, n - i, 0),
                                           f32_load_part(y + i, n - i, 0)), n - i);
}

static void rotate(float *y, const float *x, const float *cosines, const float *sines,
                   size_t half)
{
    size_t i = 0;

    for (; i + F32_LANES <= half; i += F32_LANES) {
        const f32x a = f32_load(x + i), b = f32_load(x + half + i);
        const f32x c = f32_load(cosines + i), s = f32_load(sines + i);
        f32_store(y + i, a * c - b * s);
        f32_store(y + half + i, b * c + a * s);
    }
    for (; i < half; i++) {
        const float a = x[i], b = x[half + i];
        y[i] = a * cosines[i] - b * sines[i];
        y[half + i] = b * cosines[i] + a * sines[i];
    }
}

/* The largest of each block first: the place is looked for in one block only. */
static size_t largest(const float *x, size_t n)
{
    enum { STEP = 4 * F32_LANES, BLOCK = 1024 };
    float most = -INFINITY;
    size_t from = 0;

    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t end = n - at < BLOCK ? n : at + BLOCK;
        f32x m[4];
        size_t i = at;
        RBE_UNROLL
        for (int k = 0; k < 4; k++)
            m[k] = (f32x){0} - INFINITY;
        for (; i + STEP <= end; i += STEP) {
            RBE_UNROLL
            for (int k = 0; k < 4; k++)
                m[k] = f32_max(f32_load(x + i + (size_t)k * F32_LANES), m[k]);
        }
        float here = f32_largest(f32_max(f32_max(m[0], m[1]), f32_max(m[2], m[3])));
        for (; i < end; i++)
            here = x[i] > here ? x[i] : here;
        if (here > most) {
            most = here;
            from = at;
        }
    }
    for (size_t i = from; i < n; i++)
        if (x[i] == most)
            return i;
    return 0;                   /* nothing but NaN */
}

/* x - x is 0, or NaN. */
static bool all_finite(const float *x, size_t n)
{
    f32x odd[4] = {{0}};
    float odds[F32_LANES], sum = 0;
    size_t i = 0;

    for (; i + 4 * F32_LANES <= n; i += 4 * F32_LANES) {
        RBE_UNROLL
        for (int k = 0; k < 4; k++) {
            const f32x v = f32_load(x + i + (size_t)k * F32_LANES);
            odd[k] += v - v;
        }
    }
    for (; i < n; i++)
        sum += x[i] - x[i];
    f32_store(odds, (odd[0] + odd[1]) + (odd[2] + odd[3]));
    for (int k = 0; k < F32_LANES; k++)
        sum += odds[k];
    return sum == 0;
}

#define FUNCTIONS                                                                              \
    layer_norm, bias_gelu, bias_add, residual_add, softmax, log_sum_exp, rms_norm, swiglu,     \
        rotate, largest, all_finite

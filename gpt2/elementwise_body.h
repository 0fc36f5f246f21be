/*
 * elementwise_body.h - the functions of elementwise.h in vectors, whose width follows from
 * the flags the including file is compiled with.
 *
 * SPDX-License-Identifier: MIT
 *
 * The including file defines RBE_ELEMENTWISE (the table's name), RBE_ELEMENTWISE_NAME and
 * RBE_ELEMENTWISE_ISA.  Sums run in sixteen lanes whatever the width: lane i takes elements
 * i, i + 16, ..., and the lanes are added over a fixed tree.
 */
#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "gpt2/elementwise.h"
#include "kernels/cpu.h"

#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
#define WIDTH 16
#elif defined(__AVX2__)
#define WIDTH 8
#else
#define WIDTH 4
#endif
#define LANES 16
typedef float vf __attribute__((vector_size(4 * WIDTH)));
typedef int32_t vi __attribute__((vector_size(4 * WIDTH)));

INLINE vf load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

/* The first n of a register, the rest `fill`. */
INLINE vf load_part(const float *p, size_t n, float fill)
{
    float part[WIDTH];
    for (size_t i = 0; i < WIDTH; i++)
        part[i] = i < n ? p[i] : fill;
    return load(part);
}

INLINE void store_part(float *p, vf v, size_t n)
{
    memcpy(p, &v, n * sizeof *p);
}

/* a where a > b, else b: a NaN in a is passed over, one in b is kept. */
INLINE vf max(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    const vi mask = a > b;
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
#endif
}

/*
 * e^x to about 1e-7 of itself; x is held to [-87, 88], NaN stays NaN.  x = n ln 2 + r with
 * |r| <= ln 2 / 2; ln 2 in two parts, the first short enough that n times it is exact; the
 * polynomial is that of the Cephes library.
 */
INLINE vf exp_lanes(vf x)
{
    const vf zero = {0};

    x = max(zero - 87, x);
    x = -max(zero - 88, -x);
    /* Adding 1.5 * 2^23 leaves the rounded integer in the low bits. */
    const vf biased = x * 1.44269504F + 0x1.8p23F, n = biased - 0x1.8p23F;
    const vf r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
    vf p = r * 1.9875691500e-4F + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = (p * (r * r) + r) + 1;
    /* 2^n from its bits: those of `biased` are 0x4B400000 + n. */
    return p * (vf)(((vi)biased + (127 - 0x4B400000)) << 23);
}

/* --- sums --------------------------------------------------------------------------------- */

/* Sixteen lanes; registers past the sixteenth lane stay unused. */
struct lanes {
    vf a, b, c, d;
};

/* Lanes of values that f(i) gives for the register at element i of sixteen. */
#define ADD_LANES(sum, f)                                                                      \
    do {                                                                                       \
        (sum).a += f(0);                                                                       \
        if (WIDTH < LANES)                                                                     \
            (sum).b += f(WIDTH);                                                               \
        if (2 * WIDTH < LANES) {                                                               \
            (sum).c += f(2 * WIDTH);                                                           \
            (sum).d += f(3 * WIDTH);                                                           \
        }                                                                                      \
    } while (0)

/* The tree: lanes i and i + 8, then i and i + 4, then 0 + 2 and 1 + 3, then both. */
INLINE float sum_lanes(struct lanes v)
{
    float s[4];
#if defined(__AVX512F__)
    const __m512 x = (__m512)v.a;
    const __m256 y = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    _mm_storeu_ps(s, _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1)));
#elif defined(__AVX2__)
    const __m256 y = (__m256)(v.a + v.b);
    _mm_storeu_ps(s, _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1)));
#else
    store(s, (v.a + v.c) + (v.b + v.d));
#endif
    return (s[0] + s[2]) + (s[1] + s[3]);
}

/* The last n < 16 of a row, copied to `to` and padded to sixteen. */
INLINE void pad(float *to, const float *from, size_t n, float fill)
{
    for (size_t i = 0; i < LANES; i++)
        to[i] = i < n ? from[i] : fill;
}

INLINE float max_lanes(vf v)
{
    float s[WIDTH], m;

    store(s, v);
    m = s[0];
    for (int i = 1; i < WIDTH; i++)
        m = s[i] > m ? s[i] : m;
    return m;
}

/* --- the functions ------------------------------------------------------------------------ */

static void layer_norm(float *y, const float *x, const float *gain, const float *bias,
                       size_t n, float eps)
{
    const size_t whole = n / LANES * LANES;
    struct lanes sum = {.a = {0}}, squares = {.a = {0}};
    float last[LANES];
    size_t i = 0;

#define VALUE(k) load(x + i + (k))
    for (; i < whole; i += LANES)
        ADD_LANES(sum, VALUE);
#undef VALUE
#define VALUE(k) load(last + (k))
    if (i < n) {
        pad(last, x + i, n - i, 0);
        ADD_LANES(sum, VALUE);
    }
#undef VALUE
    const float mean = sum_lanes(sum) / (float)n;
#define SQUARE(k) ((load(x + i + (k)) - mean) * (load(x + i + (k)) - mean))
    for (i = 0; i < whole; i += LANES)
        ADD_LANES(squares, SQUARE);
#undef SQUARE
#define SQUARE(k) ((load(last + (k)) - mean) * (load(last + (k)) - mean))
    if (i < n) {
        pad(last, x + i, n - i, mean);
        ADD_LANES(squares, SQUARE);
    }
#undef SQUARE
    const float scale = 1 / sqrtf(sum_lanes(squares) / (float)n + eps);
    for (i = 0; i + WIDTH <= n; i += WIDTH)
        store(y + i, (load(x + i) - mean) * scale * load(gain + i) + load(bias + i));
    for (; i < n; i++)
        y[i] = (x[i] - mean) * scale * gain[i] + bias[i];
}

/* x/2 (1 + tanh u) = x / (1 + e^(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3). */
INLINE vf gelu_lanes(vf x)
{
    const vf u = (x * x * 0.044715F + 1) * x * -1.59576912F;
    return x / (exp_lanes(u) + 1);
}

static void bias_gelu(float *x, const float *bias, size_t n)
{
    size_t i = 0;

    for (; i + WIDTH <= n; i += WIDTH)
        store(x + i, gelu_lanes(load(x + i) + load(bias + i)));
    if (i < n)
        store_part(x + i, gelu_lanes(load_part(x + i, n - i, 0) +
                                     load_part(bias + i, n - i, 0)), n - i);
}

static void bias_add(float *x, const float *bias, size_t n)
{
    size_t i = 0;

    for (; i + WIDTH <= n; i += WIDTH)
        store(x + i, load(x + i) + load(bias + i));
    for (; i < n; i++)
        x[i] += bias[i];
}

static void residual_add(float *x, const float *y, const float *bias, size_t n)
{
    size_t i = 0;

    for (; i + WIDTH <= n; i += WIDTH)
        store(x + i, load(x + i) + (load(y + i) + load(bias + i)));
    for (; i < n; i++)
        x[i] += y[i] + bias[i];
}

static float row_max(const float *x, size_t n)
{
    vf m = (vf){0} - INFINITY;
    size_t i = 0;

    for (; i + WIDTH <= n; i += WIDTH)
        m = max(load(x + i), m);
    if (i < n)
        m = max(load_part(x + i, n - i, -INFINITY), m);
    return max_lanes(m);
}

static void softmax(float *x, size_t n)
{
    const size_t whole = n / LANES * LANES;
    const float m = row_max(x, n);
    struct lanes sum = {.a = {0}};
    float last[LANES];
    size_t i = 0;

    for (; i + WIDTH <= n; i += WIDTH)
        store(x + i, exp_lanes(load(x + i) - m));
    if (i < n)
        store_part(x + i, exp_lanes(load_part(x + i, n - i, m) - m), n - i);
#define VALUE(k) load(x + i + (k))
    for (i = 0; i < whole; i += LANES)
        ADD_LANES(sum, VALUE);
#undef VALUE
#define VALUE(k) load(last + (k))
    if (i < n) {
        pad(last, x + i, n - i, 0);
        ADD_LANES(sum, VALUE);
    }
#undef VALUE
    const float scale = 1 / sum_lanes(sum);
    for (i = 0; i + WIDTH <= n; i += WIDTH)
        store(x + i, load(x + i) * scale);
    for (; i < n; i++)
        x[i] *= scale;
}

static void scores(float *s, const float *q, const float *k, size_t count, size_t dim,
                   float scale)
{
    const size_t whole = dim / LANES * LANES;
    float q_last[LANES], k_last[LANES];

    pad(q_last, q + whole, dim - whole, 0);
    for (size_t t = 0; t < count; t++, k += dim) {
        struct lanes sum = {.a = {0}};
        size_t i = 0;
#define PRODUCT(at) (load(q + i + (at)) * load(k + i + (at)))
        for (; i < whole; i += LANES)
            ADD_LANES(sum, PRODUCT);
#undef PRODUCT
#define PRODUCT(at) (load(q_last + (at)) * load(k_last + (at)))
        if (i < dim) {
            pad(k_last, k + i, dim - i, 0);
            ADD_LANES(sum, PRODUCT);
        }
#undef PRODUCT
        s[t] = scale * sum_lanes(sum);
    }
}

static void mix(float *y, const float *p, const float *v, size_t count, size_t dim)
{
    size_t i = 0;

    for (; i + 4 * WIDTH <= dim; i += 4 * WIDTH) {
        vf a = {0}, b = {0}, c = {0}, d = {0};
        for (size_t t = 0; t < count; t++) {
            const float *from = v + t * dim + i;
            a += load(from) * p[t];
            b += load(from + WIDTH) * p[t];
            c += load(from + 2 * WIDTH) * p[t];
            d += load(from + 3 * WIDTH) * p[t];
        }
        store(y + i, a);
        store(y + i + WIDTH, b);
        store(y + i + 2 * WIDTH, c);
        store(y + i + 3 * WIDTH, d);
    }
    for (; i < dim; i++) {
        float a = 0;
        for (size_t t = 0; t < count; t++)
            a += v[t * dim + i] * p[t];
        y[i] = a;
    }
}

static double log_sum_exp(const float *x, size_t n)
{
    const float m = row_max(x, n);
    double total = 0;

    /* Up to 32 exponentials a lane are added in f32, which costs at most 32 roundings of
     * 2^-24 and rarely more than one; blocks in double. */
    for (size_t at = 0; at < n; at += 32 * LANES) {
        const size_t end = n - at < 32 * LANES ? n : at + 32 * LANES;
        struct lanes sum = {.a = {0}};
        float last[LANES];
        size_t i = at;
#define VALUE(k) exp_lanes(load(x + i + (k)) - m)
        for (; i + LANES <= end; i += LANES)
            ADD_LANES(sum, VALUE);
#undef VALUE
#define VALUE(k) load(last + (k))
        if (i < end) {
            float e[LANES];
            pad(e, x + i, end - i, m);
            for (int k = 0; k < LANES; k += WIDTH)
                store(e + k, exp_lanes(load(e + k) - m));
            pad(last, e, end - i, 0);
            ADD_LANES(sum, VALUE);
        }
#undef VALUE
        total += (double)sum_lanes(sum);
    }
    return (double)m + log(total);
}

const struct rbe_elementwise RBE_ELEMENTWISE = {
    .name = RBE_ELEMENTWISE_NAME, .isa = RBE_ELEMENTWISE_ISA, .layer_norm = layer_norm,
    .bias_gelu = bias_gelu, .bias_add = bias_add, .residual_add = residual_add,
    .softmax = softmax, .scores = scores, .mix = mix, .log_sum_exp = log_sum_exp};

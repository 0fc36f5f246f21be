/*
 * check_elementwise.c - every version against doubles, and against each other bit for bit.
 *
 * SPDX-License-Identifier: MIT
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kernels/cpu.h"
#include "kernels/elementwise.h"
#include "kernels/test/check.h"

enum { MAX = 2000 };
static const size_t sizes[] = {1, 2, 15, 16, 17, 31, 63, 64, 65, 100, 256, 768, 1600, 1999};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static float x[MAX], y[MAX], gain[MAX], bias[MAX], got[MAX], first[SIZES][9][MAX];

/* What the narrowest version found, the others must find to the bit. */
static void same_bits(size_t version, size_t size, int what, const float *v, size_t n)
{
    if (version == 0)
        memcpy(first[size][what], v, n * sizeof *v);
    else
        CHECK(!memcmp(first[size][what], v, n * sizeof *v));
}

static void fill(float *v, size_t n, float scale, struct check_rng *rng)
{
    for (size_t i = 0; i < n; i++)
        v[i] = scale * check_unit(rng);
}

static double gelu(double v)
{
    return v / 2 * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
}

static void check_layer_norm(const struct rbe_elementwise *e, size_t version, size_t size)
{
    const size_t n = sizes[size];
    double mean = 0, var = 0;

    for (size_t i = 0; i < n; i++)
        mean += x[i];
    mean /= (double)n;
    for (size_t i = 0; i < n; i++)
        var += (x[i] - mean) * (x[i] - mean);
    var /= (double)n;
    e->layer_norm(got, x, gain, bias, n, 1e-5F);
    for (size_t i = 0; i < n; i++)
        CHECK_NEAR(got[i], (x[i] - mean) / sqrt(var + 1e-5) * gain[i] + bias[i], 2e-5);
    same_bits(version, size, 0, got, n);
}

static void check_activations(const struct rbe_elementwise *e, size_t version, size_t size)
{
    const size_t n = sizes[size];

    memcpy(got, x, sizeof got);
    e->bias_gelu(got, bias, n);
    for (size_t i = 0; i < n; i++) {
        const double v = (double)x[i] + bias[i];
        CHECK_NEAR(got[i], gelu(v), 4e-7 * fabs(v) + 1e-7);
    }
    CHECK(n == MAX || got[n] == x[n]);
    same_bits(version, size, 1, got, n);

    memcpy(got, x, sizeof got);
    e->bias_add(got, bias, n);
    for (size_t i = 0; i < n; i++)
        CHECK(got[i] == x[i] + bias[i]);
    CHECK(got[n] == x[n]);
    memcpy(got, x, sizeof got);
    e->residual_add(got, y, bias, n);
    for (size_t i = 0; i < n; i++)
        CHECK(got[i] == x[i] + (y[i] + bias[i]));
    CHECK(got[n] == x[n]);
}

/* RMS norm, SwiGLU and rotations, in place too. */
static void check_llama(const struct rbe_elementwise *e, size_t version, size_t size)
{
    const size_t n = sizes[size], half = n / 2;
    double square = 0;

    for (size_t i = 0; i < n; i++)
        square += (double)x[i] * x[i] / (double)n;
    e->rms_norm(got, x, gain, n, 0.5F);
    for (size_t i = 0; i < n; i++)
        CHECK_NEAR(got[i], x[i] / sqrt(square + 0.5) * gain[i], 2e-6);
    same_bits(version, size, 6, got, n);

    memcpy(got, x, sizeof got);
    e->swiglu(got, y, n);
    for (size_t i = 0; i < n; i++) {
        const double want = x[i] / (1 + exp(-(double)x[i])) * y[i];
        CHECK_NEAR(got[i], want, 4e-7 * fabs(want) + 1e-7);
    }
    CHECK(got[n] == x[n]);
    same_bits(version, size, 7, got, n);

    memcpy(got, x, sizeof got);
    e->rotate(got, got, gain, bias, half);
    for (size_t i = 0; i < half; i++) {
        CHECK(got[i] == x[i] * gain[i] - x[half + i] * bias[i]);
        CHECK(got[half + i] == x[half + i] * gain[i] + x[i] * bias[i]);
    }
    CHECK(got[2 * half] == x[2 * half]);
    same_bits(version, size, 8, got, n);
}

static void check_softmax(const struct rbe_elementwise *e, size_t version, size_t size)
{
    const size_t n = sizes[size];
    double sum = 0, total = 0, max = -INFINITY;

    for (size_t i = 0; i < n; i++)
        max = fmax(max, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    memcpy(got, x, sizeof got);
    e->softmax(got, n);
    for (size_t i = 0; i < n; i++) {
        const double want = exp(x[i] - max) / sum;
        CHECK_NEAR(got[i], want, 2e-6 * want + 1e-37);
        total += got[i];
    }
    CHECK_NEAR(total, 1, 1e-5);
    CHECK(got[n] == x[n]);
    same_bits(version, size, 2, got, n);

    /* Far from 0, where an exponential alone overflows or vanishes; x moves by its rounding. */
    for (int up = -1; up <= 1; up += 2) {
        for (size_t i = 0; i < n; i++)
            got[i] = x[i] + 200.0F * (float)up;
        e->softmax(got, n);
        for (size_t i = 0; i < n; i++)
            CHECK_NEAR(got[i], exp(x[i] - max) / sum, 5e-5 * exp(x[i] - max) / sum + 1e-37);
    }

    const double lse = e->log_sum_exp(x, n);
    CHECK_NEAR(lse, max + log(sum), 3e-7);
    const float as_float = (float)lse;
    same_bits(version, size, 3, &as_float, 1);
    memcpy(got, x, sizeof got);
    got[n / 2] = NAN;
    CHECK(isnan(e->log_sum_exp(got, n)));
    got[n / 2] = 10000;
    CHECK_NEAR(e->log_sum_exp(got, n), 10000, 1e-6);
}

/* In every place, among equals, and where some are not finite. */
static void check_largest(const struct rbe_elementwise *e, size_t size)
{
    const size_t n = sizes[size];

    for (size_t i = 0; i < n; i++)
        got[i] = (float)(i % 7) - 9;
    CHECK(e->largest(got, n) == (n < 7 ? n - 1 : 6) && e->all_finite(got, n));
    for (size_t i = 0; i < n; i++) {
        const float was = got[i];
        got[i] = 5;
        CHECK(e->largest(got, n) == i);
        got[n - 1] = 5;
        CHECK(e->largest(got, n) == i);
        got[n - 1] = (float)((n - 1) % 7) - 9;
        got[i] = NAN;
        CHECK(!e->all_finite(got, n) && (n == 1 || e->largest(got, n) != i));
        got[i] = i % 2 ? INFINITY : -INFINITY;
        CHECK(!e->all_finite(got, n) && (n == 1 || (e->largest(got, n) == i) == (i % 2 == 1)));
        got[i] = was;
    }
    for (size_t i = 0; i < n; i++)
        got[i] = i == n / 2 ? -INFINITY : NAN;
    CHECK(e->largest(got, n) == n / 2);
    got[n / 2] = NAN;
    CHECK(e->largest(got, n) < n);
}

/* GELU and e^x over their whole range, relative error. */
static void check_ranges(const struct rbe_elementwise *e)
{
    static float v[4], zero[4];
    double worst_exp = 0, worst_gelu = 0;

    for (double a = -80; a < 80; a += 0.00137) {
        v[0] = (float)a;
        v[1] = 0;
        const double want = log1p(exp(-fabs(v[0]))) + (v[0] > 0 ? v[0] : 0);
        worst_exp = fmax(worst_exp, fabs(e->log_sum_exp(v, 2) - want));
    }
    CHECK_NEAR(worst_exp, 0, 3e-7);
    for (double a = -4; a < 12; a += 0.00013) {
        v[0] = (float)a;
        e->bias_gelu(v, zero, 1);
        worst_gelu = fmax(worst_gelu, fabs(v[0] - gelu((float)a)));
    }
    CHECK_NEAR(worst_gelu, 0, 1e-6);
    const float odd[] = {-1e30F, -100, -20, 0, 20, 100, 1e9F};
    for (size_t i = 0; i < 7; i++) {
        v[0] = odd[i];
        e->bias_gelu(v, zero, 1);
        CHECK(v[0] == (odd[i] > 0 ? odd[i] : v[0]) && fabsf(v[0]) <= fabsf(odd[i]));
        CHECK(odd[i] > 0 || fabsf(v[0]) < 1e-6F);
    }
    v[0] = NAN;
    e->bias_gelu(v, zero, 1);
    CHECK(isnan(v[0]));
    /* SwiGLU far out: x itself, or nothing. */
    for (size_t i = 0; i < 7; i++) {
        const float one = 1;
        v[0] = odd[i];
        e->swiglu(v, &one, 1);
        CHECK_NEAR(v[0], odd[i] > 0 ? odd[i] : 0, 5e-7 * fabs(odd[i]) * (odd[i] > 0) + 1e-7);
    }
    printf("%-7s worst error: log-sum-exp %.2g, GELU %.2g\n", e->name, worst_exp, worst_gelu);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Printed, not judged: nanoseconds for GELU, softmax and log-sum-exp. */
static void time_it(const struct rbe_elementwise *e)
{
    static float big[8192], zero[8192];
    double ns[3];

    for (int what = 0; what < 3; what++) {
        const double t0 = now();
        int n = 0;
        for (; now() - t0 < 0.01; n++)
            if (what == 0)
                e->bias_gelu(big, zero, 8192);
            else if (what == 1)
                e->softmax(big, 8192);
            else
                big[0] = (float)e->log_sum_exp(big, 8192);
        ns[what] = (now() - t0) / n / 8192 * 1e9;
    }
    printf("%-7s ns an element: GELU %.2f, softmax %.2f, log-sum-exp %.2f\n", e->name, ns[0],
           ns[1], ns[2]);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    const struct rbe_elementwise *e;
    unsigned ran = 0;

    rbe_cpu_init();
    fill(y, MAX, 3, &rng);
    fill(gain, MAX, 2, &rng);
    fill(bias, MAX, 0.5F, &rng);
    fill(x, MAX, 8, &rng);
    for (size_t version = 0; (e = rbe_elementwise_at(version)); version++) {
        if (e->isa & ~rbe_cpu_isa()) {
            printf("SKIP %s: this CPU cannot run it\n", e->name);
            continue;
        }
        for (size_t s = 0; s < SIZES; s++) {
            check_layer_norm(e, version, s);
            check_activations(e, version, s);
            check_llama(e, version, s);
            check_softmax(e, version, s);
            check_largest(e, s);
        }
        check_ranges(e);
        time_it(e);
        ran++;
    }
    CHECK(ran > 0 && rbe_elementwise_best(0) == rbe_elementwise_at(0));
    return check_done();
}

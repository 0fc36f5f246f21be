/*
 * check_vector.c - every version of the training vectors against doubles, and against each
 * other bit for bit; losses and their gradients.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "grad/loss.h"
#include "kernels/cpu.h"
#include "kernels/elementwise.h"
#include "kernels/test/check.h"
#include "kernels/vector.h"

enum { MAX = 2048 };
static const size_t sizes[] = {1, 2, 15, 16, 17, 31, 63, 64, 100, 256, 511, 512, 513, 1999};
enum { SIZES = sizeof sizes / sizeof sizes[0], KEPT = 27 };

static float x[MAX], y[MAX], gain[MAX], bias[MAX], got[MAX], more[MAX], dgain[MAX], dbias[MAX];
static float first[SIZES][KEPT][MAX];

/* What the narrowest version found, the others must find to the bit; nothing past n. */
static void same_bits(size_t version, size_t size, int what, const float *v)
{
    const size_t n = sizes[size];

    CHECK(v[n] == 12345);
    if (version == 0)
        memcpy(first[size][what], v, n * sizeof *v);
    else
        CHECK(!memcmp(first[size][what], v, n * sizeof *v));
}

/* v [n] = from, then a mark. */
static void put(float *v, const float *from, size_t n)
{
    if (from)
        memcpy(v, from, n * sizeof *v);
    else
        memset(v, 0, n * sizeof *v);
    v[n] = 12345;
}

static double gelu(double v)
{
    return v / 2 * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
}

static void check_activations(const struct rbe_vector *v, size_t version, size_t size)
{
    const size_t n = sizes[size];

    put(got, NULL, n);
    v->add(got, x, bias, n);
    for (size_t i = 0; i < n; i++)
        CHECK(got[i] == x[i] + bias[i]);
    same_bits(version, size, 0, got);
    v->gelu(got, x, n);
    for (size_t i = 0; i < n; i++)
        CHECK_NEAR(got[i], gelu(x[i]), 4e-7 * fabs((double)x[i]) + 1e-7);
    same_bits(version, size, 1, got);
    put(got, y, n);
    put(more, x, n);
    v->gelu_back(got, more, n);
    for (size_t i = 0; i < n; i++) {
        const double slope = (gelu(x[i] + 1e-5) - gelu(x[i] - 1e-5)) / 2e-5;
        CHECK_NEAR(got[i], slope * (double)y[i], 3e-6 * fabs((double)y[i]) + 1e-9);
    }
    CHECK(!memcmp(more, first[size][1], n * sizeof *more));
    same_bits(version, size, 2, got);
    same_bits(version, size, 3, more);
}

static double swiglu(double a, double b)
{
    return a / (1 + exp(-a)) * b;
}

static void check_gates(const struct rbe_vector *v, size_t version, size_t size)
{
    const size_t n = sizes[size];
    float z[MAX];

    memcpy(z, x, n * sizeof *z);
    rbe_elementwise_best(rbe_cpu_isa())->swiglu(z, bias, n);
    put(got, NULL, n);
    put(more, NULL, n);
    put(dgain, y, n);
    v->swiglu_back(got, more, dgain, x, bias, n);
    for (size_t i = 0; i < n; i++) {
        const double a = (double)x[i], b = (double)bias[i], d = (double)y[i];
        const double slope = (swiglu(a + 1e-5, b) - swiglu(a - 1e-5, b)) / 2e-5;
        CHECK_NEAR(got[i], slope * d, 3e-6 * fabs(d) + 1e-9);
        CHECK_NEAR(more[i], swiglu(a, 1) * d, 3e-6 * fabs(d) + 1e-9);
        CHECK(dgain[i] == z[i]);
    }
    same_bits(version, size, 15, got);
    same_bits(version, size, 16, more);
    same_bits(version, size, 17, dgain);
}

static double rms_dot(const double *at, const float *dy, size_t n)
{
    double squares = 0, sum = 0;

    for (size_t i = 0; i < n; i++)
        squares += at[i] * at[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        sum += (double)dy[i] * (at[i] / sqrt(squares + 1e-2) * (double)gain[i]);
    return sum;
}

static void check_rms(const struct rbe_vector *v, size_t version, size_t size)
{
    const size_t n = sizes[size], stride = n / 40 + 1;
    double at[MAX];
    float norm[MAX], without[MAX];

    for (size_t i = 0; i < n; i++)
        at[i] = (double)x[i];
    rbe_elementwise_best(rbe_cpu_isa())->rms_norm(norm, x, gain, n, 1e-2F);
    put(dgain, bias, n);
    put(got, NULL, n);
    put(more, NULL, n);
    v->rms_back(got, NULL, more, x, gain, y, dgain, n, 1e-2F);
    for (size_t i = 0; i < n; i += stride) {
        at[i] += 1e-5;
        const double up = rms_dot(at, y, n);
        at[i] -= 2e-5;
        CHECK_NEAR(got[i], (up - rms_dot(at, y, n)) / 2e-5, 2e-5);
        at[i] += 1e-5;
    }
    for (size_t i = 0; i < n; i++) {
        CHECK(more[i] == norm[i]);
        CHECK_NEAR(dgain[i], bias[i] + y[i] * norm[i] / gain[i], 1e-5);
    }
    same_bits(version, size, 18, got);
    same_bits(version, size, 19, more);
    same_bits(version, size, 20, dgain);
    memcpy(without, got, n * sizeof *got);
    put(got, gain, n);
    v->rms_back(got, got, more, x, gain, y, dgain, n, 1e-2F);
    for (size_t i = 0; i < n; i++)
        CHECK(got[i] == without[i] + gain[i]);
}

static double norm_dot(const double *at, const float *dy, size_t n)
{
    double mean = 0, var = 0, sum = 0;

    for (size_t i = 0; i < n; i++)
        mean += at[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        var += (at[i] - mean) * (at[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        sum += (double)dy[i] * ((at[i] - mean) / sqrt(var + 1e-2) * (double)gain[i]);
    return sum;
}

static void check_norm(const struct rbe_vector *v, size_t version, size_t size)
{
    const size_t n = sizes[size], stride = n / 40 + 1;
    double at[MAX];
    float norm[MAX];

    for (size_t i = 0; i < n; i++)
        at[i] = (double)x[i];
    rbe_elementwise_best(rbe_cpu_isa())->layer_norm(norm, x, gain, bias, n, 1e-2F);
    put(dgain, bias, n);
    put(dbias, gain, n);
    put(got, NULL, n);
    put(more, NULL, n);
    v->norm_back(got, NULL, more, x, gain, bias, y, dgain, dbias, n, 1e-2F);
    for (size_t i = 0; i < n; i += stride) {
        at[i] += 1e-5;
        const double up = norm_dot(at, y, n);
        at[i] -= 2e-5;
        CHECK_NEAR(got[i], (up - norm_dot(at, y, n)) / 2e-5, 2e-5);
        at[i] += 1e-5;
    }
    for (size_t i = 0; i < n; i++) {
        CHECK(more[i] == norm[i]);
        CHECK(dbias[i] == gain[i] + y[i]);
        if (gain[i] != 0)
            CHECK_NEAR(dgain[i], bias[i] + y[i] * (norm[i] - bias[i]) / gain[i],
                       1e-5 * (1 + 1 / fabs((double)gain[i])));
    }
    same_bits(version, size, 4, got);
    same_bits(version, size, 5, more);
    same_bits(version, size, 6, dgain);
    same_bits(version, size, 7, dbias);
    /* With a base, in place. */
    float without[MAX];
    memcpy(without, got, n * sizeof *got);
    put(got, gain, n);
    v->norm_back(got, got, more, x, gain, bias, y, dgain, dbias, n, 1e-2F);
    for (size_t i = 0; i < n; i++)
        CHECK(got[i] == without[i] + gain[i]);
}

static void check_softmax(const struct rbe_vector *v, size_t version, size_t size)
{
    const size_t n = sizes[size];
    double sum = 0, dot = 0;

    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i]);
    for (size_t i = 0; i < n; i++) {
        more[i] = (float)(exp((double)x[i]) / sum);
        dot += (double)more[i] * (double)y[i];
    }
    put(got, y, n);
    v->softmax_back(got, more, n, 0.125F);
    for (size_t i = 0; i < n; i++)
        CHECK_NEAR(got[i], 0.125 * (double)more[i] * ((double)y[i] - dot),
                   1e-6 * (double)more[i]);
    same_bits(version, size, 8, got);
}

/* The nearest of the two neighbours, the even one of a tie. */
static void check_rounding(const struct rbe_vector *v, size_t size)
{
    const size_t n = sizes[size];
    uint16_t to[MAX + 1];

    to[n] = 4321;
    v->round_bf16(to, x, n, 0.3F);
    for (size_t i = 0; i < n; i++) {
        const float want = x[i] * 0.3F;
        const uint32_t low = (uint32_t)to[i] << 16;
        float back;
        memcpy(&back, &low, sizeof back);
        CHECK_NEAR(back, want, fabs((double)want) * 0x1p-8);
        float down = 0, up = 0;
        const uint32_t below = low - 0x10000, above = low + 0x10000;
        memcpy(&down, &below, sizeof down);
        memcpy(&up, &above, sizeof up);
        CHECK(fabsf(back - want) <= fabsf(down - want) &&
              fabsf(back - want) <= fabsf(up - want));
    }
    CHECK(to[n] == 4321);
    static const uint32_t ties[] = {0x3F808000, 0x3F818000, 0x3F808001, 0x7F7FFFFF,
                                    0xFFC00000, 0xFF800000, 0x7FC00001, 0x80000000};
    static const uint16_t wants[] = {0x3F80, 0x3F82, 0x3F81, 0x7F80, 0xFFC0, 0xFF80, 0x7FC0,
                                     0x8000};
    for (size_t i = 0; i < sizeof ties / sizeof ties[0]; i++) {
        float value;
        memcpy(&value, &ties[i], sizeof value);
        v->round_bf16(to, &value, 1, 1);
        CHECK(to[0] == wants[i]);
    }
}

/* --- losses ------------------------------------------------------------------------------- */

static double log_sum(const double *z, size_t n, double by)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += exp(z[i] * by);
    return log(sum);
}

/* By the definition; what[0..3] are ce, kl, the loss and the teacher's own ce at T. */
static void definition(double *what, const struct rbe_loss *l, const double *s, const float *t,
                       size_t n, size_t target)
{
    const double by = 1 / (double)l->temperature, soft = log_sum(s, n, by);
    double o[MAX];

    what[0] = log_sum(s, n, 1) - s[target];
    what[1] = what[3] = 0;
    if (rbe_loss_distils(l)) {
        for (size_t i = 0; i < n; i++)
            o[i] = (double)t[i];
        const double hard = log_sum(o, n, by);
        what[3] = hard - (double)t[target] * by;
        for (size_t i = 0; i < n; i++)
            what[1] += exp(o[i] * by - hard) * (o[i] * by - hard - s[i] * by + soft);
    }
    what[2] = (1 - (double)l->alpha + (double)l->text) * what[0] +
              (double)l->alpha * (double)l->factor * what[1];
}

static void check_loss(const struct rbe_vector *v, size_t version, size_t size,
                       const char *name, float text, int keep)
{
    const size_t n = sizes[size], target = n / 2, stride = n / 40 + 1;
    struct rbe_loss_sums sums = {.count = 2, .ce = 1}, again = sums;
    struct rbe_loss l;
    double s[MAX], up[4], down[4], want[4];

    CHECK(!rbe_loss_named(&l, name, NULL));
    l.text = text;
    for (size_t i = 0; i < n; i++)
        s[i] = (double)x[i];
    definition(want, &l, s, y, n, target);
    put(got, x, n);
    put(more, y, n);
    v->loss_row(&l, got, rbe_loss_distils(&l) ? more : NULL, n, (uint32_t)target, 0.5F, true,
                &sums);
    CHECK_NEAR(sums.ce - 1, want[0], 3e-6);
    CHECK_NEAR(sums.kl, want[1], 3e-6);
    CHECK_NEAR(sums.loss, want[2], 3e-5);
    CHECK_NEAR(sums.original, want[3], 3e-6);
    CHECK(sums.count == 3 && (n > 1 || sums.agree == rbe_loss_distils(&l)));
    for (size_t i = 0; i < n; i += stride) {
        s[i] += 1e-4;
        definition(up, &l, s, y, n, target);
        s[i] -= 2e-4;
        definition(down, &l, s, y, n, target);
        s[i] += 1e-4;
        CHECK_NEAR(got[i], 0.5 * (up[2] - down[2]) / 2e-4, 1e-6);
    }
    same_bits(version, size, keep, got);
    memcpy(got, x, n * sizeof *got);
    memcpy(more, y, n * sizeof *more);
    v->loss_row(&l, got, rbe_loss_distils(&l) ? more : NULL, n, (uint32_t)target, 0.5F, false,
                &again);
    CHECK(!memcmp(&sums, &again, sizeof sums));
}

static void check_agree(const struct rbe_vector *v)
{
    float s[40] = {0}, t[40] = {0};
    const struct rbe_loss kl = {1, 1, 1, 0};
    struct rbe_loss_sums sums = {0};

    s[33] = t[33] = 2;
    v->loss_row(&kl, s, t, 40, 0, 1, true, &sums);
    CHECK(sums.agree == 1);
    CHECK_NEAR(sums.kl, 0, 1e-6);
    for (size_t i = 0; i < 40; i++)
        CHECK_NEAR(s[i], 0, 1e-7);
    memset(s, 0, sizeof s);
    memset(t, 0, sizeof t);
    s[33] = t[39] = 2;
    v->loss_row(&kl, s, t, 40, 0, 1, true, &sums);
    CHECK(sums.agree == 1 && sums.kl > 0.1);
    s[7] = NAN;
    v->loss_row(&kl, s, t, 40, 0, 1, true, &sums);
    CHECK(!isfinite(sums.loss));
}

static void check_no_target(void)
{
    float s[3] = {1, 2, 3};
    const struct rbe_loss ce = {0, 1, 1, 0};
    struct rbe_loss_sums sums = {0};
    struct rbe_loss l;

    rbe_loss_row(&ce, s, NULL, 3, RBE_NO_TARGET, 1, true, &sums);
    CHECK(s[0] == 0 && s[1] == 0 && s[2] == 0 && sums.count == 0 && sums.loss == 0);
    CHECK(rbe_loss_named(&l, "mse", NULL) == RBE_ERR_ARG);
    CHECK(!rbe_loss_named(&l, "chapter", NULL) && l.alpha == 0.7F && l.temperature == 4 &&
          l.factor == 16);
}

/* --- optimisers --------------------------------------------------------------------------- */

static void check_squares(const struct rbe_vector *v, size_t size)
{
    const size_t n = sizes[size];
    double want = 0;

    for (size_t i = 0; i < n; i++)
        want += (double)x[i] * (double)x[i];
    CHECK_NEAR(v->squares(x, n), want, 1e-6 * want);
}

static void check_energies(const struct rbe_vector *v, size_t version, size_t size)
{
    const size_t n = sizes[size];

    for (int logit = 0; logit < 2; logit++) {
        double want = 0;

        put(got, y, n);
        for (size_t i = 0; i < n; i++) {
            const float a = fabsf(x[i]), e = logit ? a * (1 - a) : a * a;
            more[i] = y[i] + e;
            want += (double)e;
        }
        const float all = (float)v->energies(got, x, n, logit);
        CHECK_NEAR(all, want, 1e-6 * (double)n);
        CHECK(!memcmp(got, more, n * sizeof *got));
        same_bits(version, size, 22 + logit, got);
        put(got, NULL, n);
        v->scale(got, x, n, all);
        for (size_t i = 0; i < n; i++)
            CHECK(got[i] == x[i] * all);
        same_bits(version, size, 24 + logit, got);
    }
}

static void check_tilt(const struct rbe_vector *v, size_t version, size_t size)
{
    const size_t n = sizes[size];
    double mean = 1, rest = 2, most = 0, sum[2] = {1, 2};

    for (size_t i = 0; i < n; i++) {
        const double d = (double)x[i] - 0.25;
        mean += (double)gain[i] * d;
        rest += (double)gain[i] * (exp(d) - 1 - d);
        most += (double)gain[i] * (exp(d) + 1 + fabs(d));
    }
    v->tilt(sum, gain, x, n, 0.25F);
    CHECK_NEAR(sum[0], mean, 1e-6 * (most + 1));
    CHECK_NEAR(sum[1], rest, 1e-6 * (most + 1));
    for (size_t i = 0; i < n; i++)
        got[i] = (float)(i % 2 ? sum[0] : sum[1]);
    same_bits(version, size, 26, got);
}

static void check_moves(const struct rbe_vector *v, size_t version, size_t size)
{
    const size_t n = sizes[size];
    const struct rbe_vector_adam c = {0.5F, 0.75F, 0.875F, 0.99F, 0.25F, 2, 0.125F};
    float second[MAX];

    put(got, x, n);
    put(more, y, n);
    for (size_t i = 0; i < n; i++)
        second[i] = gain[i] * gain[i];
    second[n] = 12345;
    v->adam(got, more, second, bias, n, &c);
    for (size_t i = 0; i < n; i++) {
        const double d = (double)bias[i] / 2, m = 0.75 * (double)y[i] + 0.25 * d;
        const double s = 0.875 * (double)gain[i] * (double)gain[i] + 0.125 * d * d;
        CHECK_NEAR(more[i], m, 1e-6);
        CHECK_NEAR(second[i], s, 1e-6);
        CHECK_NEAR(got[i], (double)x[i] * 0.99 - 0.25 * m / (2 * sqrt(s) + 0.125), 3e-6);
    }
    same_bits(version, size, 9, got);
    same_bits(version, size, 10, second);
    put(got, NULL, n);
    put(more, y, n);
    v->momentum(got, more, x, n, 0.75F, 0.5F);
    v->blend(got, gain, n, 2, -1);
    for (size_t i = 0; i < n; i++) {
        const double m = 0.75 * (double)y[i] + 0.5 * (double)x[i];
        CHECK_NEAR(more[i], m, 1e-6);
        CHECK_NEAR(got[i], 2 * (0.75 * m + 0.5 * (double)x[i]) - (double)gain[i], 3e-6);
    }
    same_bits(version, size, 11, got);
    put(more, y, n);
    v->multiply_add(more, x, gain, n);
    for (size_t i = 0; i < n; i++)
        CHECK(more[i] == y[i] + x[i] * gain[i]);
    same_bits(version, size, 21, more);
}

/* --- dot products ------------------------------------------------------------------------- */

/* Of all pairs, added to what is there, against doubles; the narrowest version's bits. */
static void check_dots(const struct rbe_vector *v, size_t version)
{
    enum { DOWN = 12, ACROSS = 24, LONG = 36 };
    static float a[DOWN][LONG], b[LONG / 4][ACROSS][4];
    static double narrowest[DOWN][ACROSS];
    double out[DOWN + 1][ACROSS];

    for (size_t i = 0; i < DOWN * LONG; i++)
        (&a[0][0])[i] = x[i % 997] - gain[i % 991];
    for (size_t i = 0; i < ACROSS * LONG; i++)
        (&b[0][0][0])[i] = y[i % 983] + bias[i % 977];
    for (size_t i = 0; i < (DOWN + 1) * ACROSS; i++)
        (&out[0][0])[i] = (double)i;
    v->dots(&out[0][0], &a[0][0], &b[0][0][0], DOWN, ACROSS, LONG);
    for (size_t i = 0; i < DOWN; i++)
        for (size_t j = 0; j < ACROSS; j++) {
            double want = (double)(i * ACROSS + j), size = want;
            for (size_t k = 0; k < LONG; k++) {
                const double p = (double)a[i][k] * (double)b[k / 4][j][k % 4];
                want += p;
                size += fabs(p);
            }
            CHECK_NEAR(out[i][j], want, 1e-6 * size);
        }
    for (size_t j = 0; j < ACROSS; j++)
        CHECK(out[DOWN][j] == (double)(DOWN * ACROSS + j));
    if (version == 0)
        memcpy(narrowest, out, sizeof narrowest);
    CHECK(!memcmp(narrowest, out, sizeof narrowest));
}

/* --- error feedback ----------------------------------------------------------------------- */

/* In the order that is promised, to the bit; beside it nothing changes. */
static void check_take_off(const struct rbe_vector *v)
{
    enum { LD = 41, STRIDE = 3, MOST = 11 };
    float to[LD + 1], want[LD + 1];

    for (size_t count = 0; count <= MOST; count++)
        for (size_t n = 0; n <= LD; n++) {
            memcpy(to, gain, sizeof to);
            memcpy(want, gain, sizeof want);
            for (size_t m = 0; m < n; m++) {
                const float *b = y, *at = x + m;
                size_t p = 0;
                for (; p + 4 <= count; p += 4, b += 4 * STRIDE, at += 4 * LD)
                    want[m] -= (b[0] * at[0] + b[STRIDE] * at[LD]) +
                               (b[2 * STRIDE] * at[2 * LD] + b[3 * STRIDE] * at[3 * LD]);
                for (; p < count; p++, b += STRIDE, at += LD)
                    want[m] -= b[0] * at[0];
            }
            v->take_off(to, y, STRIDE, x, LD, count, n);
            CHECK(!memcmp(to, want, sizeof to));
        }
}

static void check_subtract(const struct rbe_vector *v)
{
    enum { LD = 37, LDL = 19, DOWN = 9 };
    static double c[DOWN + 1][LD], want[DOWN + 1][LD], l[DOWN][LDL], r[LDL][LD];

    for (size_t i = 0; i < DOWN * LDL; i++)
        (&l[0][0])[i] = (double)x[i] / 3;
    for (size_t i = 0; i < LDL * LD; i++)
        (&r[0][0])[i] = (double)y[i] / 7;
    for (size_t rows = 0; rows <= DOWN; rows++)
        for (size_t cols = 0; cols <= LD; cols++) {
            const size_t count = (rows * LD + cols) % (LDL + 1);
            for (size_t i = 0; i < (DOWN + 1) * LD; i++)
                (&c[0][0])[i] = (&want[0][0])[i] = (double)gain[i % MAX];
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < cols; j++)
                    for (size_t k = 0; k < count; k++)
                        want[i][j] -= l[i][k] * r[k][j];
            v->subtract(&c[0][0], &l[0][0], LDL, &r[0][0], LD, count, rows, cols);
            CHECK(!memcmp(c, want, sizeof c));
        }
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);

    if (rbe_cpu_init())
        return 1;
    for (size_t i = 0; i < MAX; i++) {
        x[i] = 3 * check_unit(&rng);
        y[i] = 3 * check_unit(&rng);
        gain[i] = 1 + check_unit(&rng) / 2;
        bias[i] = check_unit(&rng);
    }
    for (size_t k = 0; rbe_vector_at(k); k++) {
        const struct rbe_vector *v = rbe_vector_at(k);
        if (v->isa & ~rbe_cpu_isa()) {
            printf("SKIP %s\n", v->name);
            continue;
        }
        for (size_t size = 0; size < SIZES; size++) {
            check_activations(v, k, size);
            check_norm(v, k, size);
            check_rms(v, k, size);
            check_gates(v, k, size);
            check_softmax(v, k, size);
            check_squares(v, size);
            check_energies(v, k, size);
            check_tilt(v, k, size);
            check_moves(v, k, size);
            check_rounding(v, size);
            check_loss(v, k, size, "ce", 0, 12);
            check_loss(v, k, size, "kl", 0.5F, 13);
            check_loss(v, k, size, "chapter", -0.25F, 14);
        }
        check_agree(v);
        check_dots(v, k);
        check_take_off(v);
        check_subtract(v);
        printf("ok   %s\n", v->name);
    }
    check_no_target();
    return check_done();
}

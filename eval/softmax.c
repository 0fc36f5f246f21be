/*
 * softmax.c - log-probabilities from rows of logits.
 *
 * SPDX-License-Identifier: MIT
 *
 * Four lanes of the compiler's generic vectors: SSE2 and NEON are in every machine this runs
 * on, and at one nanosecond an exponential the vocabulary is no longer what takes the time.
 */
#include "eval/softmax.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/elementwise.h"

typedef float lanes __attribute__((vector_size(16)));
typedef int32_t lanes_int __attribute__((vector_size(16)));

/* Products are summed in float over this many values before they go to a double. */
enum { LANES = 4, RUN = 64 };

static inline lanes splat(float x)
{
    return (lanes){x, x, x, x};
}

static inline lanes load(const float *p)
{
    lanes v;

    memcpy(&v, p, sizeof v);
    return v;
}

static inline lanes select_lanes(lanes_int mask, lanes a, lanes b)
{
    return (lanes)((mask & (lanes_int)a) | (~mask & (lanes_int)b));
}

/* exp(x) for x <= 0; below -87 it is exp(-87), 1.6e-38.  2^n * exp(r), |r| <= ln(2)/2, by
 * the Taylor polynomial of degree 7: remainder below 2e-9 there. */
static inline lanes exp_lanes(lanes x)
{
    const lanes magic = splat(0x1.8p23F);       /* adding it rounds to an integer */

    x = select_lanes(x < splat(-87), splat(-87), x);
    const lanes big = x * splat(1.44269504F) + magic;
    const lanes_int n = (lanes_int)big - (lanes_int)magic;
    const lanes whole = big - magic;
    const lanes r = x - whole * splat(0.693359375F) - whole * splat(-2.12194440e-4F);
    lanes p = splat(1.0F / 5040);
    p = p * r + splat(1.0F / 720);
    p = p * r + splat(1.0F / 120);
    p = p * r + splat(1.0F / 24);
    p = p * r + splat(1.0F / 6);
    p = p * r + splat(0.5F);
    p = p * r + splat(1);
    p = p * r + splat(1);
    return p * (lanes)((n + 127) << 23);
}

static float exp_one(float x)
{
    return exp_lanes(splat(x))[0];
}

static float largest(const float *x, size_t n)
{
    lanes m = splat(-INFINITY);
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        const lanes v = load(x + i);
        m = select_lanes(v > m, v, m);
    }
    float best = fmaxf(fmaxf(m[0], m[1]), fmaxf(m[2], m[3]));
    for (; i < n; i++)
        best = fmaxf(best, x[i]);
    return best;
}

static double sum_lanes(lanes v)
{
    return (double)v[0] + (double)v[1] + ((double)v[2] + (double)v[3]);
}

double rbe_log_sum_exp(const float *logits, size_t n)
{
    return rbe_elementwise_best(rbe_cpu_isa())->log_sum_exp(logits, n);
}

uint32_t rbe_argmax(const float *logits, size_t n)
{
    const float max = largest(logits, n);
    size_t i = 0;

    while (i < n && !(logits[i] == max))
        i++;
    return i < n ? (uint32_t)i : 0;
}

double rbe_kl_divergence(const float *p, double lse_p, const float *q, double lse_q, size_t n)
{
    /* sum of p * (log p - log q), the difference of the two normalisers taken first so that
     * equal rows give 0 but for rounding. */
    const float shift = (float)lse_p;
    const double apart = lse_q - lse_p;
    double sum = 0, mass = 0;
    size_t i = 0;

    while (i + LANES <= n) {
        const size_t end = n - i < RUN ? n - (n - i) % LANES : i + RUN;
        lanes s = splat(0), m = splat(0);
        for (; i < end; i += LANES) {
            const lanes a = load(p + i), e = exp_lanes(a - splat(shift));
            s += e * (a - load(q + i));
            m += e;
        }
        sum += sum_lanes(s);
        mass += sum_lanes(m);
    }
    for (; i < n; i++) {
        const double e = (double)exp_one(p[i] - shift);
        sum += e * (double)(p[i] - q[i]);
        mass += e;
    }
    const double kl = sum / mass + apart;
    return kl < 0 ? 0 : kl;
}

double rbe_shared_mass(const float *p, double lse_p, const float *q, double lse_q, size_t n)
{
    const float a = (float)lse_p, b = (float)lse_q;
    double both = 0, mass_p = 0, mass_q = 0;
    size_t i = 0;

    while (i + LANES <= n) {
        const size_t end = n - i < RUN ? n - (n - i) % LANES : i + RUN;
        lanes s = splat(0), sp = splat(0), sq = splat(0);
        for (; i < end; i += LANES) {
            const lanes x = exp_lanes(load(p + i) - splat(a));
            const lanes y = exp_lanes(load(q + i) - splat(b));
            s += select_lanes(x < y, x, y);
            sp += x;
            sq += y;
        }
        both += sum_lanes(s);
        mass_p += sum_lanes(sp);
        mass_q += sum_lanes(sq);
    }
    while (i < n) {
        const double x = (double)exp_one(p[i] - a), y = (double)exp_one(q[i] - b);
        both += fmin(x, y);
        mass_p += x;
        mass_q += y;
        i++;
    }
    /* Rounded normalisers: equal rows have all of it. */
    return both / fmin(mass_p, mass_q);
}

void rbe_largest(uint32_t *top, size_t count, const float *logits, size_t n)
{
    size_t have = 0;

    for (size_t i = 0; i < n; i++) {
        if (have == count && !(logits[i] > logits[top[count - 1]]))
            continue;
        size_t at = have < count ? have++ : count - 1;
        for (; at && logits[i] > logits[top[at - 1]]; at--)
            top[at] = top[at - 1];
        top[at] = (uint32_t)i;
    }
}

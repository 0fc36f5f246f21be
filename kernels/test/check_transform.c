/*
 * check_transform.c - scaling, quantising and rotating activations: every version of
 * transform.h bit for bit against plain loops, in buffers that touch unreadable pages.
 *
 * SPDX-License-Identifier: MIT
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "kernels/kernel.h"
#include "kernels/test/check.h"
#include "kernels/test/guard.h"
#include "kernels/transform.h"

enum { MAX = 4096 };

static struct check_rng rng;
static struct guarded from_room, to_room, scale_room, q_room;
static float want[MAX + RBE_ACT_PAD];

static size_t padded(size_t n)
{
    return (n + RBE_ACT_PAD - 1) / RBE_ACT_PAD * RBE_ACT_PAD;
}

static bool same(const float *a, const float *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

/* Numbers of many sizes; some zeros of either sign. */
static void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = ldexpf(check_unit(&rng), (int)check_below(&rng, 40) - 20);
        if (check_below(&rng, 16) == 0)
            x[i] = copysignf(0, x[i]);
    }
}

static struct rbe_magnitude plain_magnitude(const float *x, size_t n)
{
    double lane[16] = {0};
    float max = 0;

    for (size_t i = 0; i < n; i++) {
        lane[i % 16] += (double)fabsf(x[i]);
        max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    }
    for (int half = 8; half; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return (struct rbe_magnitude){lane[0], max};
}

static void check_scale(const struct rbe_transform *f, size_t n, enum place place)
{
    const size_t end = padded(n);
    float *from = guarded_at(&from_room, place, n * sizeof *from, sizeof *from);
    uint16_t *half = guarded_at(&scale_room, place, n * sizeof *half, sizeof *half);
    float *to = guarded_at(&to_room, place == ODD ? AT_START : place, end * sizeof *to, 64);

    for (int scaled = 0; scaled < 2; scaled++) {
        fill(from, n);
        for (size_t i = 0; i < n; i++)      /* subnormal ones too */
            half[i] = (uint16_t)check_below(&rng, 0x7C00);
        for (size_t i = 0; i < end; i++) {
            want[i] = i >= n ? 0 : scaled ? from[i] * rbe_f16_to_f32(half[i]) : from[i];
            to[i] = NAN;
        }
        const struct rbe_magnitude m = f->scale(to, from, scaled ? half : NULL, n);
        const struct rbe_magnitude plain = plain_magnitude(want, n);
        CHECK(same(to, want, end));
        CHECK(m.sum == plain.sum);
        CHECK(m.max == plain.max);
        memset(to, 0xFF, end * sizeof *to);
        const struct rbe_magnitude only = f->scale_only(to, from, scaled ? half : NULL, n);
        CHECK(same(to, want, end) && only.max == plain.max && only.sum == 0);
    }
    /* What poisons the sum; the largest number passes NaN over. */
    fill(from, n);
    from[n - 1] = NAN;
    if (n > 1)
        from[0] = -FLT_MAX;
    const struct rbe_magnitude m = f->scale(to, from, NULL, n);
    CHECK(isnan(m.sum) && m.max == (n > 1 ? FLT_MAX : 0));
    const struct rbe_magnitude only = f->scale_only(to, from, NULL, n);
    CHECK(isnan(only.sum) && only.max == m.max);
    from[n - 1] = -INFINITY;
    CHECK(isinf(f->scale(to, from, NULL, n).sum));
    CHECK(isnan(f->scale_only(to, from, NULL, n).sum));
}

static void check_quantise(const struct rbe_transform *f, size_t n, enum place place)
{
    const enum place at = place == ODD ? AT_START : place;
    float *x = guarded_at(&from_room, at, n * sizeof *x, 64);
    int16_t *q = guarded_at(&q_room, at, n * sizeof *q, 32);
    uint16_t *pair = guarded_at(&scale_room, at, n * sizeof *pair, 32);
    unsigned wrong = 0;

    for (size_t i = 0; i < n; i++) {
        x[i] = check_unit(&rng) * 32767;
        if (check_below(&rng, 4) == 0)      /* ties */
            x[i] = (float)((int)check_below(&rng, 65532) - 32766) + 0.5F;
    }
    x[0] = 32767, x[n - 1] = -32767;
    f->quantise(q, x, n, 1);
    for (size_t i = 0; i < n; i++)
        wrong += q[i] != (int)nearbyintf(x[i]);
    f->quantise(q, x, n, 0.3F);
    for (size_t i = 0; i < n; i++)
        wrong += q[i] != (int)nearbyintf(x[i] * 0.3F);
    f->quantise_pairs(q, pair, x, n, 127.0F / 32767);
    for (size_t i = 0; i < n; i++)
        wrong += q[i] != (int)nearbyintf(x[i] * (127.0F / 32767)) ||
                 pair[i] != (q[i] + 128) * 257;
    CHECK(wrong == 0);
}

static void plain_hadamard(float *x, size_t n, size_t block)
{
    const float norm = (float)(1 / sqrt((double)block));

    for (size_t half = 1; half < block; half *= 2)
        for (size_t i = 0; i < n; i++)
            if (!(i & half)) {
                const float a = x[i], b = x[i + half];
                x[i] = a + b;
                x[i + half] = a - b;
            }
    for (size_t i = 0; i < n; i++)
        x[i] *= norm;
}

static void check_hadamard(const struct rbe_transform *f, size_t n, size_t block,
                           enum place place)
{
    float *x = guarded_at(&from_room, place, n * sizeof *x, sizeof *x);

    fill(x, n);
    memcpy(want, x, n * sizeof *x);
    plain_hadamard(want, n, block);
    f->hadamard(x, n, block);
    CHECK(same(x, want, n));

    /* With signs before it, in place and not. */
    float *to = guarded_at(&to_room, place, n * sizeof *to, sizeof *to);
    const uint64_t seed = check_next(&rng);
    fill(x, n);
    memcpy(want, x, n * sizeof *x);
    f->flip_signs(want, n, seed);
    plain_hadamard(want, n, block);
    f->rotate(to, x, n, block, seed);
    CHECK(same(to, want, n));
    f->rotate(x, x, n, block, seed);
    CHECK(same(x, want, n));
}

static void check_signs(const struct rbe_transform *f, size_t n, enum place place)
{
    float *x = guarded_at(&from_room, place, n * sizeof *x, sizeof *x);
    const uint64_t seed = check_next(&rng);
    unsigned flipped = 0, wrong = 0;

    fill(x, n);
    memcpy(want, x, n * sizeof *x);
    f->flip_signs(x, n, seed);
    for (size_t i = 0; i < n; i++) {
        flipped += signbit(x[i]) != signbit(want[i]);
        wrong += x[i] != want[i] && x[i] != -want[i];
    }
    CHECK(wrong == 0);
    if (n >= 1024)              /* eight standard deviations */
        CHECK(fabs(flipped - n / 2.0) < 4 * sqrt((double)n));
    for (size_t i = 0; i < n; i++)
        want[i] = x[i];
    f->flip_signs(x, n, seed);
    rbe_transform_at(0)->flip_signs(x, n, seed);
    CHECK(same(x, want, n));    /* twice is not at all, once by each version */
}

/* The signs are part of the file format: these of seed 7 must never change. */
static void check_known_signs(const struct rbe_transform *f)
{
    uint64_t bits = 0;
    float x[128];

    for (int i = 0; i < 128; i++)
        x[i] = 1;
    f->flip_signs(x, 128, 7);
    for (int i = 64; i < 128; i++)
        bits |= (uint64_t)(x[i] < 0) << (i - 64);
    CHECK(bits == 0x044C3CD7F43C661CULL);
}

static void check_version(const struct rbe_transform *f)
{
    static const size_t lengths[] = {1, 2, 15, 16, 17, 31, 63, 64, 65, 100, 127, 128, 129,
                                     144, 255, 256, 768, 1000, 3072, 4096};

    for (int place = 0; place < PLACE_COUNT; place++) {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            check_scale(f, lengths[i], (enum place)place);
            check_quantise(f, padded(lengths[i]), (enum place)place);
            check_signs(f, lengths[i], (enum place)place);
        }
        for (size_t block = 1; block <= MAX; block *= 2) {
            check_hadamard(f, block, block, (enum place)place);
            if (3 * block <= MAX)
                check_hadamard(f, 3 * block, block, (enum place)place);
        }
    }
    check_known_signs(f);
}

int main(int argc, char **argv)
{
    unsigned ran = 0;

    rng = check_seed(argc, argv);
    if (rbe_cpu_init())
        return 2;
    const size_t bytes = (MAX + 2 * RBE_ACT_PAD) * sizeof(float);
    if (!CHECK(guarded_open(&from_room, bytes) && guarded_open(&to_room, bytes) &&
               guarded_open(&scale_room, bytes) && guarded_open(&q_room, bytes)))
        return check_done();
    for (size_t i = 0; rbe_transform_at(i); i++) {
        const struct rbe_transform *f = rbe_transform_at(i);
        const unsigned failed = check_failed;
        if (f->isa & ~rbe_cpu_isa()) {
            printf("SKIP transform_%s: this CPU lacks it, or it is masked\n", f->name);
            continue;
        }
        check_version(f);
        printf("%s transform_%s\n", check_failed == failed ? "ok  " : "FAIL", f->name);
        ran++;
    }
    CHECK(ran > 0);
    CHECK(!(rbe_transform_best(rbe_cpu_isa())->isa & ~rbe_cpu_isa()));
    return check_done();
}

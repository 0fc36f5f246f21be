/*
 * check_top.c - kept predictions against their definition in doubles, and the loss by them.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "grad/loss.h"
#include "grad/top.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"

enum { MOST = 70000 };

static float teacher[MOST], student[MOST], scratch[MOST], made[MOST];
static double p[MOST], want[MOST];
static unsigned char kept[sizeof(float) + RBE_TOP_TOKENS * 6 + 1];

/* to = softmax(x / T). */
static void softmax(double *to, const float *x, size_t n, double temperature)
{
    double most = -INFINITY, sum = 0;

    for (size_t i = 0; i < n; i++)
        most = fmax(most, (double)x[i]);
    for (size_t i = 0; i < n; i++)
        sum += to[i] = exp(((double)x[i] - most) / temperature);
    for (size_t i = 0; i < n; i++)
        to[i] /= sum;
}

/* Logits of tokens: bent, so that some are likely. */
static void fill(float *x, size_t n, float size, struct check_rng *rng)
{
    for (size_t i = 0; i < n; i++) {
        const float u = check_unit(rng);
        x[i] = size * u * u * u;
    }
}

/* want = p' of top.h from the teacher's logits, by definition: S is who has fewer than K
 * before it. */
static size_t define(size_t n, const float *t, const float *s, double temperature)
{
    const size_t k = rbe_top_tokens(n);
    double rest = 0, others = 0;
    size_t in = 0;

    softmax(p, t, n, temperature);
    softmax(want, s, n, temperature);
    for (size_t i = 0; i < n; i++) {
        size_t before = 0;
        for (size_t j = 0; j < n && before < k; j++)
            before += t[j] > t[i] || (t[j] == t[i] && j < i);
        if (before < k) {
            want[i] = -1;
            in++;
        } else {
            rest += p[i];
            others += want[i];
        }
    }
    for (size_t i = 0; i < n; i++)
        want[i] = want[i] < 0 ? p[i] : want[i] / others * rest;
    return in;
}

static void check_size(size_t n, float temperature, bool equal, struct check_rng *rng)
{
    double worst = 0, sum = 0;

    fill(teacher, n, 30, rng);
    fill(student, n, 20, rng);
    for (size_t i = 0; equal && i < n; i++)
        teacher[i] = (float)(i % 3);
    CHECK(rbe_top_bytes(n) < sizeof kept);
    kept[rbe_top_bytes(n)] = 77;
    rbe_top_take(kept, teacher, scratch, n, temperature);
    CHECK(kept[rbe_top_bytes(n)] == 77);
    rbe_top_logits(made, kept, student, n, temperature);
    CHECK(define(n, teacher, student, (double)temperature) == rbe_top_tokens(n));
    softmax(p, made, n, (double)temperature);
    for (size_t i = 0; i < n; i++) {
        /* f16, and what the sum of the others' rounding makes of the rest. */
        worst = fmax(worst, fabs(p[i] - want[i]) / (want[i] + 1e-4));
        sum += p[i];
    }
    CHECK_NEAR(worst, 0, 1.0 / 1000);
    CHECK_NEAR(sum, 1, 1e-9);
}

/* A teacher as sure as can be, one who knows nothing, and one whose students are no numbers. */
static void check_ends(void)
{
    enum { N = 500 };

    memset(teacher, 0, sizeof teacher);
    memset(student, 0, sizeof student);
    teacher[N - 1] = 200;
    for (int sure = 1; sure >= 0; sure--) {
        rbe_top_take(kept, teacher, scratch, N, 1);
        rbe_top_logits(made, kept, student, N, 1);
        softmax(p, made, N, 1);
        CHECK_NEAR(p[N - 1], sure ? 1 : 1.0 / N, 1e-6);
        CHECK_NEAR(p[0], sure ? 0 : 1.0 / N, 2e-6);
        struct rbe_loss_sums sums = {0};
        const struct rbe_loss kl = {1, 1, 1, 0};
        memcpy(scratch, student, sizeof scratch);
        rbe_loss_row(&kl, scratch, made, N, 1, 1, true, &sums);
        CHECK_NEAR(sums.kl, sure ? log(N) : 0, 1e-5);
        teacher[N - 1] = 0;
    }
    for (size_t i = 0; i < N; i += N - 1) {
        struct rbe_loss_sums sums = {0};
        const struct rbe_loss kl = {1, 1, 1, 0};
        memcpy(scratch, student, sizeof scratch);
        scratch[i] = NAN;
        rbe_top_logits(made, kept, scratch, N, 1);
        rbe_loss_row(&kl, scratch, made, N, 1, 1, true, &sums);
        CHECK(!isfinite(sums.loss));
    }
}

/* The loss of top.h in doubles: known tokens, those whose p' is not zero, and one bucket. */
static double bucket_loss(const struct rbe_loss *l, const double *s, const double *known,
                          size_t n, size_t target)
{
    const double by = 1 / (double)l->temperature;
    double soft = 0, plain = 0, kl = 0, rest = 1, others = 0;

    for (size_t i = 0; i < n; i++) {
        soft += exp(s[i] * by);
        plain += exp(s[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const double q = exp(s[i] * by) / soft;
        if (known[i] > 0) {
            kl += known[i] * log(known[i] / q);
            rest -= known[i];
        } else {
            others += q;
        }
    }
    kl += rest * log(rest / others);
    return (1 - (double)l->alpha) * (log(plain) - s[target]) +
           (double)l->alpha * (double)l->factor * kl;
}

static void check_gradient(const char *name, size_t n, struct check_rng *rng)
{
    static double s[MOST];
    struct rbe_loss_sums sums = {0}, whole = {0};
    const size_t target = n / 3;
    struct rbe_loss l;
    double moved = 0;

    CHECK(!rbe_loss_named(&l, name, NULL));
    fill(teacher, n, 12, rng);
    fill(student, n, 12, rng);
    rbe_top_take(kept, teacher, scratch, n, l.temperature);
    rbe_top_logits(made, kept, student, n, l.temperature);
    softmax(want, made, n, (double)l.temperature);
    for (size_t i = 0; i < n; i++) {
        size_t before = 0;
        for (size_t j = 0; j < n; j++)
            before += teacher[j] > teacher[i] || (teacher[j] == teacher[i] && j < i);
        want[i] = before < rbe_top_tokens(n) ? want[i] : 0;
        s[i] = (double)student[i];
    }
    memcpy(scratch, student, n * sizeof *scratch);
    rbe_loss_row(&l, scratch, made, n, (uint32_t)target, 0.5F, true, &sums);
    const double loss = bucket_loss(&l, s, want, n, target);
    CHECK_NEAR(sums.loss, loss, 1e-5 * loss);
    for (size_t i = 0; i < n; i += n / 60 + 1) {
        s[i] += 1e-4;
        const double up = bucket_loss(&l, s, want, n, target);
        s[i] -= 2e-4;
        const double down = bucket_loss(&l, s, want, n, target);
        s[i] += 1e-4;
        CHECK_NEAR((double)scratch[i], 0.5 * (up - down) / 2e-4, 1e-6);
        moved = fmax(moved, want[i] > 0 ? 0 : fabs((double)scratch[i]));
    }
    CHECK(n < 200 || moved > 1e-6);     /* the bucket as a whole is moved */
    /* Less is known, so not more is asked. */
    rbe_loss_row(&l, student, teacher, n, (uint32_t)target, 0.5F, true, &whole);
    CHECK(sums.kl > 0 && sums.kl < whole.kl + 1e-4);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    static const size_t sizes[] = {1, 2, 3, 64, 65, 66, 500, 3000};

    if (rbe_cpu_init())
        return 1;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int how = 0; how < 4; how++)
            check_size(sizes[i], how & 1 ? 4 : 1, how & 2, &rng);
    check_size(MOST, 1, false, &rng);   /* ids past u16 */
    CHECK(rbe_top_bytes(65536) == 4 + 64 * 4 && rbe_top_bytes(65537) == 4 + 64 * 6);
    check_ends();
    for (size_t i = 0; i < 8; i++) {
        static const char *const losses[] = {"kl", "chapter", "chapter-plain", "kl"};
        check_gradient(losses[i % 4], i < 4 ? 900 : 30, &rng);
    }
    return check_done();
}

/*
 * check_calibrate.c - moments against a slow sum, and divergence against hand-made values.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/stats.h"
#include "convert/calibrate.h"
#include "convert/sensitivity.h"
#include "grad/grad.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/data.h"
#include "model/weights.h"

enum { WINDOWS = 8, LENGTH = 512, COLS = 256 };
#define SITE "h.3.mlp.c_fc.weight"

/* The same moment, summed in double by the textbook, over what the tap sees. */
struct slow {
    double *moment;
    size_t count;
};

static void on_product(void *arg, const char *name, const float *x, size_t ldx, size_t count,
                       size_t cols)
{
    struct slow *s = arg;

    if (strcmp(name, SITE))
        return;
    CHECK(cols == COLS);
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < COLS; i++) {
            for (size_t k = 0; k < COLS; k++)
                s->moment[i * COLS + k] += (double)x[t * ldx + i] * (double)x[t * ldx + k];
        }
    s->count += count;
}

enum { SOME = 64 };             /* positions of the first window */

/* Divergence of those positions' predictions when `change` is added to a matrix, by hand. */
static double divergence_of(struct rbe_model *m, struct rbe_session *s, const uint32_t *tokens,
                            const float *change, size_t n)
{
    const size_t vocab = rbe_model_config(m)->vocab;
    float *w = (float *)(uintptr_t)m->layers[0].weight[RBE_ROLE_ATTN_OUT]->parts[0].m.codes;
    float *logits = malloc(2 * SOME * vocab * sizeof *logits);
    struct rbe_diag d = {""};

    for (int k = 0; k < 2; k++) {
        rbe_session_truncate(s, 0);
        CHECK(!rbe_forward(s, tokens, SOME, &d) &&
              !rbe_logits(s, 0, SOME, logits + k * SOME * vocab, &d));
        for (size_t i = 0; i < n; i++)
            w[i] += k ? -change[i] : change[i];
    }
    const double kl = rbe_mean_divergence(logits, logits + SOME * vocab, SOME, vocab);
    free(logits);
    return kl;
}

static void check_moments(struct rbe_model *m, const char *path)
{
    uint32_t *tokens = malloc(WINDOWS * LENGTH * sizeof *tokens);
    struct slow slow = {calloc(COLS * COLS, sizeof(double)), 0};
    const struct rbe_session_limits limits = {.max_batch = LENGTH, .max_logits = SOME};
    struct rbe_calibration *c = NULL;
    struct rbe_session *s = NULL;
    struct rbe_diag d = {""};
    struct check_rng rng = {7};

    for (size_t i = 0; i < WINDOWS * LENGTH; i++)
        tokens[i] = check_below(&rng, 8000);
    CHECK(rbe_calibrate(&c, m, tokens, WINDOWS * LENGTH - 1, NULL, NULL, &d) == RBE_ERR_ARG);
    CHECK(strstr(d.text, "too short") && !c);
    if (!CHECK(rbe_calibrate(&c, m, tokens, WINDOWS * LENGTH + 5, NULL, NULL, &d) == RBE_OK))
        return;
    CHECK(rbe_calibration_tokens(c) == WINDOWS * LENGTH);
    CHECK(rbe_calibration_moment(c, "h.12.mlp.c_fc.weight") == NULL);
    CHECK(rbe_calibration_moment(c, "wte.weight") != NULL);
    CHECK(rbe_session_open(&s, m, limits, NULL, &d) == RBE_OK);
    rbe_session_tap(s, on_product, &slow);
    for (size_t w = 0; w < WINDOWS; w++) {
        rbe_session_truncate(s, 0);
        CHECK(rbe_forward(s, tokens + w * LENGTH, LENGTH, &d) == RBE_OK);
    }
    const float *h = rbe_calibration_moment(c, SITE), *none = rbe_calibration_rows(c, SITE);
    double worst = 0, scale = 0;
    CHECK(!none);
    for (size_t i = 0; i < COLS; i++) {
        for (size_t k = 0; k < COLS; k++) {
            const double want = slow.moment[i * COLS + k] / (double)slow.count;
            worst = fmax(worst, fabs(want - (double)h[i * COLS + k]));
            scale = fmax(scale, fabs(want));
        }
    }
    /* f32 sums of 4096 terms. */
    CHECK(worst <= 1e-4 * scale && scale > 0);

    /* Changing nothing diverges by nothing; a change larger than the weights by a lot. */
    struct rbe_sensitivity *v = NULL;
    float *change = malloc(256 * COLS * sizeof *change);
    for (size_t i = 0; i < 256 * COLS; i++)
        change[i] = i % 3 ? 0.1F : -0.2F;
    double kl = -1;
    if (CHECK(rbe_sensitivity_open(&v, path, c, NULL, &d) == RBE_OK)) {
        CHECK(rbe_sensitivity_measure(v, "h.0.attn.c_proj.weight", 0, 256, change, &kl, &d) ==
              RBE_OK);
        /* Nats a token, of random tokens: alike in any part of the text. */
        const double part = divergence_of(m, s, tokens, change, 256 * COLS);
        printf("divergence: %.4f, of %d positions %.4f\n", kl, SOME, part);
        CHECK(kl > 0.01);
        CHECK_NEAR(kl, part, 0.3 * part);
        CHECK(rbe_sensitivity_measure(v, "h.0.attn.c_proj.weight", 0, 0, change, &kl, &d) ==
              RBE_OK);
        CHECK_NEAR(kl, 0, 1e-6);
        CHECK(rbe_sensitivity_measure(v, "nothing", 0, 1, change, &kl, &d) == RBE_ERR_ARG);
    }
    rbe_sensitivity_close(&v);
    free(change);
    rbe_session_close(&s);
    rbe_calibration_close(&c);
    free(slow.moment);
    free(tokens);
}

/* --- the Fisher metric -------------------------------------------------------------------- */

/* Moments of one linear layer and of wte by the textbook, in doubles, from a tap of its own. */
struct slow_fisher {
    double *site, weight;       /* sum of |g| x x^T, of |g| */
    double *site_rows;          /* sum of g^2 */
    double *head, head_weight;  /* sum of w x x^T, of w = sum of p (1 - p) */
    double *head_rows;          /* sum of p (1 - p) */
};

static void add_outer(double *to, double w, const float *x)
{
    for (size_t i = 0; i < COLS; i++)
        for (size_t k = 0; k < COLS; k++)
            to[i * COLS + k] += w * (double)x[i] * (double)x[k];
}

static void on_gradient(void *arg, const struct rbe_grad_slice *s, const float *x,
                        const float *dy, size_t tokens)
{
    struct slow_fisher *f = arg;
    const bool site = !strcmp(s->name, SITE), head = !strcmp(s->name, "wte.weight");

    for (size_t t = 0; t < tokens && (site || head); t++) {
        double sum = 0;
        for (size_t r = 0; r < s->rows; r++) {
            const double g = (double)dy[t * s->rows + r];
            const double p = g < 0 ? 1 + g : g, e = head ? p * (1 - p) : g * g;
            (head ? f->head_rows : f->site_rows)[r] += e;
            sum += e;
        }
        const double w = head ? sum : sqrt(sum);
        add_outer(head ? f->head : f->site, w, x + t * COLS);
        *(head ? &f->head_weight : &f->weight) += w;
    }
}

static void near_moment(const float *have, const double *want, double scale)
{
    double worst = 0, largest = 0;

    for (size_t i = 0; i < COLS * COLS; i++) {
        worst = fmax(worst, fabs(want[i] * scale - (double)have[i]));
        largest = fmax(largest, fabs(want[i] * scale));
    }
    CHECK(worst <= 1e-4 * largest && largest > 0);
}

/* have [rows] is the root of want but for a factor, and for those that a limit has changed. */
static void near_rows(const float *have, const double *want, size_t rows)
{
    size_t kept = 0;
    double ratio = 0;

    for (size_t i = 0; i < rows; i++)
        if (have[i] > 0.06F && have[i] < 19) {
            const double r = sqrt(want[i]) / (double)have[i];
            ratio = kept++ ? ratio : r;
            CHECK_NEAR(r, ratio, 1e-3 * ratio);
        }
    CHECK(kept > rows / 4);
}

static void check_fisher(const char *path)
{
    uint32_t *tokens = malloc(WINDOWS * LENGTH * sizeof *tokens);
    float *draws = malloc(LENGTH * sizeof *draws);
    const struct rbe_loss ce = {.temperature = 1};
    const struct rbe_grad_limits limits = {.batch = 1, .time = LENGTH, .tap_only = true};
    struct rbe_loss_sums sums = {0};
    struct rbe_calibration *c = NULL;
    struct rbe_source *source = NULL;
    struct rbe_pool *pool = NULL;
    struct rbe_grad *t = NULL;
    struct rbe_diag d = {""};
    struct check_rng rng = {7};
    uint64_t seed = 1;

    for (size_t i = 0; i < WINDOWS * LENGTH; i++)
        tokens[i] = check_below(&rng, 300);
    if (!CHECK(!rbe_source_open(&source, path, &d) && !rbe_pool_open(&pool, 2, &d) &&
               !rbe_calibrate_fisher(&c, source, tokens, WINDOWS * LENGTH, pool, NULL, &d) &&
               !rbe_grad_open(&t, &source->config, limits, pool, &d) &&
               !rbe_grad_load(t, source, &d))) {
        printf("     %s\n", d.text);
        return;
    }
    const size_t vocab = source->config.vocab;
    struct slow_fisher f = {.site = calloc(COLS * COLS, sizeof(double)),
                            .site_rows = calloc(4 * COLS, sizeof(double)),
                            .head = calloc(COLS * COLS, sizeof(double)),
                            .head_rows = calloc(vocab, sizeof(double))};
    rbe_grad_tap(t, on_gradient, &f);
    for (size_t w = 0; w < WINDOWS; w++) {
        const struct rbe_grad_batch b = {.batch = 1, .time = LENGTH,
                                         .tokens = tokens + w * LENGTH, .draws = draws};
        for (size_t i = 0; i < LENGTH; i++)
            draws[i] = (float)(rbe_random_next(&seed) >> 40) * 0x1p-24F;
        CHECK(!rbe_grad_step(t, &b, &ce, NULL, 1, &sums, &d));
    }
    CHECK(rbe_calibration_metric(c) == RBE_METRIC_FISHER);
    near_moment(rbe_calibration_moment(c, SITE), f.site, 1 / f.weight);
    near_rows(rbe_calibration_rows(c, SITE), f.site_rows, 4 * COLS);
    near_moment(rbe_calibration_moment(c, "wte.weight"), f.head, 1 / f.head_weight);
    near_rows(rbe_calibration_rows(c, "wte.weight"), f.head_rows, vocab);
    free(f.site);
    free(f.site_rows);
    free(f.head);
    free(f.head_rows);
    free(tokens);
    free(draws);
    rbe_grad_close(&t);
    rbe_calibration_close(&c);
    rbe_pool_close(&pool);
    rbe_source_close(&source);
}

/* p = (1/2, 1/2), q = (1/4, 3/4): KL = ln 2 / 2 + ln(2/3) / 2 = ln(4/3) / 2. */
static void check_divergence(void)
{
    const float p[2] = {3, 3}, q[2] = {0, logf(3)};

    CHECK_NEAR(rbe_mean_divergence(p, q, 1, 2), log(4.0 / 3) / 2, 1e-6);
    CHECK_NEAR(rbe_mean_divergence(p, p, 1, 2), 0, 1e-12);
    CHECK_NEAR(rbe_mean_divergence(p, q, 0, 2), 0, 0);
    /* Next to nothing: rounding does not bring it below 0. */
    for (int i = 0; i < 300; i++) {
        const float a[2] = {0, 0.01F * (float)i}, b[2] = {1e-7F, 0.01F * (float)i};
        CHECK(rbe_mean_divergence(a, b, 1, 2) >= 0);
    }
}

int main(void)
{
    char *path = rbe_data_path("rbe-mini");
    struct rbe_model *m = NULL;
    struct rbe_diag d = {""};

    rbe_cpu_init();
    check_divergence();
    if (CHECK(path && rbe_model_open(&m, path, &d) == RBE_OK))
        check_moments(m, path);
    if (path)
        check_fisher(path);
    rbe_model_close(&m);
    free(path);
    return check_done();
}

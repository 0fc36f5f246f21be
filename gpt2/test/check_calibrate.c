/*
 * check_calibrate.c - moments against a slow sum, and divergence against hand-made values.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpt2/calibrate.h"
#include "gpt2/data.h"
#include "gpt2/sensitivity.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"

enum { WINDOWS = 8, LENGTH = 512, COLS = 256 };
#define SITE "h.3.mlp.c_fc.weight"

/* The same moment, summed in double by the textbook, over what the tap sees. */
struct slow {
    double *moment, *mean;
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
            s->mean[i] += (double)x[t * ldx + i];
            for (size_t k = 0; k < COLS; k++)
                s->moment[i * COLS + k] += (double)x[t * ldx + i] * (double)x[t * ldx + k];
        }
    s->count += count;
}

static void check_moments(struct rbe_gpt2 *m, const char *path)
{
    uint32_t *tokens = malloc(WINDOWS * LENGTH * sizeof *tokens);
    struct slow slow = {calloc(COLS * COLS, sizeof(double)), calloc(COLS, sizeof(double)), 0};
    const struct rbe_session_limits limits = {.max_batch = LENGTH};
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
    const float *h = rbe_calibration_moment(c, SITE), *mean = rbe_calibration_mean(c, SITE);
    double worst = 0, scale = 0;
    for (size_t i = 0; i < COLS; i++) {
        CHECK_NEAR((double)mean[i], slow.mean[i] / (double)slow.count, 1e-3);
        for (size_t k = 0; k < COLS; k++) {
            const double want = slow.moment[i * COLS + k] / (double)slow.count;
            worst = fmax(worst, fabs(want - (double)h[i * COLS + k]));
            scale = fmax(scale, fabs(want));
        }
    }
    /* f32 sums of 4096 terms. */
    CHECK(worst <= 1e-4 * scale && scale > 0);

    /* Changing nothing diverges by nothing; zeroing a matrix by a lot. */
    struct rbe_sensitivity *v = NULL;
    float *zero = calloc(256 * COLS, sizeof *zero);
    double kl = -1;
    if (CHECK(rbe_sensitivity_open(&v, path, c, NULL, &d) == RBE_OK)) {
        CHECK(rbe_sensitivity_measure(v, "h.0.attn.c_proj.weight", 0, 256, zero, &kl, &d) ==
              RBE_OK);
        CHECK(kl > 0.01);
        CHECK(rbe_sensitivity_measure(v, "h.0.attn.c_proj.weight", 0, 0, zero, &kl, &d) ==
              RBE_OK);
        CHECK_NEAR(kl, 0, 1e-6);
        CHECK(rbe_sensitivity_measure(v, "nothing", 0, 1, zero, &kl, &d) == RBE_ERR_ARG);
    }
    rbe_sensitivity_close(&v);
    free(zero);
    rbe_session_close(&s);
    rbe_calibration_close(&c);
    free(slow.moment);
    free(slow.mean);
    free(tokens);
}

/* p = (1/2, 1/2), q = (1/4, 3/4): KL = ln 2 / 2 + ln(2/3) / 2 = ln(4/3) / 2. */
static void check_divergence(void)
{
    const float p[2] = {3, 3}, q[2] = {0, logf(3)};

    CHECK_NEAR(rbe_mean_divergence(p, q, 1, 2), log(4.0 / 3) / 2, 1e-6);
    CHECK_NEAR(rbe_mean_divergence(p, p, 1, 2), 0, 1e-12);
    CHECK_NEAR(rbe_mean_divergence(p, q, 0, 2), 0, 0);
}

int main(void)
{
    char *path = rbe_data_path("rbe-mini");
    struct rbe_gpt2 *m = NULL;
    struct rbe_diag d = {""};

    rbe_cpu_init();
    check_divergence();
    if (CHECK(path && rbe_gpt2_open(&m, path, &d) == RBE_OK))
        check_moments(m, path);
    rbe_gpt2_close(&m);
    free(path);
    return check_done();
}

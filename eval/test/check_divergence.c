/*
 * check_divergence.c - divergence sums, histograms and shards, by hand-made distributions.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "eval/divergence.h"
#include "kernels/test/check.h"

static void check_histogram(void)
{
    struct rbe_histogram h = {{0}};

    CHECK(isnan(rbe_histogram_quantile(&h, 0.5)));
    for (int i = 1; i <= 1000; i++)
        rbe_histogram_add(&h, i / 1000.0);
    /* A bin is 1.1 % wide: its middle is within 0.55 %. */
    CHECK_NEAR(rbe_histogram_quantile(&h, 0.5), 0.5, 0.004);
    CHECK_NEAR(rbe_histogram_quantile(&h, 0.99), 0.99, 0.008);
    CHECK_NEAR(rbe_histogram_quantile(&h, 0.999), 0.999, 0.008);
    struct rbe_histogram z = {{0}};
    for (int i = 0; i < 3; i++)
        rbe_histogram_add(&z, 0);
    rbe_histogram_add(&z, 1e9);         /* beyond the last bin: counted in it */
    CHECK(rbe_histogram_quantile(&z, 0.5) == 0);
    CHECK(rbe_histogram_quantile(&z, 1) > 200);
}

static double in(const json_t *r, const char *group, const char *key)
{
    return rbe_number_at(json_object_get(r, group), key);
}

/* Window 0: one token predicted apart, one alike; window 1: one alike. */
static void fill(struct rbe_divergence *v, size_t from, size_t to)
{
    const float p[3] = {logf(2), 0, 0}, q[3] = {0, 0, logf(2)};

    for (size_t k = from; k < to; k++) {
        if (k == 0) {
            rbe_divergence_token(v, 0, p, q, 3, 0);
            rbe_divergence_token(v, 0, p, p, 3, 1);
        } else {
            rbe_divergence_token(v, k - from, q, q, 3, 2);
        }
    }
}

static json_t *record(const struct rbe_divergence *v, size_t n, size_t first)
{
    json_t *r = json_pack("{s:i}", "windows_total", 2);

    CHECK(!rbe_divergence_summarise(r, v, n, first));
    return r;
}

/* Which of the two is the original: halves from (3/4 1/4) are ln(4/3)/2 away, the other way
 * round it is another number. */
static void check_direction(void)
{
    const float half[2] = {0, 0}, uneven[2] = {logf(3), 0};
    struct rbe_divergence v;
    struct rbe_diag d;

    CHECK(!rbe_divergence_init(&v, 1, &d));
    rbe_divergence_token(&v, 0, half, uneven, 2, 0);
    json_t *r = record(&v, 1, 0);
    CHECK_NEAR(in(r, "kl", "mean"), log(4.0 / 3) / 2, 1e-7);
    CHECK_NEAR(in(r, "true_token", "mean"), 0.25, 1e-7);
    CHECK_NEAR(rbe_number_at(r, "perplexity_ratio"), 2.0 / 3, 1e-6);
    json_decref(r);
    rbe_divergence_free(&v);
}

/* A thousand tokens whose KL are 0.001 to 1 and whose changes 0.0005 to 0.5: the k-th smallest
 * is known; a bin's middle is within 0.55 % of it. */
static void check_percentiles(void)
{
    struct rbe_divergence v;
    struct rbe_diag d;

    CHECK(!rbe_divergence_init(&v, 1, &d));
    v.sum[RBE_DIV_TOKENS][0] = 1000;
    for (int i = 1; i <= 1000; i++) {
        rbe_histogram_add(&v.kl, i / 1000.0);
        rbe_histogram_add(&v.dp, i / 2000.0);
    }
    json_t *r = record(&v, 1, 0);
    CHECK_NEAR(in(r, "kl", "p50"), 0.5, 0.0028);
    CHECK_NEAR(in(r, "kl", "p90"), 0.9, 0.005);
    CHECK_NEAR(in(r, "kl", "p99"), 0.99, 0.0055);
    CHECK_NEAR(in(r, "kl", "p999"), 0.999, 0.0055);
    CHECK_NEAR(in(r, "true_token", "p50_abs"), 0.25, 0.0014);
    CHECK_NEAR(in(r, "true_token", "p99_abs"), 0.495, 0.0028);
    json_decref(r);
    rbe_divergence_free(&v);
}

/* Seven tokens: the first five of the one and of the other have four in common, the first is
 * another; shared are the smaller of 1..7 and of 7 2 3 4 5 6 1, over 28. */
static void check_tops(void)
{
    const int weight[2][7] = {{1, 2, 3, 4, 5, 6, 7}, {7, 2, 3, 4, 5, 6, 1}};
    float row[2][7];
    struct rbe_divergence v;
    struct rbe_diag d;

    for (int m = 0; m < 2; m++)
        for (int i = 0; i < 7; i++)
            row[m][i] = logf((float)weight[m][i]) + (float)m;
    CHECK(!rbe_divergence_init(&v, 1, &d));
    rbe_divergence_token(&v, 0, row[0], row[1], 7, 0);
    json_t *r = record(&v, 1, 0);
    CHECK_NEAR(in(r, "top1", "agreement"), 0, 1e-15);
    CHECK_NEAR(in(r, "top5", "agreement"), 0.8, 1e-15);
    CHECK_NEAR(in(r, "acceptance", "rate"), 22.0 / 28, 1e-6);
    json_decref(r);
    rbe_divergence_free(&v);
}

int main(void)
{
    struct rbe_divergence v, part, joined;
    struct rbe_diag d = {""};

    check_histogram();
    CHECK(!rbe_divergence_init(&v, 2, &d));
    fill(&v, 0, 2);
    json_t *r = record(&v, 2, 0);
    /* KL of (1/2 1/4 1/4) from (1/4 1/4 1/2) is ln(2)/4, over three tokens. */
    CHECK_NEAR(in(r, "kl", "mean"), log(2) / 12, 1e-7);
    CHECK_NEAR(in(r, "kl", "max"), log(2) / 4, 1e-6);
    CHECK_NEAR(in(r, "top1", "agreement"), 2.0 / 3, 1e-15);
    /* Three tokens are fewer than five: all are among them.  1/4 each of the three is shared:
     * 3/4, 1 and 1 over windows of 2 and 1 tokens; the ratio is 11/12, deviations 1/12. */
    CHECK_NEAR(in(r, "top5", "agreement"), 1, 1e-15);
    CHECK_NEAR(in(r, "acceptance", "rate"), 11.0 / 12, 1e-7);
    CHECK_NEAR(in(r, "acceptance", "rate_se"), sqrt(2 * 2.0 / 144) / 3, 1e-7);
    /* The true token fell from 1/2 to 1/4. */
    CHECK_NEAR(in(r, "true_token", "mean"), -0.25 / 3, 1e-7);
    CHECK_NEAR(in(r, "true_token", "rms"), sqrt(0.0625 / 3), 1e-7);
    CHECK_NEAR(rbe_number_at(r, "perplexity_ratio"), exp(log(2) / 3), 1e-6);
    /* Windows of 2 and 1 tokens with 1 and 1 agreements: deviations -1/3 and 1/3 of the
     * ratio 2/3; variance 2 * 2/9 / 9. */
    CHECK_NEAR(in(r, "top1", "agreement_se"), sqrt(4.0 / 81), 1e-12);
    /* Sums x and 0 over 2 and 1 tokens: the deviations from the ratio x / 3 are x / 3 and
     * -x / 3, the error sqrt(2 * 2 (x / 3)^2) / 3 = 2 x / 9. */
    CHECK_NEAR(in(r, "kl", "mean_se"), log(2) / 4 * 2 / 9, 1e-7);
    CHECK_NEAR(in(r, "true_token", "mean_se"), 0.25 * 2 / 9, 1e-7);
    CHECK_NEAR(in(r, "true_token", "rms_se"), 0.0625 * 2 / 9 / (2 * sqrt(0.0625 / 3)), 1e-7);
    CHECK(json_is_true(json_object_get(r, "complete")));

    /* Two shards read back give the same record, bit for bit. */
    CHECK(!rbe_divergence_init(&joined, 0, &d));
    for (size_t s = 0; s < 2; s++) {
        CHECK(!rbe_divergence_init(&part, 1, &d));
        fill(&part, s, s + 1);
        json_t *shard = record(&part, 1, s);
        CHECK(json_is_false(json_object_get(shard, "complete")));
        char *text = json_dumps(shard, 0);
        json_t *back = json_loads(text, 0, NULL);
        CHECK(!rbe_divergence_read(&joined, back, &d));
        free(text);
        json_decref(back);
        json_decref(shard);
        rbe_divergence_free(&part);
    }
    json_t *again = record(&joined, joined.windows, 0);
    CHECK(json_equal(r, again));
    json_decref(again);
    json_decref(r);
    rbe_divergence_free(&joined);
    rbe_divergence_free(&v);
    check_tops();
    check_direction();
    check_percentiles();
    return check_done();
}

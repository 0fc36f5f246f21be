/*
 * check_calibrate.c - moments against a slow sum, and divergence against hand-made values.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/stats.h"
#include "convert/calibrate.h"
#include "convert/sensitivity.h"
#include "grad/grad.h"
#include "grad/product.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "kernels/vector.h"
#include "model/data.h"
#include "model/synth.h"
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

/* Mean of KL(p || q) over SOME rows of logits p, q [SOME][vocab], by its definition. */
static double mean_divergence(const float *p, const float *q, size_t vocab)
{
    double total = 0;

    for (size_t t = 0; t < SOME; t++, p += vocab, q += vocab) {
        double sum_p = 0, sum_q = 0;

        for (size_t k = 0; k < vocab; k++) {
            sum_p += exp((double)p[k]);
            sum_q += exp((double)q[k]);
        }
        for (size_t k = 0; k < vocab; k++)
            total += exp((double)p[k]) / sum_p *
                     ((double)p[k] - log(sum_p) - (double)q[k] + log(sum_q));
    }
    return total / SOME;
}

/* Divergence of those positions' predictions when `change` is added to a weight's rows from
 * row0 on, by hand. */
static double divergence_of(struct rbe_model *m, struct rbe_session *s, const uint32_t *tokens,
                            const struct rbe_weight *of, size_t row0, const float *change,
                            size_t n)
{
    const size_t vocab = rbe_model_config(m)->vocab;
    float *w = (float *)(uintptr_t)of->parts[0].m.codes + row0 * of->cols;
    float *logits = malloc(2 * SOME * vocab * sizeof *logits);
    struct rbe_diag d = {""};

    for (int k = 0; k < 2; k++) {
        rbe_session_truncate(s, 0);
        CHECK(!rbe_forward(s, tokens, SOME, &d) &&
              !rbe_logits(s, 0, SOME, logits + k * SOME * vocab, &d));
        for (size_t i = 0; i < n; i++)
            w[i] += k ? -change[i] : change[i];
    }
    const double kl = mean_divergence(logits, logits + SOME * vocab, vocab);
    free(logits);
    return kl;
}

/* To be freed. */
static float *moment_of(const struct rbe_calibration *c, const char *name)
{
    float *h;

    CHECK(!rbe_calibration_moment(&h, c, name, NULL));
    return h;
}

/* The measured divergence on those positions is that; of a matrix of a layer, and of rows of a
 * tied embedding, which are looked up and give logits.  By several threads. */
static void check_measured(struct rbe_model *m, struct rbe_session *s, const char *path,
                           const struct rbe_calibration *c, const float *change)
{
    const struct {
        const struct rbe_weight *of;
        size_t row0;
    } all[] = {{m->layers[0].weight[RBE_ROLE_ATTN_OUT], 0},
               {m->whole.weight[RBE_ROLE_TOKENS], 700}};
    struct rbe_pool *pool = NULL;
    struct rbe_diag d = {""};

    CHECK(!rbe_pool_open(&pool, 3, &d));
    for (int bf16 = 0; bf16 < 2; bf16++) {
        struct rbe_sensitivity *v = NULL;
        double kl = -1;

        if (bf16 && !rbe_product_has_bf16()) {
            CHECK(rbe_sensitivity_open(&v, path, c, SOME, true, NULL, &d) == RBE_ERR_ARG);
            continue;
        }
        if (!CHECK(!rbe_sensitivity_open(&v, path, c, SOME, bf16, pool, &d)))
            continue;
        for (int k = 0; k < 2; k++) {
            const double want = divergence_of(m, s, rbe_calibration_text(c), all[k].of,
                                              all[k].row0, change, 256 * COLS);
            CHECK(!rbe_sensitivity_measure(v, all[k].of->name, all[k].row0, 256, change, &kl,
                                           &d));
            printf("%s, %s: %.6f for %.6f\n", all[k].of->name, bf16 ? "bf16" : "f32", kl, want);
            CHECK(want > 0.01);
            CHECK_NEAR(kl, want, (bf16 ? 0.005 : 1e-4) * want);
            CHECK(!rbe_sensitivity_measure(v, all[k].of->name, 0, 0, change, &kl, &d) &&
                  kl == 0);
        }
        rbe_sensitivity_close(&v);
    }
    rbe_pool_close(&pool);
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
    CHECK(rbe_calibrate(&c, m, tokens, WINDOWS * LENGTH - 1, false, NULL, NULL, &d) ==
          RBE_ERR_ARG);
    CHECK(strstr(d.text, "too short") && !c);
    if (!CHECK(!rbe_calibrate(&c, m, tokens, WINDOWS * LENGTH + 5, false, NULL, NULL, &d)))
        return;
    CHECK(rbe_calibration_tokens(c) == WINDOWS * LENGTH);
    CHECK(!rbe_calibration_knows(c, "h.12.mlp.c_fc.weight"));
    CHECK(!moment_of(c, "h.12.mlp.c_fc.weight"));
    CHECK(rbe_calibration_knows(c, "wte.weight"));
    CHECK(rbe_session_open(&s, m, limits, NULL, &d) == RBE_OK);
    rbe_session_tap(s, on_product, &slow);
    for (size_t w = 0; w < WINDOWS; w++) {
        rbe_session_truncate(s, 0);
        CHECK(rbe_forward(s, tokens + w * LENGTH, LENGTH, &d) == RBE_OK);
    }
    float *h = moment_of(c, SITE);
    double worst = 0, scale = 0;
    CHECK(h && !rbe_calibration_rows(c, SITE));
    for (size_t i = 0; i < COLS; i++) {
        for (size_t k = 0; k < COLS; k++) {
            const double want = slow.moment[i * COLS + k] / (double)slow.count;
            worst = fmax(worst, fabs(want - (double)h[i * COLS + k]));
            scale = fmax(scale, fabs(want));
        }
    }
    free(h);
    /* f32 sums of 4096 terms. */
    CHECK(worst <= 1e-4 * scale && scale > 0);

    /* Changing nothing diverges by nothing; a change larger than the weights by a lot. */
    struct rbe_sensitivity *v = NULL;
    float *change = malloc(256 * COLS * sizeof *change);
    for (size_t i = 0; i < 256 * COLS; i++)
        change[i] = i % 3 ? 0.1F : -0.2F;
    double kl = -1;
    if (CHECK(rbe_sensitivity_open(&v, path, c, 0, false, NULL, &d) == RBE_OK)) {
        CHECK(rbe_sensitivity_measure(v, "h.0.attn.c_proj.weight", 0, 256, change, &kl, &d) ==
              RBE_OK);
        /* Nats a token, of random tokens: alike in any part of the text. */
        const double part = divergence_of(
            m, s, tokens, m->layers[0].weight[RBE_ROLE_ATTN_OUT], 0, change, 256 * COLS);
        printf("divergence: %.4f, of %d positions %.4f\n", kl, SOME, part);
        CHECK(kl > 0.01);
        CHECK_NEAR(kl, part, 0.3 * part);
        CHECK(rbe_sensitivity_measure(v, "h.0.attn.c_proj.weight", 0, 0, change, &kl, &d) ==
              RBE_OK);
        CHECK_NEAR(kl, 0, 1e-6);
        CHECK(rbe_sensitivity_measure(v, "nothing", 0, 1, change, &kl, &d) == RBE_ERR_ARG);
    }
    rbe_sensitivity_close(&v);
    check_measured(m, s, path, c, change);
    /* By fewer tokens, in shorter windows; in bytes, what was said. */
    CHECK(rbe_sensitivity_bytes(rbe_model_config(m), 600, false, 1) + (size_t)1500 * 8192 * 4 <
          rbe_sensitivity_bytes(rbe_model_config(m), 0, false, 1));
    CHECK(rbe_sensitivity_bytes(rbe_model_config(m), 256, false, 1) + (size_t)200 * 8192 * 4 <
          rbe_sensitivity_bytes(rbe_model_config(m), 512, false, 1));
    double few = -1, kl512 = -1;
    if (CHECK(!rbe_sensitivity_open(&v, path, c, 512, false, NULL, &d))) {
        CHECK(!rbe_sensitivity_measure(v, "h.0.attn.c_proj.weight", 0, 256, change, &few, &d));
        rbe_sensitivity_close(&v);
    }
    if (CHECK(!rbe_sensitivity_open(&v, path, c, 600, false, NULL, &d)))
        CHECK(!rbe_sensitivity_measure(v, "h.0.attn.c_proj.weight", 0, 256, change, &kl512,
                                       &d));
    CHECK(few == kl512 && few > 0.01);
    rbe_sensitivity_close(&v);
    free(change);
    rbe_session_close(&s);
    rbe_calibration_close(&c);
    free(slow.moment);
    free(tokens);
}

/* --- the Fisher metric -------------------------------------------------------------------- */

/* A model, a weight in it, and the range of its rows whose gradient is compared. */
struct fisher_case {
    const char *path;
    const char *site, *range, *head, *embedding;
    size_t window, vocab;       /* tokens of a window; of the vocabulary, so many are used */
    bool by_threads;            /* one thread must give the same bits */
};

static const struct rbe_calibration_how two_sided = {.metric = RBE_METRIC_TWO_SIDED};

enum { ROWS = 8 };              /* the last ones of the range */

/* Moments of one weight and of the output layer by the textbook, in doubles, from a tap of its
 * own. */
struct slow_fisher {
    const struct fisher_case *k;
    size_t cols, rows;
    size_t range;               /* the first of ROWS */
    double *site, weight;       /* sum of |g| x x^T, of |g| */
    double *site_rows;          /* sum of g^2 */
    double *head, head_weight;  /* sum of w x x^T, of w = sum of p (1 - p) */
    double *head_rows;          /* sum of p (1 - p) */
    double *lookup;             /* sum of g g^T by what was looked up, g no longer than thrice
                                 * the mean */
    const uint32_t *tokens;     /* of the window */
    double *met;                /* sum of g^2 by token */
    double *product;            /* [ROWS][cols] sum of g x: the gradient itself */
    double outer[ROWS * ROWS];  /* sum of g g^T of those rows */
};

static void add_outer(double *to, double w, const float *x, size_t cols)
{
    for (size_t i = 0; i < cols; i++)
        for (size_t k = 0; k < cols; k++)
            to[i * cols + k] += w * (double)x[i] * (double)x[k];
}

static double size_of(const float *g, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    return sqrt(sum);
}

static void add_lookups(struct slow_fisher *f, const float *dy, size_t tokens)
{
    double mean = 0;

    for (size_t t = 0; t < tokens; t++)
        mean += size_of(dy + t * f->cols, f->cols) / (double)tokens;
    for (size_t t = 0; t < tokens; t++) {
        const double size = size_of(dy + t * f->cols, f->cols);
        const double part = size > 3 * mean ? 3 * mean / size : 1;
        add_outer(f->lookup, part * part, dy + t * f->cols, f->cols);
        f->met[f->tokens[t]] += part * part * size * size;
    }
}

static void on_gradient(void *arg, const struct rbe_grad_slice *s, const float *x,
                        const float *dy, size_t tokens)
{
    struct slow_fisher *f = arg;
    const bool site = !strcmp(s->name, f->k->site), head = !strcmp(s->name, f->k->head);

    if (!x) {
        CHECK(!strcmp(s->name, f->k->embedding));
        add_lookups(f, dy, tokens);
        return;
    }
    for (size_t t = 0; t < tokens && (site || head); t++) {
        const float *g = dy + t * s->weight_rows, *in = x + t * f->cols;
        double sum = 0;
        for (size_t r = 0; r < s->weight_rows; r++) {
            const double v = (double)g[r], p = v < 0 ? 1 + v : v;
            const double e = head ? p * (1 - p) : v * v;
            (head ? f->head_rows : f->site_rows)[r] += e;
            sum += e;
        }
        const double w = head ? sum : sqrt(sum);
        add_outer(head ? f->head : f->site, w, in, f->cols);
        *(head ? &f->head_weight : &f->weight) += w;
        if (site)
            add_outer(f->outer, 1, g + f->range, ROWS);
        for (size_t i = 0; i < ROWS * f->cols && site; i++)
            f->product[i] += (double)g[f->range + i / f->cols] * (double)in[i % f->cols];
    }
}

static void near_moment(const struct rbe_calibration *c, const char *site, const double *want,
                        double scale, size_t cols)
{
    double worst = 0, largest = 0;
    float *have = moment_of(c, site);

    for (size_t i = 0; i < cols * cols && CHECK(have); i++) {
        worst = fmax(worst, fabs(want[i] * scale - (double)have[i]));
        largest = fmax(largest, fabs(want[i] * scale));
    }
    CHECK(worst <= 1e-4 * largest && largest > 0);
    free(have);
}

/* have [rows] is the root of want but for a factor, and for those that a limit has changed. */
static void near_rows(const float *have, const double *want, size_t rows)
{
    size_t kept = 0;
    double ratio = 0;

    for (size_t i = 0; i < rows && CHECK(have); i++)
        if (have[i] > 0.06F && have[i] < 19) {
            const double r = sqrt(want[i]) / (double)have[i];
            ratio = kept++ ? ratio : r;
            CHECK_NEAR(r, ratio, 1e-3 * ratio);
        }
    CHECK(kept > rows / 4);
}

/* The weights of the rows on the diagonal; of two rows the correlation of their gradients, 0.7
 * of it. */
static void near_metric(const struct rbe_calibration *c, const struct slow_fisher *f,
                        const struct rbe_source_tensor *t)
{
    const float *own = rbe_calibration_rows(c, t->weight_name) + t->row0;
    const size_t n = t->rows, first = n - ROWS;
    float *have = NULL;
    size_t odd = 0;

    CHECK(!rbe_calibration_row_metric(&have, c, t->weight_name, t->row0, n, NULL));
    for (size_t i = 0; i < n * n && CHECK(have); i++)
        odd += !isfinite(have[i]) || have[i] != have[i % n * n + i / n];
    CHECK(!odd);
    for (size_t i = 0; i < ROWS && have; i++)
        for (size_t k = 0; k < ROWS; k++) {
            const double both = (double)own[first + i] * (double)own[first + k];
            const double energies = f->outer[i * ROWS + i] * f->outer[k * ROWS + k];
            const double want = f->outer[i * ROWS + k] / sqrt(energies) * sqrt(both);
            CHECK_NEAR(have[(first + i) * n + first + k], i == k ? want : 0.7 * want,
                       1e-4 * sqrt(both));
        }
    free(have);
    have = NULL;
    CHECK(!rbe_calibration_row_metric(&have, c, t->weight_name, t->row0, n - 1, NULL) && !have);
    CHECK(!rbe_calibration_row_metric(&have, c, f->k->head, 0, (size_t)f->k->vocab, NULL) &&
          !have);
}

/* The tap's rows are those of the range: they give its gradient, which differences have been
 * held against. */
static void near_gradient(const struct slow_fisher *f, struct rbe_grad *t)
{
    const struct rbe_grad_slice *s = rbe_grad_find(t, f->k->range);
    const float *have = rbe_grad_gradients(t) + s->at + s->count - ROWS * f->cols;
    double worst = 0, largest = 0;

    for (size_t i = 0; i < ROWS * f->cols; i++) {
        worst = fmax(worst, fabs(f->product[i] - (double)have[i]));
        largest = fmax(largest, fabs(f->product[i]));
    }
    CHECK(worst <= 1e-4 * largest && largest > 0);
}

/* Every sum of a calibration by one thread, with layers run twice. */
static void check_threads(const struct fisher_case *k, const struct rbe_source *source,
                          const uint32_t *tokens, const struct rbe_calibration *two)
{
    const struct rbe_calibration_how how = {.metric = RBE_METRIC_TWO_SIDED, .again = true,
                                            .bf16 = rbe_calibration_is_bf16(two)};
    struct rbe_calibration *one = NULL;

    if (!CHECK(!rbe_calibrate_fisher(&one, how, source, tokens, WINDOWS * k->window, NULL, NULL,
                                     NULL)))
        return;
    for (size_t i = 0; i < source->count; i++) {
        const struct rbe_source_tensor *t = &source->tensors[i];
        float *h = moment_of(one, t->name), *g = moment_of(two, t->name);
        CHECK(!h == !g && (!h || !memcmp(h, g, (size_t)t->cols * t->cols * sizeof *h)));
        free(h);
        free(g);
        const float *a = rbe_calibration_rows(one, t->name);
        const float *b = rbe_calibration_rows(two, t->name);
        CHECK(!a == !b && (!a || !memcmp(a, b, t->rows * sizeof *a)));
        const size_t n = t->rows;
        CHECK(!rbe_calibration_row_metric(&h, one, t->weight_name, t->row0, n, NULL));
        CHECK(!rbe_calibration_row_metric(&g, two, t->weight_name, t->row0, n, NULL));
        CHECK(!h == !rbe_calibration_has_metric(t, RBE_METRIC_TWO_SIDED));
        CHECK(!h == !g && (!h || !memcmp(h, g, n * n * sizeof *h)));
        free(h);
        free(g);
    }
    rbe_calibration_close(&one);
}

/* |a - b| / |b|. */
static double distance(const float *a, const float *b, size_t n)
{
    double apart = 0, all = 0;

    for (size_t i = 0; i < n && a && b; i++) {
        apart += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        all += (double)b[i] * (double)b[i];
    }
    return sqrt(apart / all);
}

/* Rounded inputs change little: each by up to 1/256, and few draws.  The same bits by any
 * number of threads. */
static void check_rounded(const struct fisher_case *k, const struct rbe_source *source,
                          const uint32_t *tokens, const struct rbe_calibration *f32,
                          struct rbe_pool *pool)
{
    const struct rbe_calibration_how how = {.metric = RBE_METRIC_TWO_SIDED, .bf16 = true};
    struct rbe_calibration *c = NULL;
    double worst = 0, worst_rows = 0, least = 1;

    CHECK(!rbe_calibration_is_bf16(f32));
    if (!rbe_product_has_bf16()) {
        CHECK(rbe_calibrate_fisher(&c, how, source, tokens, WINDOWS * k->window, pool, NULL,
                                   NULL) == RBE_ERR_ARG && !c);
        return;
    }
    if (!CHECK(!rbe_calibrate_fisher(&c, how, source, tokens, WINDOWS * k->window, pool, NULL,
                                     NULL)))
        return;
    CHECK(rbe_calibration_is_bf16(c));
    for (size_t i = 0; i < source->count; i++) {
        const struct rbe_source_tensor *t = &source->tensors[i];
        float *h = moment_of(c, t->name), *g = moment_of(f32, t->name);
        if (!h)
            continue;
        const double apart = distance(h, g, (size_t)t->cols * t->cols);
        worst = fmax(worst, apart);
        least = fmin(least, apart);
        free(h);
        free(g);
        worst_rows = fmax(worst_rows, distance(rbe_calibration_rows(c, t->name),
                                               rbe_calibration_rows(f32, t->name), t->rows));
    }
    printf("%s: by bf16 moments are %.2g to %.2g apart, weights of rows %.2g\n", k->site, least,
           worst, worst_rows);
    CHECK(worst < 0.02 && worst_rows < 0.02 && least > 0);
    check_threads(k, source, tokens, c);
    rbe_calibration_close(&c);
}

/* All that a tap is told. */
static void on_anything(void *arg, const struct rbe_grad_slice *s, const float *x,
                        const float *dy, size_t tokens)
{
    uint64_t *told = arg;
    const size_t inputs = x ? tokens * s->cols : 0;

    if (inputs)
        *told = XXH3_64bits_withSeed(x, inputs * sizeof *x, *told);
    *told = XXH3_64bits_withSeed(dy, tokens * (x ? s->weight_rows : s->cols) * sizeof *dy,
                                 *told);
}

/* An engine that holds rounded weights alone says what one says whose embedding is rounded. */
static void check_engine(const struct fisher_case *k, const struct rbe_source *source,
                         const uint32_t *tokens, struct rbe_pool *pool)
{
    const struct rbe_loss ce = {.temperature = 1};
    const struct rbe_grad_limits whole = {.batch = 1, .time = (uint32_t)k->window,
                                          .bf16 = true};
    const struct rbe_vector *v = rbe_vector_best(rbe_cpu_isa());
    struct rbe_grad_limits limits = whole;
    struct rbe_loss_sums sums[2] = {{0}};
    struct rbe_grad *t[2] = {NULL, NULL};
    uint64_t told[2] = {0, 0};

    if (!rbe_product_has_bf16())
        return;
    for (int i = 0; i < 2; i++, limits.tap_only = true) {
        if (!CHECK(!rbe_grad_open(&t[i], &source->config, limits, pool, NULL) &&
                   !rbe_grad_load(t[i], source, NULL)))
            return;
        const struct rbe_grad_slice *s = rbe_grad_find(t[i], k->embedding);
        const bool tied = !strcmp(k->head, k->embedding);
        CHECK((s->at == RBE_NOT_STORED) == (i && tied));
        for (size_t n = 0; n < s->count && !i && tied; n++) {
            float *p = rbe_grad_params(t[i]) + s->at + n;
            uint16_t rounded;
            v->round_bf16(&rounded, p, 1, 1);
            const uint32_t bits = (uint32_t)rounded << 16;
            memcpy(p, &bits, sizeof *p);
        }
        const struct rbe_grad_batch b = {.batch = 1, .time = limits.time, .tokens = tokens,
                                         .targets = tokens + 1};
        rbe_grad_tap(t[i], on_anything, &told[i]);
        CHECK(!rbe_grad_step(t[i], &b, &ce, NULL, 1, &sums[i], NULL));
    }
    CHECK(told[0] == told[1] && sums[0].loss == sums[1].loss && told[0]);
    CHECK(rbe_grad_bytes(&source->config, limits, 2) +
              4 * source->config.n_embd * source->config.n_embd <
          rbe_grad_bytes(&source->config, whole, 2));
    rbe_grad_close(&t[0]);
    rbe_grad_close(&t[1]);
}

static void check_fisher(const struct fisher_case *k)
{
    const struct rbe_loss ce = {.temperature = 1};
    const struct rbe_grad_limits limits = {.batch = 1, .time = (uint32_t)k->window};
    uint32_t *tokens = malloc(WINDOWS * k->window * sizeof *tokens);
    float *draws = malloc(k->window * sizeof *draws);
    struct slow_fisher f = {.k = k};
    struct rbe_loss_sums sums = {0};
    struct rbe_calibration *c = NULL;
    struct rbe_source *source = NULL;
    struct rbe_pool *pool = NULL;
    struct rbe_grad *t = NULL;
    struct rbe_diag d = {""};
    struct check_rng rng = {7};
    uint64_t seed = 1;

    for (size_t i = 0; i < WINDOWS * k->window; i++)
        tokens[i] = check_below(&rng, (uint32_t)k->vocab);
    if (!CHECK(!rbe_source_open(&source, k->path, &d) && !rbe_pool_open(&pool, 2, &d) &&
               !rbe_calibrate_fisher(&c, two_sided, source, tokens,
                                     WINDOWS * k->window + k->window - 1, pool, NULL, &d) &&
               !rbe_grad_open(&t, &source->config, limits, pool, &d) &&
               !rbe_grad_load(t, source, &d))) {
        printf("     %s\n", d.text);
        return;
    }
    const struct rbe_grad_slice *site = rbe_grad_find(t, k->site);
    const struct rbe_grad_slice *range = rbe_grad_find(t, k->range);
    const size_t vocab = source->config.vocab;
    f.cols = site->cols;
    f.rows = site->weight_rows;
    f.range = range->row0 + range->rows - ROWS;
    f.site = calloc(f.cols * f.cols, sizeof(double));
    f.site_rows = calloc(f.rows, sizeof(double));
    f.head = calloc(f.cols * f.cols, sizeof(double));
    f.head_rows = calloc(vocab, sizeof(double));
    f.lookup = calloc(f.cols * f.cols, sizeof(double));
    f.met = calloc(vocab, sizeof(double));
    f.product = calloc(ROWS * f.cols, sizeof(double));
    rbe_grad_tap(t, on_gradient, &f);
    for (size_t w = 0; w < WINDOWS; w++) {
        const struct rbe_grad_batch b = {.batch = 1, .time = limits.time,
                                         .tokens = tokens + w * k->window, .draws = draws};
        for (size_t i = 0; i < k->window; i++)
            draws[i] = (float)(rbe_random_next(&seed) >> 40) * 0x1p-24F;
        f.tokens = b.tokens;
        CHECK(!rbe_grad_step(t, &b, &ce, NULL, 1, &sums, &d));
    }
    CHECK(rbe_calibration_metric(c) == RBE_METRIC_TWO_SIDED);
    CHECK(rbe_calibration_tokens(c) == WINDOWS * k->window);
    near_moment(c, k->site, f.site, 1 / f.weight, f.cols);
    near_rows(rbe_calibration_rows(c, k->site), f.site_rows, f.rows);
    const bool tied = !strcmp(k->head, k->embedding);
    for (size_t i = 0; i < f.cols * f.cols && tied; i++)
        f.head[i] += f.lookup[i];
    near_moment(c, k->head, f.head, 1 / f.head_weight, f.cols);
    if (!tied) {
        near_moment(c, k->embedding, f.lookup, 1.0 / (double)(WINDOWS * k->window), f.cols);
        near_rows(rbe_calibration_rows(c, k->embedding), f.met, vocab);
    }
    near_rows(rbe_calibration_rows(c, k->head), f.head_rows, vocab);
    near_gradient(&f, t);
    near_metric(c, &f, rbe_source_find(source, k->range));
    if (k->by_threads) {
        check_threads(k, source, tokens, c);
        check_rounded(k, source, tokens, c, pool);
        check_engine(k, source, tokens, pool);
    }
    free(f.site);
    free(f.site_rows);
    free(f.head);
    free(f.head_rows);
    free(f.lookup);
    free(f.met);
    free(f.product);
    free(tokens);
    free(draws);
    rbe_grad_close(&t);
    rbe_calibration_close(&c);
    rbe_pool_close(&pool);
    rbe_source_close(&source);
}

/* Ranges of weights, an output layer of its own or not, and a context longer than a window. */
static void check_llama(void)
{
    static char dir[] = "/tmp/rbe-check-calibrate-XXXXXX";
    struct rbe_model_config config = {
        .arch = RBE_ARCH_LLAMA, .vocab = 258, .n_ctx = 1040, .n_embd = 64, .n_layer = 2,
        .n_head = 4, .n_kv = 2, .head = 24, .n_inner = 80, .ln_eps = 1e-5F, .rope_base = 10000,
        .eos = 257};
    struct fisher_case k = {
        .path = dir, .site = "layers.1.self_attn.q_proj.weight",
        .range = "layers.1.self_attn.k_proj.weight", .head = "embed_tokens.weight",
        .embedding = "embed_tokens.weight",
        .window = 512, .vocab = 258, .by_threads = true};
    struct rbe_diag d = {""};

    if (!CHECK(mkdtemp(dir) && !rbe_synth(dir, &config, RBE_DT_F32, 1, &d)))
        return;
    check_fisher(&k);
    char *model = rbe_path_join(dir, "model.safetensors");
    char *json = rbe_path_join(dir, "config.json");
    unlink(model);
    unlink(json);
    config.options = 1U << RBE_OPTION_UNTIED;
    k.head = "lm_head.weight";
    k.site = "layers.0.mlp.gate_proj.weight";
    k.range = "layers.0.mlp.up_proj.weight";
    if (CHECK(!rbe_synth(dir, &config, RBE_DT_F32, 1, &d)))
        check_fisher(&k);
    unlink(model);
    unlink(json);
    free(model);
    free(json);
    CHECK(!rmdir(dir));
}

/* p = (1/2, 1/2), q = (1/4, 3/4): KL = ln 2 / 2 + ln(2/3) / 2 = ln(4/3) / 2; with any number
 * added to all logits. */
static void check_divergence(void)
{
    const struct rbe_vector *v = rbe_vector_best(rbe_cpu_isa());
    const float p[2] = {0.5F, 0.5F};

    for (int shift = -60; shift <= 60; shift += 30) {
        const float moves[2] = {(float)shift, (float)shift + logf(3)};
        double tilt[2] = {0};
        v->tilt(tilt, p, moves, 2, (float)shift);
        CHECK_NEAR(rbe_prediction_divergence(tilt), log(4.0 / 3) / 2, 1e-5);
    }
    /* Next to nothing: rounding does not bring it below 0. */
    for (int i = 0; i < 300; i++) {
        const float moves[2] = {1e-7F, 0.01F * (float)i};
        const float all[2] = {1, 0};
        double tilt[2] = {0};
        v->tilt(tilt, all, moves, 2, 0);
        CHECK(rbe_prediction_divergence(tilt) >= 0);
        CHECK_NEAR(rbe_prediction_divergence(tilt), 0, 1e-6);
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
    const struct fisher_case gpt2 = {.path = path, .site = SITE, .range = SITE,
                                     .head = "wte.weight", .embedding = "wte.weight",
                                     .window = LENGTH, .vocab = 300};
    if (path)
        check_fisher(&gpt2);
    check_llama();
    rbe_model_close(&m);
    free(path);
    return check_done();
}

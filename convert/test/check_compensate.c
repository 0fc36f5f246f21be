/*
 * check_compensate.c - targets against least squares by the textbook, from what sessions of the
 * original and of the encoded model see; and that they help.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "convert/compensate.h"
#include "convert/convert.h"
#include "convert/test/predictions.h"
#include "grad/product.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/data.h"
#include "model/model.h"
#include "model/synth.h"
#include "model/weights.h"

enum { VOCAB = 258, CTX = 64, EMBD = 64, INNER = 160, LAYERS = 2, WINDOWS = 40,
       TOKENS = WINDOWS * CTX };

/* Damping of the moment, of its mean diagonal, as in rbe/feedback.h. */
#define DAMPING 0.01

static char dir[] = "/tmp/rbe-check-compensate-XXXXXX";
static char *out;
static uint32_t tokens[TOKENS];
static struct rbe_pool *pool;

static const struct rbe_model_config shapes[] = {
    {.arch = RBE_ARCH_GPT2, .vocab = VOCAB, .n_ctx = CTX, .n_embd = EMBD, .n_layer = LAYERS,
     .n_head = 4, .n_kv = 4, .head = 16, .n_inner = INNER, .ln_eps = 1e-5F, .eos = VOCAB - 1},
    {.arch = RBE_ARCH_LLAMA, .vocab = VOCAB, .n_ctx = CTX, .n_embd = EMBD, .n_layer = LAYERS,
     .n_head = 4, .n_kv = 2, .head = 16, .n_inner = INNER, .ln_eps = 1e-5F, .rope_base = 10000,
     .eos = VOCAB - 1},
};

/* --- what sessions see -------------------------------------------------------------------- */

struct seen {
    const char *name;
    float *x;                   /* [TOKENS][cols] */
    size_t at;
};

static void on_product(void *arg, const char *name, const float *x, size_t ldx, size_t count,
                       size_t cols)
{
    struct seen *s = arg;

    if (strcmp(name, s->name))
        return;
    for (size_t t = 0; t < count; t++)
        memcpy(s->x + (s->at + t) * cols, x + t * ldx, cols * sizeof *x);
    s->at += count;
}

/* Inputs of a weight on all tokens, fresh. */
static float *inputs_of(const char *path, const char *name, size_t cols)
{
    const struct rbe_session_limits l = {.max_batch = CTX, .max_logits = 1,
                                         .kv_cache = RBE_KV_F32};
    struct seen seen = {.name = name, .x = calloc(TOKENS * cols, sizeof(float))};
    struct rbe_model *m = NULL;
    struct rbe_session *s = NULL;
    struct rbe_diag d = {""};

    rbe_act_choose_bits(16);
    if (CHECK(!rbe_model_open(&m, path, &d) && !rbe_session_open(&s, m, l, NULL, &d))) {
        rbe_session_tap(s, on_product, &seen);
        for (size_t w = 0; w < WINDOWS; w++) {
            rbe_session_truncate(s, 0);
            CHECK(!rbe_forward(s, tokens + w * CTX, CTX, &d));
        }
    }
    CHECK(seen.at == TOKENS);
    rbe_session_close(&s);
    rbe_model_close(&m);
    return seen.x;
}

static float *read_of(const struct rbe_source *s, enum rbe_role role, int layer)
{
    const struct rbe_source_tensor *t = NULL;
    float *x = NULL;

    for (size_t i = 0; i < s->count; i++)
        if (s->tensors[i].role == role && s->tensors[i].layer == layer)
            t = &s->tensors[i];
    CHECK(!t || !rbe_source_read(&x, s, t, NULL));
    return x;
}

/* The residual stream before attention's output is added in layer 0, and, where `attended` is
 * its inputs there, with it: what FFN_DOWN is added to.  Fresh. */
static float *stream_of(const struct rbe_source *s, const float *attended)
{
    float *r = malloc(TOKENS * EMBD * sizeof *r);
    float *rows = read_of(s, RBE_ROLE_TOKENS, -1), *mean = read_of(s, RBE_ROLE_EMBED_MEAN, -1);
    float *positions = read_of(s, RBE_ROLE_POSITIONS, -1);
    float *w = read_of(s, RBE_ROLE_ATTN_OUT, 0);

    for (size_t t = 0; t < TOKENS; t++)
        for (size_t i = 0; i < EMBD; i++) {
            double x = (double)rows[tokens[t] * EMBD + i] + (mean ? (double)mean[i] : 0) +
                       (positions ? (double)positions[t % CTX * EMBD + i] : 0);
            for (size_t k = 0; attended && k < EMBD; k++)
                x += (double)w[i * EMBD + k] * (double)attended[t * EMBD + k];
            r[t * EMBD + i] = (float)x;
        }
    free(rows);
    free(mean);
    free(positions);
    free(w);
    return r;
}

/* --- least squares ------------------------------------------------------------------------ */

/* Solves h y = b in place of b, h [n][n] positive definite, by elimination. */
static void eliminate(double *h, double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t r = i + 1; r < n; r++) {
            const double f = h[r * n + i] / h[i * n + i];
            for (size_t k = i; k < n; k++)
                h[r * n + k] -= f * h[i * n + k];
            b[r] -= f * b[i];
        }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++)
            b[i] -= h[i * n + k] * b[k];
        b[i] /= h[i * n + i];
    }
}

/* The change that is wanted of a row w [cols], into y [cols], for inputs x that have become z,
 * of which the share is restored.
 * has: the stream to which its outputs are added, by whose size squared tokens count the less,
 * and which lacks `lacks` [TOKENS] there; NULL both: they are not added to it. */
static void change_of(double *y, const float *w, const float *x, const float *z, double share,
                      const float *lacks, const float *has, size_t cols)
{
    double *h = calloc(cols * cols, sizeof *h), trace = 0;

    memset(y, 0, cols * sizeof *y);
    for (size_t t = 0; t < TOKENS; t++) {
        const float *a = x + t * cols, *b = z + t * cols;
        double lost = lacks ? (double)RBE_COMPENSATE_STREAM * (double)lacks[t] : 0;
        for (size_t k = 0; k < cols; k++)
            lost += share * (double)w[k] * ((double)a[k] - (double)b[k]);
        double weight = has ? 0 : 1;
        for (size_t i = 0; has && i < EMBD; i++)
            weight += (double)has[t * EMBD + i] * (double)has[t * EMBD + i] / EMBD;
        for (size_t i = 0; i < cols; i++) {
            y[i] += lost * (double)b[i] / weight;
            for (size_t k = 0; k < cols; k++)
                h[i * cols + k] += (double)b[i] * (double)b[k] / weight;
        }
    }
    for (size_t i = 0; i < cols; i++)
        trace += h[i * cols + i];
    for (size_t i = 0; i < cols; i++)
        h[i * cols + i] += DAMPING * trace / (double)cols;
    eliminate(h, y, cols);
    free(h);
}

/* --- targets ------------------------------------------------------------------------------ */

static const struct rbe_convert_entry *entry_of(const struct rbe_convert *c, enum rbe_role role,
                                                int layer)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->entries[i].tensor->role == role && c->entries[i].layer == layer)
            return &c->entries[i];
    return NULL;
}

enum { SOME = 3 };              /* rows that are compared */

static void check_targets(const struct rbe_convert *c, struct rbe_compensation *k,
                          const struct rbe_source *s, enum rbe_role role, int layer)
{
    const struct rbe_convert_entry *r = entry_of(c, role, layer);
    const struct rbe_source_tensor *t = r->tensor;
    const bool adds = role == RBE_ROLE_ATTN_OUT || role == RBE_ROLE_FFN_DOWN;
    const double share = rbe_profile_compensate_share(c->o.profile);
    float *x = inputs_of(dir, t->weight_name, t->cols), *had = NULL, *has = NULL;
    float *z = inputs_of(out, t->weight_name, t->cols), *w = NULL;
    double *y = malloc(t->cols * sizeof *y), error = 0, power = 0, all = 0;
    struct rbe_diag d = {""};

    if (adds) {
        const char *name = entry_of(c, RBE_ROLE_ATTN_OUT, 0)->tensor->weight_name;
        float *a = role == RBE_ROLE_FFN_DOWN ? inputs_of(dir, name, EMBD) : NULL;
        float *b = role == RBE_ROLE_FFN_DOWN ? inputs_of(out, name, EMBD) : NULL;
        had = stream_of(c->source, a);
        has = stream_of(s, b);
        free(a);
        free(b);
    }
    CHECK(!rbe_compensation_prepare(k, r, &d));
    CHECK(!rbe_source_read(&w, c->source, t, &d));
    for (size_t i = 0; i < SOME; i++) {
        const size_t row = i * (t->rows - 1) / (SOME - 1);
        const float *got = rbe_compensation_targets(k, r) + row * t->cols;
        float *lacks = adds ? malloc(TOKENS * sizeof *lacks) : NULL;
        for (size_t n = 0; adds && n < TOKENS; n++)
            lacks[n] = had[n * EMBD + row] - has[n * EMBD + row];
        change_of(y, w + row * t->cols, x, z, share, lacks, has, t->cols);
        free(lacks);
        for (size_t n = 0; n < t->cols; n++) {
            const double moved = (double)got[n] - (double)w[row * t->cols + n];
            error += (moved - y[n]) * (moved - y[n]);
            power += y[n] * y[n];
            all += (double)w[row * t->cols + n] * (double)w[row * t->cols + n];
        }
    }
    printf("%s: moves by %.4f of its size, %.5f of that differs\n", t->weight_name,
           sqrt(power / all), sqrt(error / power));
    CHECK(power > 1e-4 * all && sqrt(error / power) < 0.02);
    free(x);
    free(z);
    free(w);
    free(had);
    free(has);
    free(y);
}

/* Of the model in `dir`; returns what is left open. */
static struct rbe_convert *convert(struct rbe_source *s, const struct rbe_profile *p,
                                   const struct rbe_calibration *calibration, size_t compensate)
{
    const struct rbe_convert_options o = {.profile = p, .search = RBE_SEARCH_FAST, .pool = pool,
                                          .calibration = calibration,
                                          .compensate = compensate};
    struct rbe_convert *c = NULL;
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_convert_plan(&c, s, &o, &d) && !rbe_convert_run(c, out, &d)))
        printf("     %s\n", d.text);
    return c;
}

/* Relative error of predictions on tokens that were not calibrated on. */
static double difference(void)
{
    static float want[CTX * VOCAB], got[CTX * VOCAB];
    double error = 0, power = 0;
    uint32_t other[CTX];

    for (uint32_t i = 0; i < CTX; i++)
        other[i] = (i * 2654435761U + 77) % VOCAB;
    check_predictions(want, dir, other, CTX, VOCAB);
    check_predictions(got, out, other, CTX, VOCAB);
    for (size_t i = 0; i < CTX * VOCAB; i++) {
        error += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        power += (double)want[i] * (double)want[i];
    }
    return sqrt(error / power);
}

static void check_model(const struct rbe_model_config *config, const char *text)
{
    const struct rbe_calibration_how how = {.metric = RBE_METRIC_FISHER};
    struct rbe_calibration *calibration = NULL;
    struct rbe_compensation *k = NULL;
    struct rbe_profile *p = NULL;
    struct rbe_source *s = NULL, *encoded = NULL;
    struct rbe_convert *c = NULL;
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_synth(dir, config, RBE_DT_F32, 3, &d) && !rbe_source_open(&s, dir, &d) &&
               !rbe_profile_parse(&p, text, "t", &d) &&
               !rbe_calibrate_fisher(&calibration, how, s, tokens, TOKENS, pool, NULL, &d))) {
        printf("     %s\n", d.text);
        goto out;
    }
    c = convert(s, p, calibration, 0);
    const double without = difference();
    rbe_convert_close(&c);
    c = convert(s, p, calibration, TOKENS);
    const double with = difference();
    printf("%s: predictions err by %.4f without, %.4f with\n", rbe_arch_at(config->arch)->title,
           without, with);
    CHECK(with < 0.97 * without);
    if (!CHECK(c && rbe_convert_compensated(c) == TOKENS && !c->compensation &&
               !rbe_compensation_open(&k, c, TOKENS, &d) &&
               !rbe_source_open_encoded(&encoded, out, true, &d)))
        goto out;
    check_targets(c, k, encoded, RBE_ROLE_QKV, 0);
    check_targets(c, k, encoded, RBE_ROLE_ATTN_OUT, 0);
    check_targets(c, k, encoded, RBE_ROLE_FFN_DOWN, 0);
    check_targets(c, k, encoded, RBE_ROLE_QKV, 1);
    check_targets(c, k, encoded, RBE_ROLE_FFN_UP, 1);
out:
    rbe_compensation_close(&k);
    rbe_convert_close(&c);
    rbe_calibration_close(&calibration);
    rbe_profile_close(&p);
    rbe_source_close(&s);
    rbe_source_close(&encoded);
}

/* Parts of a file cannot wait for one another. */
static void check_shards(void)
{
    struct rbe_convert_options o = {.search = RBE_SEARCH_FAST, .compensate = TOKENS,
                                    .shard_count = 2};
    struct rbe_profile *p = NULL;
    struct rbe_source *s = NULL;
    struct rbe_convert *c = NULL;
    struct rbe_diag d = {""};

    CHECK(!rbe_profile_parse(&p, "all codec=int8\n", "t", &d) && !rbe_source_open(&s, dir, &d));
    o.profile = p;
    CHECK(rbe_convert_plan(&c, s, &o, &d) == RBE_ERR_ARG && !c &&
          strstr(d.text, "--compensate 0"));
    rbe_profile_close(&p);
    rbe_source_close(&s);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);

    rbe_cpu_init();
    for (size_t i = 0; i < TOKENS; i++)
        tokens[i] = check_below(&rng, VOCAB);
    if (!CHECK(mkdtemp(dir) && !rbe_pool_open(&pool, 2, NULL)))
        return check_done();
    char *const files[] = {rbe_path_join(dir, "out.rbe"), rbe_path_join(dir, "config.json"),
                           rbe_path_join(dir, "model.safetensors")};
    out = files[0];
    check_model(&shapes[0], "other codec=f32\nwpe codec=f32\nall codec=seed block=20\n"
                            "wte codec=int4\n");
    check_shards();
    CHECK(!unlink(files[1]) && !unlink(files[2]));
    check_model(&shapes[1], "compensate-share: 0.5\nother codec=f32\n"
                            "all codec=seed block=20\nwte codec=int4 center=on\n");
    for (int i = 0; i < 3; i++) {
        CHECK(!unlink(files[i]));
        free(files[i]);
    }
    CHECK(!rmdir(dir));
    rbe_pool_close(&pool);
    return check_done();
}

/*
 * check_model.c - the forward pass against an independent one, and against itself.
 *
 * SPDX-License-Identifier: MIT
 *
 * reference.json beside the shipped model holds logits and log-probabilities of a float64
 * forward pass by other code.  Every way through must agree with it: one token at a time,
 * the whole prompt at once, in batches of any size, with one thread and with several.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/data.h"
#include "model/dense.h"
#include "model/model.h"

enum { VOCAB = 8192, MAX_IDS = 64 };

struct prompt {
    uint32_t ids[MAX_IDS];
    size_t count;
    double next[MAX_IDS];       /* log p of ids[i + 1] after ids[0..i] */
    float last[VOCAB];
};

static struct prompt prompts[4];

static void load_reference(const char *folder)
{
    char *path = rbe_path_join(folder, "reference.json");
    json_t *ref = json_load_file(path, 0, NULL), *p, *v;
    size_t i, k;

    CHECK(json_array_size(json_object_get(ref, "prompts")) == 4);
    json_array_foreach(json_object_get(ref, "prompts"), i, p) {
        struct prompt *to = &prompts[i];
        json_array_foreach(json_object_get(p, "ids"), k, v)
            if (k < MAX_IDS)
                to->ids[to->count++] = (uint32_t)json_integer_value(v);
        json_array_foreach(json_object_get(p, "next_logprobs"), k, v)
            if (k < MAX_IDS)
                to->next[k] = json_number_value(v);
        CHECK(json_array_size(json_object_get(p, "last_logits")) == VOCAB);
        json_array_foreach(json_object_get(p, "last_logits"), k, v)
            if (k < VOCAB)
                to->last[k] = (float)json_number_value(v);
    }
    json_decref(ref);
    free(path);
}

static double worst(const float *a, const float *b, size_t n)
{
    double w = 0;

    for (size_t i = 0; i < n; i++) {
        const double e = fabs((double)a[i] - b[i]);
        w = e <= w ? w : e;     /* a NaN stays */
    }
    return w;
}

static double log_p(const float *row, uint32_t target)
{
    double sum = 0;

    for (size_t i = 0; i < VOCAB; i++)
        sum += exp((double)row[i] - (double)row[target]);
    return -log(sum);
}

static float logits[MAX_IDS * VOCAB], other[MAX_IDS * VOCAB];

/* All at once: every position's log-probability and the last logits. */
static double check_prefill(struct rbe_session *s, const struct prompt *p)
{
    struct rbe_diag d = {""};

    rbe_session_truncate(s, 0);
    if (!CHECK(!rbe_forward(s, p->ids, p->count, &d)))
        printf("     %s\n", d.text);
    CHECK(rbe_session_length(s) == p->count);
    CHECK(!rbe_logits(s, 0, p->count, logits, &d));
    for (size_t i = 0; i + 1 < p->count; i++)
        CHECK_NEAR(log_p(logits + i * VOCAB, p->ids[i + 1]), p->next[i], 2e-4);
    const double w = worst(logits + (p->count - 1) * VOCAB, p->last, VOCAB);
    CHECK_NEAR(w, 0, 2e-4);
    /* The last position alone must be the same row. */
    CHECK(!rbe_logits(s, RBE_LAST, 1, other, &d));
    CHECK_NEAR(worst(other, logits + (p->count - 1) * VOCAB, VOCAB), 0, 5e-5);
    return w;
}

/* One token at a time, through the cache. */
static double check_decode(struct rbe_session *s, const struct prompt *p)
{
    struct rbe_diag d;

    rbe_session_truncate(s, 0);
    for (size_t i = 0; i < p->count; i++) {
        CHECK(!rbe_forward(s, &p->ids[i], 1, &d));
        CHECK(!rbe_logits(s, RBE_LAST, 1, other, &d));
        /* The batch path left this position's logits. */
        CHECK_NEAR(worst(other, logits + i * VOCAB, VOCAB), 0, 1e-4);
        if (i + 1 < p->count)
            CHECK_NEAR(log_p(other, p->ids[i + 1]), p->next[i], 2e-4);
    }
    const double w = worst(other, p->last, VOCAB);
    CHECK_NEAR(w, 0, 2e-4);
    return w;
}

/* Long text, cut into batches of every awkward size: same last logits. */
static void check_batches(struct rbe_model *m, struct rbe_pool *pool, struct check_rng *rng)
{
    static const uint32_t batches[] = {512, 1, 7, 8, 64, 100, 127, 128, 129, 299, 300};
    enum { LENGTH = 300 };
    uint32_t ids[LENGTH];
    struct rbe_session *s;
    struct rbe_diag d;

    for (int i = 0; i < LENGTH; i++)
        ids[i] = check_below(rng, VOCAB);
    for (size_t k = 0; k < sizeof batches / sizeof batches[0]; k++) {
        const struct rbe_session_limits l = {.max_tokens = LENGTH, .max_batch = batches[k]};
        if (!CHECK(!rbe_session_open(&s, m, l, pool, &d)))
            return;
        CHECK(!rbe_forward(s, ids, LENGTH, &d));
        CHECK(rbe_session_length(s) == LENGTH);
        CHECK(!rbe_logits(s, RBE_LAST, 1, k ? other : logits, &d));
        if (k)
            CHECK_NEAR(worst(other, logits, VOCAB), 0, 2e-4);
        /* Back to the middle and on with other pieces: nothing of the end may remain. */
        rbe_session_truncate(s, 123);
        CHECK(rbe_session_length(s) == 123);
        CHECK(!rbe_forward(s, ids + 123, 50, &d) && !rbe_forward(s, ids + 173, 127, &d));
        CHECK(!rbe_logits(s, RBE_LAST, 1, other, &d));
        CHECK_NEAR(worst(other, logits, VOCAB), 0, 2e-4);
        rbe_session_close(&s);
        CHECK(!s);
    }
}

static void check_limits(struct rbe_model *m)
{
    const struct rbe_session_limits l = {.max_tokens = 10, .max_batch = 4, .max_logits = 2};
    uint32_t ids[20] = {0};
    struct rbe_session *s;
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_session_open(&s, m, l, NULL, &d)))
        return;
    CHECK(rbe_logits(s, RBE_LAST, 1, logits, &d) == RBE_ERR_ARG);       /* nothing yet */
    CHECK(!rbe_forward(s, ids, 0, &d) && rbe_session_length(s) == 0);
    CHECK(rbe_forward(s, ids, 11, &d) == RBE_ERR_ARG && rbe_session_length(s) == 0);
    CHECK(strstr(d.text, "11") && strstr(d.text, "10"));
    ids[3] = VOCAB;
    CHECK(rbe_forward(s, ids, 5, &d) == RBE_ERR_ARG && rbe_session_length(s) == 0);
    CHECK(strstr(d.text, "8192"));
    ids[3] = UINT32_MAX;
    CHECK(rbe_forward(s, ids, 5, &d) == RBE_ERR_ARG);
    ids[3] = 0;
    CHECK(!rbe_forward(s, ids, 6, &d) && rbe_session_length(s) == 6);   /* batches 4 and 2 */
    CHECK(!rbe_logits(s, 0, 2, logits, &d));
    CHECK(rbe_logits(s, 0, 3, logits, &d) == RBE_ERR_ARG);
    CHECK(rbe_logits(s, 2, 1, logits, &d) == RBE_ERR_ARG);
    CHECK(rbe_logits(s, 1, 2, logits, &d) == RBE_ERR_ARG);
    CHECK(rbe_logits(s, 0, 0, logits, &d) == RBE_ERR_ARG);
    CHECK(rbe_logits(s, RBE_LAST, 2, logits, &d) == RBE_ERR_ARG);
    CHECK(!rbe_forward(s, ids, 4, &d));
    CHECK(rbe_forward(s, ids, 1, &d) == RBE_ERR_ARG);
    rbe_session_truncate(s, 100);
    CHECK(rbe_session_length(s) == 10);
    rbe_session_truncate(s, 9);
    CHECK(!rbe_forward(s, ids, 1, &d));
    rbe_session_close(&s);

    /* More than the context is the context. */
    const struct rbe_session_limits wide = {.max_tokens = 100000};
    CHECK(rbe_session_bytes(m, wide) == rbe_session_bytes(m, (struct rbe_session_limits){0}));
    CHECK(rbe_session_bytes(m, l) < rbe_session_bytes(m, wide));
}

/* The tap must see each product's inputs, in order. */
struct seen {
    size_t calls, tokens;
    char names[64][64];
};

static void on_product(void *arg, const char *name, const float *x, size_t ldx, size_t count,
                       size_t cols)
{
    struct seen *s = arg;

    CHECK(ldx >= cols && x[(count - 1) * ldx + cols - 1] == x[(count - 1) * ldx + cols - 1]);
    CHECK(cols == 256 || (cols == 1024 && strstr(name, "mlp.c_proj")));
    if (s->calls < 64)
        snprintf(s->names[s->calls], sizeof s->names[0], "%s", name);
    s->calls++;
    s->tokens += count;
}

static void check_tap(struct rbe_model *m, struct rbe_pool *pool)
{
    struct rbe_session *s;
    struct seen seen = {0};
    struct rbe_diag d;

    CHECK(!rbe_session_open(&s, m, (struct rbe_session_limits){0}, pool, &d));
    rbe_session_tap(s, on_product, &seen);
    CHECK(!rbe_forward(s, prompts[0].ids, prompts[0].count, &d));
    CHECK(!rbe_logits(s, RBE_LAST, 1, logits, &d));
    CHECK(seen.calls == 49 && seen.tokens == 48 * prompts[0].count + 1);
    CHECK(!strcmp(seen.names[0], "h.0.attn.c_attn.weight"));
    CHECK(!strcmp(seen.names[1], "h.0.attn.c_proj.weight"));
    CHECK(!strcmp(seen.names[2], "h.0.mlp.c_fc.weight"));
    CHECK(!strcmp(seen.names[3], "h.0.mlp.c_proj.weight"));
    CHECK(!strcmp(seen.names[48], "wte.weight"));
    rbe_session_tap(s, NULL, NULL);
    CHECK(!rbe_forward(s, prompts[0].ids, 1, &d) && seen.calls == 49);
    rbe_session_close(&s);
}

/* The sum of any number of threads is the sum of one. */
static void check_threads(struct rbe_model *m)
{
    struct rbe_diag d;

    for (unsigned threads = 1; threads <= 3; threads++) {
        struct rbe_pool *pool;
        struct rbe_session *s;
        const struct rbe_session_limits l = {.max_logits = MAX_IDS};
        float *to = threads == 1 ? logits : other;
        CHECK(!rbe_pool_open(&pool, threads, &d));
        CHECK(!rbe_session_open(&s, m, l, pool, &d));
        for (size_t i = 0; i < prompts[0].count; i++)
            CHECK(!rbe_forward(s, &prompts[0].ids[i], 1, &d));
        CHECK(!rbe_logits(s, RBE_LAST, 1, to, &d));
        CHECK(threads == 1 || !memcmp(logits, other, VOCAB * sizeof *logits));
        rbe_session_close(&s);
        rbe_pool_close(&pool);
    }
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    char *folder = rbe_data_path("rbe-mini");
    struct rbe_diag d = {""};
    struct rbe_model *m;
    struct rbe_pool *pool;

    rbe_cpu_init();
    if (!CHECK(folder != NULL))
        return check_done();
    load_reference(folder);
    if (!CHECK(!rbe_model_open(&m, folder, &d))) {
        printf("     %s\n", d.text);
        return check_done();
    }
    CHECK(!rbe_pool_open(&pool, 2, &d));
    CHECK(rbe_model_config(m)->vocab == VOCAB && !rbe_model_is_rbe(m) && !rbe_model_label(m));
    CHECK(rbe_model_config_params(rbe_model_config(m)) * 2 < rbe_model_file_bytes(m));
    CHECK(!rbe_model_sha256(m) && !rbe_model_hash(m, &d) && strlen(rbe_model_sha256(m)) == 64);
    CHECK(rbe_model_bytes_per_token(m) == 4 * (12 * 12 * 256 * 256 + VOCAB * 256));
    for (int threads = 1; threads <= 2; threads++) {
        const struct rbe_session_limits l = {.max_logits = MAX_IDS};
        struct rbe_session *s;
        if (!CHECK(!rbe_session_open(&s, m, l, threads == 1 ? NULL : pool, &d)))
            continue;
        double batch = 0, single = 0;
        for (int i = 0; i < 4; i++) {
            batch = fmax(batch, check_prefill(s, &prompts[i]));
            single = fmax(single, check_decode(s, &prompts[i]));
        }
        printf("%d threads, %s: worst logit error %.2g in batches, %.2g token by token\n",
               threads, rbe_dense_name(), batch, single);
        rbe_session_close(&s);
    }
    check_batches(m, pool, &rng);
    check_limits(m);
    check_tap(m, pool);
    check_threads(m);
    rbe_pool_close(&pool);
    rbe_model_close(&m);
    CHECK(!m);
    free(folder);
    return check_done();
}

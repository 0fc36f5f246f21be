/*
 * check_llama.c - Llama models against values that other software found: small GGUF files of
 * every type, and a real one, by token ids.
 *
 * SPDX-License-Identifier: MIT
 *
 * Needs ../shared; check_layers.c tries the same passes without it.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/model.h"

enum { MAX_IDS = 64 };

static double log_p(const float *row, size_t vocab, uint32_t target)
{
    double sum = 0;

    for (size_t i = 0; i < vocab; i++)
        sum += exp((double)row[i] - (double)row[target]);
    return -log(sum);
}

/* The text of ids through the model in steps of `step`; returns the worst error of log_p. */
static double run(struct rbe_model *m, const json_t *want, size_t step, struct rbe_pool *pool)
{
    const json_t *ids = json_object_get(want, "ids"), *log_ps = json_object_get(want, "log_p");
    const json_t *last = json_object_get(want, "last_logits");
    const size_t n = json_array_size(ids), vocab = rbe_model_vocab(m);
    const struct rbe_session_limits l = {.max_tokens = MAX_IDS, .max_logits = MAX_IDS};
    float *logits = malloc(n * vocab * sizeof *logits);
    struct rbe_session *s = NULL;
    struct rbe_diag d = {""};
    uint32_t tokens[MAX_IDS];
    double worst = 0;

    if (!CHECK(n && n <= MAX_IDS) || !CHECK(!rbe_session_open(&s, m, l, pool, &d))) {
        printf("     %s\n", d.text);
        free(logits);
        return NAN;
    }
    for (size_t i = 0; i < n; i++)
        tokens[i] = (uint32_t)json_integer_value(json_array_get(ids, i));
    for (size_t i = 0; i < n; i += step) {
        const size_t k = n - i < step ? n - i : step;
        CHECK(!rbe_forward(s, tokens + i, k, &d));
        CHECK(!rbe_logits(s, 0, k, logits + i * vocab, &d));
    }
    for (size_t i = 0; i < json_array_size(log_ps); i++) {
        const double e = fabs(log_p(logits + i * vocab, vocab, tokens[i + 1]) -
                              json_number_value(json_array_get(log_ps, i)));
        worst = e <= worst ? worst : e;
    }
    for (size_t i = 0; i < json_array_size(last); i++)
        CHECK_NEAR(logits[(n - 1) * vocab + i], json_number_value(json_array_get(last, i)),
                   2e-4);
    rbe_session_close(&s);
    free(logits);
    return worst;
}

/* A file against one reference, or a list of them. */
static void check_file(const char *path, const json_t *want, struct rbe_pool *pool)
{
    struct rbe_model *m = NULL;
    struct rbe_diag d = {""};
    double worst = 0;

    if (access(path, R_OK)) {
        printf("SKIP no %s\n", path);
        return;
    }
    if (!CHECK(!rbe_model_open(&m, path, &d))) {
        printf("     %s\n", d.text);
        return;
    }
    for (size_t step = 1; step <= MAX_IDS; step *= MAX_IDS) {
        worst = fmax(worst, json_is_array(want) ? 0 : run(m, want, step, pool));
        for (size_t i = 0; i < json_array_size(want); i++)
            worst = fmax(worst, run(m, json_array_get(want, i), step, pool));
    }
    CHECK(!rbe_model_hash(m, &d));
    const char *sha256 = json_string_value(json_object_get(want, "sha256"));
    CHECK(!sha256 || !strcmp(sha256, rbe_model_sha256(m)));
    const char *name = strrchr(path, '/');
    printf("%s: worst error of a log-probability %.2g\n", name ? name + 1 : path, worst);
    CHECK_NEAR(worst, 0, 1e-4);
    rbe_model_close(&m);
}

static json_t *reference(const char *shared, const char *folder)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s/reference.json", shared, folder);
    json_t *j = json_load_file(path, JSON_ALLOW_NUL, NULL);
    if (!j)
        printf("SKIP no %s\n", path);
    return j;
}

int main(void)
{
    static const char tiny[] = "data/gguf", real[] = "data/models/smollm2-135m-instruct";
    const char *shared = getenv("RBE_SHARED");
    struct rbe_pool *pool = NULL;
    struct rbe_diag d = {""};
    char path[512];

    rbe_cpu_init();
    shared = shared ? shared : "../shared";
    CHECK(!rbe_pool_open(&pool, 2, &d));
    json_t *all = reference(shared, tiny), *want;
    const char *name;
    json_object_foreach(all, name, want) {
        snprintf(path, sizeof path, "%s/%s/%s", shared, tiny, name);
        check_file(path, want, pool);
    }
    json_decref(all);
    if ((all = reference(shared, real))) {
        snprintf(path, sizeof path, "%s/%s/SmolLM2-135M-Instruct.Q4_1.gguf", shared, real);
        check_file(path, json_object_get(all, "prompts"), pool);
    }
    json_decref(all);
    rbe_pool_close(&pool);
    return check_done();
}

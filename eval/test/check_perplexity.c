/*
 * check_perplexity.c - the embedded model's perplexity against an independent implementation.
 *
 * SPDX-License-Identifier: MIT
 *
 * reference.json beside the model has the -log p of the first windows of P1 from a float64
 * forward pass, and the whole perplexities of P1 and P3.  The whole text takes a minute (the
 * job `reference` does it); these windows find what would go wrong there.  Windows of P3 are
 * compared with the oracle of gpt2/test.
 */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "eval/comprehension.h"
#include "eval/divergence.h"
#include "eval/perplexity.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/data.h"
#include "model/test/oracle.h"

enum { WINDOWS = 4 };

static json_t *reference(const char *folder, const char *protocol)
{
    char *path = rbe_path_join(folder, "reference.json");
    json_t *r = path ? json_load_file(path, 0, NULL) : NULL;

    free(path);
    json_t *of = json_incref(json_object_get(r, protocol));
    json_decref(r);
    return of;
}

static void check_first_windows(struct rbe_runner *r, const struct rbe_windows *w,
                                const json_t *want, double *nll, double *scored)
{
    const json_t *first = json_object_get(want, "first_windows_nll");
    struct rbe_diag d = {""};
    double *scratch = calloc(w->context, sizeof *scratch);

    CHECK((json_int_t)w->count == json_integer_value(json_object_get(want, "windows")));
    CHECK(json_array_size(first) >= WINDOWS);
    for (size_t i = 0; i < WINDOWS && scratch; i++) {
        CHECK(!rbe_perplexity_window(r, w, i, scratch, &nll[i], &scored[i], &d));
        /* A float32 pass against a float64 one: the acceptance bound is 0.1 %; what is seen
         * is below 1e-5. */
        CHECK_NEAR(nll[i] / scored[i], json_number_value(json_array_get(first, i)), 2e-4);
        CHECK(scored[i] == 511);
    }
    free(scratch);
}

/* Sum of -log p of a window's scored tokens, in double from the checkpoint. */
static double oracle_nll(const struct rbe_safetensors *file, const struct rbe_model_config *c,
                         const struct rbe_windows *w, size_t i)
{
    const struct rbe_window *x = &w->w[i];
    const uint32_t *tokens = w->tokens + x->start;
    struct oracle o;
    double nll = 0;

    oracle_run(&o, c, file, tokens, x->length - 1);
    double *wte = oracle_tensor(&o, "wte.weight");
    for (uint32_t t = x->first; t < x->length; t++) {
        const double *h = o.last + (t - 1) * c->n_embd;
        double sum = 0, right = 0;
        for (uint32_t k = 0; k < c->vocab; k++) {
            double y = 0;
            for (uint32_t e = 0; e < c->n_embd; e++)
                y += h[e] * wte[(size_t)k * c->n_embd + e];
            sum += exp(y);      /* logits of a trained model are far from overflow */
            right = k == tokens[t] ? y : right;
        }
        nll += log(sum) - right;
    }
    free(wte);
    oracle_close(&o);
    return nll;
}

/* P3: what is scored of the whole text, and the first windows, shorter ones for the oracle's
 * sake. */
static void check_p3(struct rbe_runner *r, const struct rbe_text *text,
                     const struct rbe_tokenizer *t, const char *folder)
{
    enum { CONTEXT = 96 };
    json_t *want = reference(folder, "P3");
    struct rbe_safetensors *file = NULL;
    struct rbe_windows w;
    struct rbe_diag d = {""};
    double scratch[CONTEXT], nll, scored;
    char *path = rbe_path_join(folder, "model.safetensors");

    if (CHECK(!rbe_windows_make(&w, RBE_P3, text, t, r->n_ctx, 0, &d))) {
        CHECK((json_int_t)w.text_tokens == json_integer_value(json_object_get(want, "tokens")));
        CHECK((json_int_t)w.count * 255 == json_integer_value(json_object_get(want, "scored")));
        rbe_windows_free(&w);
    }
    if (CHECK(!rbe_safetensors_open(&file, path, &d)) &&
        CHECK(!rbe_windows_make(&w, RBE_P3, text, t, r->n_ctx, CONTEXT, &d))) {
        for (size_t i = 0; i < 2; i++) {
            CHECK(!rbe_perplexity_window(r, &w, i, scratch, &nll, &scored, &d));
            CHECK(scored == CONTEXT / 2 - 1);
            const double exact = oracle_nll(file, rbe_model_config(r->model), &w, i);
            CHECK_NEAR(nll / scored, exact / scored, 2e-4);
        }
        rbe_windows_free(&w);
    }
    rbe_safetensors_close(&file);
    free(path);
    json_decref(want);
}

static json_t *record(const struct rbe_windows *w, const char *model, const double *nll,
                      const double *scored, size_t first, size_t n, double seconds)
{
    json_t *r = json_pack("{s:s, s:{s:s}, s:s}", "kind", "perplexity", "model", "name", model,
                          "text", "t");

    CHECK(!rbe_perplexity_describe(r, w));
    CHECK(!rbe_perplexity_summarise(r, nll, scored, n, first, seconds, 100));
    return r;
}

static double end_of(const json_t *r, const char *key, size_t i)
{
    return json_number_value(json_array_get(json_object_get(r, key), i));
}

/* Two windows of 4 and 6 tokens, all scored, 10 nats each: 20 over 5 words and 40 bytes. */
static void check_words(void)
{
    const struct rbe_windows w = {.protocol = RBE_P4, .context = 8, .stride = 8, .count = 2,
                                  .text_tokens = 10, .pages = 1, .words = 5, .space_words = 4,
                                  .bytes = 40};
    const double nll[2] = {10, 10}, n[2] = {4, 6};
    json_t *r = record(&w, "base", nll, n, 0, 2, 1);
    json_t *part = record(&w, "base", nll, n, 0, 1, 1);

    CHECK(json_is_true(json_object_get(r, "complete")));
    CHECK_NEAR(rbe_number_at(r, "word_perplexity"), exp(4), 1e-12);
    CHECK_NEAR(rbe_number_at(r, "white_space_word_perplexity"), exp(5), 1e-10);
    CHECK_NEAR(rbe_number_at(r, "byte_perplexity"), exp(0.5), 1e-12);
    CHECK_NEAR(rbe_number_at(r, "bits_per_byte"), 0.5 / log(2), 1e-12);
    /* Of the first window alone: 2.5 nats a token for all ten tokens. */
    CHECK_NEAR(rbe_number_at(part, "word_perplexity"), exp(5), 1e-10);
    json_decref(r);
    json_decref(part);
}

/* Changes of 0.01 and 0.03 nats a token in two windows of one size: a quarter of the draws has
 * only the first, a quarter only the second: those are the ends. */
static void check_interval(const struct rbe_windows *w)
{
    const double a[2] = {511, 1022}, b[2] = {516.11, 1037.33}, n[2] = {511, 511};
    struct rbe_diag d = {""};
    json_t *x = record(w, "base", a, n, 0, 2, 1.5), *y = record(w, "other", b, n, 0, 2, 6);
    json_t *pair = json_object();

    CHECK(!rbe_perplexity_pair(pair, x, y, 100, &d));
    CHECK_NEAR(rbe_number_at(pair, "percent_change"), 100 * (exp(0.02) - 1), 1e-9);
    CHECK_NEAR(end_of(pair, "percent_change_ci95", 0), 100 * (exp(0.01) - 1), 1e-9);
    CHECK_NEAR(end_of(pair, "percent_change_ci95", 1), 100 * (exp(0.03) - 1), 1e-9);
    CHECK_NEAR(rbe_number_at(pair, "nll_change_se"), 0.01, 1e-12);
    CHECK_NEAR(rbe_number_at(pair, "time_ratio"), 4, 1e-12);
    CHECK_NEAR(end_of(x, "perplexity_ci95", 0), exp(1), 1e-12);
    CHECK_NEAR(end_of(x, "perplexity_ci95", 1), exp(2), 1e-12);
    const json_t *how = json_object_get(x, "bootstrap");
    CHECK(rbe_number_at(how, "resamples") == 100);
    json_decref(pair);
    json_decref(x);
    json_decref(y);
}

/* By hand: windows of 511 tokens with sums 511 and 1022: mean 1.5; +5.11 each: +0.01. */
static void check_records(const struct rbe_windows *w)
{
    const double a[2] = {511, 1022}, b[2] = {516.11, 1027.11}, n[2] = {511, 511};
    struct rbe_diag d = {""};
    json_t *x = record(w, "base", a, n, 0, 2, 1.5);
    json_t *y = record(w, "other", b, n, 0, 2, 6);
    json_t *pair = json_object();

    CHECK_NEAR(rbe_number_at(x, "nll_mean"), 1.5, 1e-12);
    CHECK_NEAR(rbe_number_at(x, "perplexity"), exp(1.5), 1e-9);
    CHECK_NEAR(rbe_number_at(x, "nll_se"), 0.5, 1e-12);       /* two means, 1 and 2 */
    CHECK_NEAR(rbe_number_at(x, "bits_per_byte"), 1.5 * 353855 / 1290590 / log(2), 1e-9);
    CHECK_NEAR(rbe_number_at(x, "byte_perplexity"), exp(1.5 * 353855 / 1290590), 1e-9);
    CHECK_NEAR(rbe_number_at(x, "word_perplexity"), exp(1.5 * 353855 / 241211), 1e-6);
    CHECK(json_is_false(json_object_get(x, "complete")));
    CHECK(!rbe_perplexity_pair(pair, x, y, 100, &d));
    CHECK_NEAR(rbe_number_at(pair, "nll_change"), 0.01, 1e-12);
    CHECK_NEAR(rbe_number_at(pair, "percent_change"), 100 * (exp(0.01) - 1), 1e-9);
    CHECK_NEAR(rbe_number_at(pair, "nll_change_se"), 0, 1e-12);
    /* Samples survive being written and read. */
    char *text = json_dumps(x, 0);
    json_t *back = json_loads(text, 0, NULL);
    double *nll, *scored;
    size_t count;
    CHECK(!rbe_perplexity_samples(back, &nll, &scored, &count, &d) && count == 2);
    json_t *again = record(w, "base", nll, scored, 0, count, 1.5);
    CHECK(json_equal(again, x));
    free(nll);
    free(scored);
    free(text);
    json_decref(again);
    json_decref(back);
    /* Other windows: no pair. */
    json_t *z = record(w, "other", b, n, 5, 2, 1);
    CHECK(rbe_perplexity_pair(pair, x, z, 100, &d) == RBE_ERR_MISMATCH);
    json_decref(z);
    json_decref(pair);
    json_decref(x);
    json_decref(y);
}

/* A model against itself: nothing diverges, and the -log p are those of the window. */
static void check_self_divergence(struct rbe_runner *r, const struct rbe_windows *w,
                                  const double *nll)
{
    struct rbe_divergence v;
    struct rbe_diag d = {""};
    struct rbe_runner both[2] = {r[0], r[0]};

    CHECK(!rbe_divergence_init(&v, 1, &d));
    CHECK(!rbe_divergence_window(both, 2, w, 0, 0, &v, NULL, &d));
    CHECK(v.sum[RBE_DIV_TOKENS][0] == 511 && v.sum[RBE_DIV_TOP1][0] == 511);
    CHECK(v.sum[RBE_DIV_DP2][0] == 0 && v.max_kl < 1e-6);
    CHECK_NEAR(v.sum[RBE_DIV_NLL_BASE][0], nll[0], 1e-9);
    rbe_divergence_free(&v);
}

/* Scores with a shared prefix are those without; they are sums of the token's -log p. */
static void check_scorer(struct rbe_runner *r, const struct rbe_tokenizer *t)
{
    struct rbe_scorer s;
    struct rbe_choice a, b;
    struct rbe_diag d = {""};
    double fresh, again, other;
    bool greedy;

    CHECK(!rbe_choice_encode(&a, "The river rises in the mountains and", " flows", t, 512, &d));
    CHECK(!rbe_choice_encode(&b, "The river rises in the mountains and", " sings", t, 512, &d));
    CHECK(a.characters == 5 && a.first < a.count);
    CHECK(!rbe_scorer_open(&s, r, &d));
    CHECK(!rbe_score(&s, &b, &other, &greedy, &d));
    CHECK(!rbe_score(&s, &a, &again, &greedy, &d));
    CHECK(s.skipped >= a.first - 1);
    s.held_count = 0;
    CHECK(!rbe_score(&s, &a, &fresh, &greedy, &d));
    CHECK_NEAR(again, fresh, 1e-4);
    CHECK(fresh > other);
    /* reference.json: " fl" and "ows" are the last two tokens of the first prompt. */
    CHECK_NEAR(fresh, -4.947026302 - 0.148087160, 2e-3);
    rbe_scorer_close(&s);
    free(a.tokens);
    free(b.tokens);
}

/* An interrupt breaks a window off, on lanes as the evaluation has them. */
static void check_broken_off(const struct rbe_runner *r, const struct rbe_windows *w)
{
    struct rbe_runner lane;
    struct rbe_diag d = {""};
    double scratch[1024], nll, scored;

    if (!CHECK(!rbe_runner_share(&lane, r, 8, &d)))
        return;
    CHECK(!rbe_runner_forward(&lane, 0, w->tokens, 16, &d));
    rbe_catch_interrupt();
    rbe_interrupt_grace = 0;
    raise(SIGTERM);
    CHECK(rbe_perplexity_window(&lane, w, 0, scratch, &nll, &scored, &d) ==
          RBE_ERR_INTERRUPTED);
    rbe_clear_interrupt();
    CHECK(!rbe_runner_forward(&lane, 0, w->tokens, 16, &d));
    raise(SIGTERM);
    CHECK(rbe_runner_nll(&lane, 0, 16, w->tokens + 1, scratch, NULL, &d) ==
          RBE_ERR_INTERRUPTED);
    rbe_clear_interrupt();
    rbe_interrupt_grace = 0.7;
    rbe_runner_close(&lane);
}

int main(void)
{
    char *folder = rbe_data_path("rbe-mini"), *path = rbe_data_path("wiki.test.raw");
    struct rbe_diag d = {""};
    struct rbe_pool *pool = NULL;
    struct rbe_tokenizer *t = NULL;
    struct rbe_runner r = {0};
    struct rbe_windows w = {0};
    struct rbe_text text = {0};
    double nll[WINDOWS], scored[WINDOWS];

    rbe_cpu_init();
    if (!CHECK(folder && path) || !CHECK(!rbe_pool_open(&pool, 0, &d)) ||
        !CHECK(!rbe_runner_open(&r, folder, 100, RBE_KV_DEFAULT, pool, &d)) ||
        !CHECK(!rbe_tokenizer_open(&t, folder, &d)) ||
        !CHECK(!rbe_text_open(&text, path, &d)) ||
        !CHECK(!rbe_windows_make(&w, RBE_P1, &text, t, r.n_ctx, 0, &d))) {
        printf("%s\n", d.text);
        return check_done();
    }
    json_t *want = reference(folder, "P1");
    check_first_windows(&r, &w, want, nll, scored);
    json_decref(want);
    check_p3(&r, &text, t, folder);
    check_records(&w);
    check_words();
    check_interval(&w);
    check_self_divergence(&r, &w, nll);
    check_broken_off(&r, &w);
    check_scorer(&r, t);
    rbe_windows_free(&w);
    rbe_text_close(&text);
    rbe_tokenizer_close(&t);
    rbe_runner_close(&r);
    rbe_pool_close(&pool);
    free(folder);
    free(path);
    return check_done();
}

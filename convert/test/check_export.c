/*
 * check_export.c - exported weights are those that the model computes with, in both formats;
 * what cannot be exported leaves nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "convert/convert.h"
#include "convert/export.h"
#include "kernels/cpu.h"
#include "kernels/f16.h"
#include "kernels/kernel.h"
#include "kernels/test/check.h"
#include "model/data.h"
#include "model/model.h"
#include "model/synth.h"
#include "rbe/gguf.h"

static char dir[] = "/tmp/rbe-check-export-XXXXXX";

enum { WIDTH = 64 };

/* An inner width that is not 4 n_embd, so that no shape is taken for another. */
static const struct rbe_model_config config = {.vocab = 96, .n_ctx = 16, .n_embd = WIDTH,
                                              .n_layer = 2, .n_head = 2, .n_inner = 192,
                                              .ln_eps = 1e-5F, .eos = 95};

static char *in_dir(const char *name)
{
    char *path = rbe_path_join(dir, name);

    if (!path)
        abort();
    return path;
}

static bool open_source(struct rbe_source **s, const char *path)
{
    struct rbe_diag d = {""};
    const bool ok = CHECK(!rbe_source_open_head(s, path, &d) && !rbe_source_find_all(*s, &d));

    if (!ok)
        printf("     %s: %s\n", path, d.text);
    return ok;
}

static float *values(const struct rbe_source *s, const struct rbe_source_tensor *t)
{
    struct rbe_diag d = {""};
    float *x = NULL;

    if (!CHECK(!rbe_source_read(&x, s, t, &d)))
        printf("     %s\n", d.text);
    return x;
}

/* Rounding to F16 moves a value by at most half of its last digit. */
static bool within(const float *got, const float *want, size_t n, bool f16)
{
    for (size_t i = 0; i < n; i++)
        if (f16 ? !(fabsf(got[i] - want[i]) <= fabsf(want[i]) * 0x1p-11F + 0x1p-25F)
                : memcmp(&got[i], &want[i], sizeof *got) != 0)
            return false;
    return true;
}

/* --- the two formats ---------------------------------------------------------------------- */

static bool export(const struct rbe_source *s, const char *out, bool gguf, bool wide,
                   const char *tokenizer, struct rbe_export_counts *n)
{
    const struct rbe_export_options o = {.gguf = gguf, .wide = wide, .tokenizer = tokenizer,
                                         .name = "a model"};
    struct rbe_diag d = {""};
    const bool ok = CHECK(!rbe_export(n, s, out, &o, &d));

    if (!ok)
        printf("     %s\n", d.text);
    return ok;
}

static void check_folder(const struct rbe_source *s, const char *path, bool wide)
{
    struct rbe_source *again = NULL;

    if (!open_source(&again, path))
        goto out;
    CHECK(again->count == s->count && again->config.n_inner == s->config.n_inner &&
          again->config.ln_eps == s->config.ln_eps && again->config.eos == s->config.eos);
    for (size_t i = 0; i < s->count; i++) {
        const struct rbe_source_tensor *t = &s->tensors[i];
        const struct rbe_source_tensor *u = rbe_source_find(again, t->name);
        float *want = values(s, t), *got = u ? values(again, u) : NULL;
        const bool exact = wide || (t->tensor && t->tensor->dtype == RBE_DT_F16);

        CHECK(want && got && within(got, want, (size_t)t->rows * t->cols, !exact));
        CHECK(u && u->tensor->dtype == (wide ? RBE_DT_F32 : RBE_DT_F16));
        free(want);
        free(got);
    }
out:
    rbe_source_close(&again);
}

/* Of the shipped tokenizer: all but the last are words. */
static void check_words(const struct rbe_gguf *g, uint32_t vocab, uint32_t eos)
{
    static const char end[] = "<|endoftext|>";
    struct rbe_gguf_text *text = NULL;
    struct rbe_diag d = {""};
    int32_t *type = NULL;
    size_t n = 0, types = 0, others = 0;

    CHECK(!rbe_gguf_strings(&text, &n, g, "tokenizer.ggml.tokens", &d) && n == vocab);
    CHECK(!rbe_gguf_i32s(&type, &types, g, "tokenizer.ggml.token_type", &d) && types == vocab);
    if (n == vocab && types == vocab) {
        for (size_t i = 0; i < n; i++)
            others += type[i] != 1;
        CHECK(others == 1 && type[eos] == 3 && text[eos].n == strlen(end) &&
              !memcmp(text[eos].s, end, strlen(end)));
        /* A blank, as byte-level BPE writes it. */
        CHECK(text[262].n == 5 && !memcmp(text[262].s, "\xC4\xA0the", 5));
    }
    free(text);
    free(type);
}

static void check_file(const struct rbe_source *s, const char *path, bool wide, bool tokenizer)
{
    const char *const type = rbe_arch_at(s->config.arch)->type;
    struct rbe_source *again = NULL;
    struct rbe_diag d = {""};
    const struct rbe_gguf *g;
    char *arch = NULL;
    uint32_t n = 0;

    if (!open_source(&again, path))
        return;
    g = again->gguf;
    CHECK(rbe_gguf_count(g) == s->count && again->count == s->count);
    CHECK(!rbe_gguf_string(&arch, g, "general.architecture", &d) && !strcmp(arch, type));
    CHECK(again->config.n_layer == s->config.n_layer &&
          again->config.n_ctx == s->config.n_ctx &&
          again->config.n_inner == s->config.n_inner && again->config.eos == s->config.eos &&
          again->config.n_head == s->config.n_head && again->config.n_kv == s->config.n_kv &&
          again->config.ln_eps == s->config.ln_eps && again->config.head == s->config.head &&
          again->config.rope_base == s->config.rope_base);
    CHECK(!rbe_gguf_u32(&n, g, "general.file_type", &d) && n == !wide);
    CHECK(!rbe_gguf_u32(&n, g, "tokenizer.ggml.eos_token_id", &d) && n == s->config.eos);
    if (tokenizer)
        check_words(g, s->config.vocab, s->config.eos);
    else
        CHECK(!rbe_gguf_value(g, "tokenizer.ggml.model"));
    for (size_t i = 0; i < s->count; i++) {
        const struct rbe_source_tensor *t = &s->tensors[i];
        const struct rbe_gguf_tensor *u = rbe_gguf_find(g, t->gguf_name);
        const bool f16 = !wide && t->matrix;
        float *want = values(s, t), *got = values(again, &again->tensors[i]);

        if (!CHECK(u && u->rows == t->rows && u->cols == t->cols && u->dims == t->dims &&
                   u->type == (f16 ? RBE_GT_F16 : RBE_GT_F32)))
            printf("     %s\n", t->gguf_name);
        else
            CHECK(want && got && within(got, want, (size_t)t->rows * t->cols, f16));
        free(want);
        free(got);
    }
    free(arch);
    rbe_source_close(&again);
}

/* Both formats, both types; the folder of F32 stays, its path in *wide_folder. */
static void check_formats(const char *path, const char *tokenizer, char **wide_folder)
{
    struct rbe_export_counts n;
    struct rbe_source *s = NULL;

    *wide_folder = NULL;
    if (!open_source(&s, path))
        goto out;
    for (int wide = 0; wide < 2; wide++) {
        char *folder = in_dir(wide ? "wide" : "half"), *file = in_dir("one.gguf");

        if (export(s, folder, false, wide, tokenizer, &n)) {
            check_folder(s, folder, wide);
            CHECK(n.values == rbe_model_config_params(&s->config) &&
                  n.f16 == (wide ? 0 : n.values) && n.lost <= n.rounded && n.rounded <= n.f16);
            if (!s->container && !wide && s->tensors[0].tensor->dtype == RBE_DT_F16)
                CHECK(!n.rounded);
        }
        if (export(s, file, true, wide, tokenizer, &n))
            check_file(s, file, wide, tokenizer != NULL);
        unlink(file);
        if (wide) {
            *wide_folder = folder;
            folder = NULL;
        }
        free(folder);
        free(file);
    }
out:
    rbe_source_close(&s);
}

static void clear(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s/*", dir);
    CHECK(!system(command));
}

/* --- outputs ------------------------------------------------------------------------------ */

/* Log-probabilities after each of some tokens; NULL when that failed. */
static double *predictions(const char *path, size_t count)
{
    struct rbe_session *s = NULL;
    struct rbe_model *m = NULL;
    struct rbe_diag d = {""};
    uint32_t ids[16];
    float *logits = NULL;
    double *out = NULL;

    if (!CHECK(!rbe_model_open(&m, path, &d))) {
        printf("     %s\n", d.text);
        return NULL;
    }
    const struct rbe_session_limits l = {.max_batch = 16, .max_logits = 16,
                                         .kv_cache = RBE_KV_F32};
    const size_t vocab = rbe_model_vocab(m);
    rbe_act_choose_bits(16);
    for (size_t i = 0; i < count; i++)
        ids[i] = (uint32_t)((i * 7919 + 5) % vocab);
    logits = malloc(count * vocab * sizeof *logits);
    out = malloc(count * vocab * sizeof *out);
    if (!CHECK(!rbe_session_open(&s, m, l, NULL, &d) && !rbe_forward(s, ids, count, &d) &&
               !rbe_logits(s, 0, count, logits, &d)))
        printf("     %s\n", d.text);
    for (size_t t = 0; t < count; t++) {
        double sum = 0;
        for (size_t i = 0; i < vocab; i++)
            sum += exp((double)logits[t * vocab + i]);
        for (size_t i = 0; i < vocab; i++)
            out[t * vocab + i] = (double)logits[t * vocab + i] - log(sum);
    }
    free(logits);
    rbe_session_close(&s);
    rbe_model_close(&m);
    return out;
}

/*
 * Kernels of RBE models round the inputs of a product to 16 bits, the exported model's do not:
 * each of the 4 products of a layer and the last moves its result by no more than 2^-15 of the
 * inputs' largest for each unit of the weights' norm.  A layer's norm brings every input back
 * to the same size, so that 4 n_layer + 1 such steps add up.
 */
static void check_outputs(const char *path, const char *exported, uint32_t layers, size_t vocab)
{
    enum { TOKENS = 12 };
    const double bound = (4.0 * layers + 1) * 0x1p-15;
    double *want = predictions(path, TOKENS), *got = predictions(exported, TOKENS);
    double worst = 0;

    for (size_t i = 0; want && got && i < TOKENS * vocab; i++)
        worst = fmax(worst, fabs(want[i] - got[i]) / fmax(1, fabs(want[i])));
    CHECK(want && got);
    if (!CHECK_NEAR(worst, 0, bound))
        printf("     %s\n", path);
    else
        printf("%s: log-probabilities within %.1e of themselves, %.1e are allowed\n", path,
               worst, bound);
    free(want);
    free(got);
}

/* --- every codec -------------------------------------------------------------------------- */

static void check_codec(enum rbe_format f, const char *synth)
{
    char text[256], block[32] = "", *out = in_dir("coded.rbe"), *wide = NULL;
    struct rbe_convert_options o = {.search = RBE_SEARCH_FAST};
    struct rbe_profile *p = NULL;
    struct rbe_convert *c = NULL;
    struct rbe_source *s = NULL;
    struct rbe_diag d = {""};

    const struct rbe_format_facts *facts = rbe_format_facts(f);
    const char *codec = rbe_format_name(f);

    if (facts->usual_block)
        snprintf(block, sizeof block, " block=16%s", facts->rate == RBE_RATE_K ? " k=4" : "");
    snprintf(text, sizeof text, "other codec=f16\nwpe codec=int8\nall codec=%s hadamard=max%s\n"
             "wte codec=%s center=on%s\n", codec, block, codec, block);
    if (!CHECK(!rbe_profile_parse(&p, text, "t", &d) && !rbe_source_open(&s, synth, &d)))
        printf("     %s\n", d.text);
    o.profile = p;
    if (CHECK(s && !rbe_convert_plan(&c, s, &o, &d) && !rbe_convert_run(c, out, &d))) {
        check_formats(out, NULL, &wide);
        if (wide)
            check_outputs(out, wide, config.n_layer, config.vocab);
    } else {
        printf("     %s: %s\n", codec, d.text);
    }
    rbe_convert_close(&c);
    rbe_profile_close(&p);
    rbe_source_close(&s);
    free(wide);
    free(out);
}

/* Ranges of one weight, rows in another order, both kinds of output layers. */
static void check_llama(void)
{
    struct rbe_model_config c = {.arch = RBE_ARCH_LLAMA, .vocab = config.vocab, .n_ctx = 16,
                                 .n_embd = WIDTH, .n_layer = 2, .n_head = 4, .n_kv = 2,
                                 .head = 16, .n_inner = 96, .ln_eps = 1e-5F, .eos = config.eos,
                                 .rope_base = 10000};
    char *synth = in_dir("synth"), *wide;
    struct rbe_diag d = {""};

    for (int untied = 0; untied < 2; untied++) {
        c.options = untied ? 1U << RBE_OPTION_UNTIED : 0;
        if (!CHECK(!rbe_synth(synth, &c, RBE_DT_F16, 1, &d)))
            printf("     %s\n", d.text);
        check_formats(synth, NULL, &wide);
        free(wide);
        clear();
    }
    free(synth);
}

/* A GPT-2 whose output layer is not its embedding: as a folder, as a GGUF file, and as an RBE
 * model made of that file. */
static void check_untied_gpt2(void)
{
    char *synth = in_dir("synth"), *file = in_dir("untied.gguf"), *coded = in_dir("untied.rbe");
    struct rbe_model_config c = config;
    struct rbe_convert_options o = {.search = RBE_SEARCH_FAST};
    struct rbe_source *s = NULL, *again = NULL;
    struct rbe_convert *convert = NULL;
    struct rbe_profile *p = NULL;
    struct rbe_export_counts n;
    struct rbe_diag d = {""};
    char *wide;

    c.options = 1U << RBE_OPTION_UNTIED;
    CHECK(!rbe_synth(synth, &c, RBE_DT_F32, 1, &d));
    check_formats(synth, NULL, &wide);
    free(wide);
    if (!open_source(&s, synth) || !export(s, file, true, true, NULL, &n) ||
        !CHECK(!rbe_source_open(&again, file, &d)) ||
        !CHECK(!rbe_profile_parse(&p, "other codec=f32\nall codec=f32\n", "t", &d)))
        goto out;
    CHECK(rbe_config_has(&again->config, RBE_OPTION_UNTIED));
    o.profile = p;
    if (CHECK(!rbe_convert_plan(&convert, again, &o, &d) &&
              !rbe_convert_run(convert, coded, &d))) {
        check_outputs(file, synth, c.n_layer, c.vocab);
        check_outputs(file, coded, c.n_layer, c.vocab);
    }
out:
    if (d.text[0])
        printf("     %s\n", d.text);
    rbe_convert_close(&convert);
    rbe_profile_close(&p);
    rbe_source_close(&again);
    rbe_source_close(&s);
    free(coded);
    free(file);
    free(synth);
    clear();
}

static void check_codecs(void)
{
    char *synth = in_dir("synth"), *wide;
    struct rbe_diag d = {""};

    for (int f = 0; f < RBE_FORMAT_COUNT; f++) {
        CHECK(!rbe_synth(synth, &config, RBE_DT_F32, 1, &d));
        check_codec((enum rbe_format)f, synth);
        clear();
    }
    CHECK(!rbe_synth(synth, &config, RBE_DT_BF16, 1, &d));
    check_formats(synth, NULL, &wide);
    free(wide);
    free(synth);
    clear();
}

/* --- what cannot be ----------------------------------------------------------------------- */

static bool empty_but(const char *name)
{
    char command[256];

    snprintf(command, sizeof command, "[ \"$(ls -A %s)\" = %s ]", dir, name);
    return !system(command);
}

/* Fails so, with this word, and leaves nothing. */
static void refused(const char *path, const char *out_name, bool gguf, bool wide,
                    enum rbe_status want, const char *word, const char *left)
{
    const struct rbe_export_options o = {.gguf = gguf, .wide = wide, .name = "a model"};
    char *out = in_dir(out_name);
    struct rbe_export_counts n;
    struct rbe_source *s = NULL;
    struct rbe_diag d = {""};

    if (open_source(&s, path) &&
        !CHECK(rbe_export(&n, s, out, &o, &d) == want && strstr(d.text, word)))
        printf("     %s\n", d.text);
    CHECK(empty_but(left));
    rbe_source_close(&s);
    free(out);
}

static void poke(const char *path, long from_end, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "r+b");

    CHECK(f && !fseek(f, -from_end, SEEK_END) && fwrite(bytes, 1, n, f) == n && !fclose(f));
}

static void check_refusals(const char *rbe_model)
{
    static const float large = 1e5F, endless = INFINITY;
    char *synth = in_dir("synth"), *weights = rbe_path_join(synth, "model.safetensors");
    char command[512];
    struct rbe_diag d = {""};

    CHECK(!rbe_synth(synth, &config, RBE_DT_F32, 1, &d));
    poke(weights, 4, &large, 4);            /* the last bias */
    refused(synth, "out", false, false, RBE_ERR_NUMERIC, "too large for F16", "synth");
    CHECK(!rbe_synth(synth, &config, RBE_DT_F32, 1, &d));
    poke(weights, 4 * (3 * WIDTH + 1), &large, 4);      /* the last matrix */
    refused(synth, "out.gguf", true, false, RBE_ERR_NUMERIC, "too large for F16", "synth");
    poke(weights, 4 * (3 * WIDTH + 1), &endless, 4);
    refused(synth, "out.gguf", true, true, RBE_ERR_NUMERIC, "infinite", "synth");
    refused(synth, "out", false, true, RBE_ERR_NUMERIC, "infinite", "synth");

    /* One bit of the codes. */
    clear();
    snprintf(command, sizeof command, "cp %s %s/bad.rbe && chmod u+w %s/bad.rbe", rbe_model,
             dir, dir);
    CHECK(!system(command));
    char *bad = in_dir("bad.rbe");
    poke(bad, 100000, "\x5A", 1);
    poke(bad, 1000000, "\x5A", 1);
    refused(bad, "out", false, true, RBE_ERR_FORMAT, "checksum", "bad.rbe");
    refused(bad, "out.gguf", true, true, RBE_ERR_FORMAT, "checksum", "bad.rbe");

    /* Interrupted. */
    rbe_catch_interrupt();
    raise(SIGINT);
    refused(rbe_model, "out", false, true, RBE_ERR_INTERRUPTED, "interrupted", "bad.rbe");
    refused(rbe_model, "out.gguf", true, true, RBE_ERR_INTERRUPTED, "interrupted", "bad.rbe");
    rbe_clear_interrupt();
    free(bad);
    free(weights);
    free(synth);
    clear();
}

int main(void)
{
    char *mini = rbe_data_path("rbe-mini"), *tuned = rbe_data_path("mini-2.89-tuned.rbe");
    char *wide;

    rbe_cpu_init();
    if (!CHECK(mkdtemp(dir) && mini && tuned))
        return check_done();
    check_formats(mini, mini, &wide);
    free(wide);
    clear();
    check_formats(tuned, mini, &wide);
    if (wide)
        check_outputs(tuned, wide, 12, 8192);
    free(wide);
    clear();
    check_codecs();
    check_llama();
    check_untied_gpt2();
    check_refusals(tuned);
    rmdir(dir);
    free(mini);
    free(tuned);
    return check_done();
}

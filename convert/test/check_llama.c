/*
 * check_llama.c - Llama models become RBE models: every codec, ranges of one weight, the
 * embedding's means, several matrices at a time, rows of zeros, GGUF files.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "convert/convert.h"
#include "convert/sensitivity.h"
#include "convert/test/predictions.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/companion.h"
#include "model/data.h"
#include "model/model.h"
#include "model/synth.h"
#include "model/weights.h"

enum { VOCAB = 258, CTX = 32, EMBD = 64, HEAD = 16, KV = 2, TOKENS = 8 * CTX };

static char dir[] = "/tmp/rbe-check-llama-XXXXXX";
static char *out, *other, *gguf;
static const struct rbe_model_config tied = {
    .arch = RBE_ARCH_LLAMA, .vocab = VOCAB, .n_ctx = CTX, .n_embd = EMBD, .n_layer = 2,
    .n_head = 4, .n_kv = KV, .head = HEAD, .n_inner = 128, .ln_eps = 1e-5F, .rope_base = 10000,
    .eos = VOCAB - 1};
static struct rbe_pool *pool;
static struct rbe_calibration *calibration;     /* or NULL: without */
static double queries, values;  /* sensitivities in layer 1, where they were measured */

/* Of `from` by the profile; returns the mean error of outputs under the calibration. */
static double convert(const char *from, const char *to, const char *text, struct rbe_pool *by,
                      bool allocate)
{
    struct rbe_convert_options o = {.search = RBE_SEARCH_FAST, .pool = by,
                                    .budget_bits = allocate ? 6 : 0,
                                    .calibration = calibration};
    struct rbe_profile *p = NULL;
    struct rbe_convert *c = NULL;
    struct rbe_source *s = NULL;
    struct rbe_diag d = {""};
    double error = 0;
    size_t told = 0;

    if (!CHECK(!rbe_profile_parse(&p, text, "t", &d) && !rbe_source_open(&s, from, &d)))
        goto out;
    o.profile = p;
    if (!CHECK(!rbe_convert_plan(&c, s, &o, &d)))
        goto out;
    if (allocate) {
        CHECK(!rbe_convert_allocate(c, from, &d) && c->measured);
        for (size_t i = 0; i < c->count; i++) {
            const struct rbe_convert_entry *r = &c->entries[i];
            if (!strcmp(r->tensor->name, "layers.1.self_attn.q_proj.weight"))
                queries = r->sensitivity;
            if (!strcmp(r->tensor->name, "layers.1.self_attn.v_proj.weight"))
                values = r->sensitivity;
        }
    }
    CHECK(!rbe_convert_run(c, to, &d));
    for (size_t i = 0; i < c->count; i++) {
        error += c->entries[i].output_error;
        told += c->entries[i].output_error > 0;
        CHECK(!rbe_convert_is_untold(c, &c->entries[i]));
    }
    /* Keys, values and what is gated have inputs by the first range's name. */
    CHECK(!calibration || told >= 12);
out:
    if (d.text[0])
        printf("     %s\n", d.text);
    rbe_convert_close(&c);
    rbe_profile_close(&p);
    rbe_source_close(&s);
    return error;
}

static bool same(const char *a, const char *b)
{
    char x[65], y[65];

    return !rbe_sha256_file(x, a, NULL) && !rbe_sha256_file(y, b, NULL) && !strcmp(x, y);
}

/* Relative error of b's predictions. */
static double difference(const char *a, const char *b)
{
    static float want[CTX * VOCAB], got[CTX * VOCAB];
    double error = 0, power = 0;
    uint32_t tokens[CTX];

    for (uint32_t i = 0; i < CTX; i++)
        tokens[i] = (i * 2654435761U) % VOCAB;
    check_predictions(want, a, tokens, CTX, VOCAB);
    check_predictions(got, b, tokens, CTX, VOCAB);
    for (size_t i = 0; i < CTX * VOCAB; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        power += (double)want[i] * want[i];
    }
    return sqrt(error / power);
}

/* Every codec, by two threads and by one. */
static void check_codecs(void)
{
    char text[200];

    for (int f = 0; f < RBE_FORMAT_COUNT; f++) {
        const struct rbe_format_facts *facts = rbe_format_facts((enum rbe_format)f);
        snprintf(text, sizeof text, "other codec=f32\nall codec=%s%s\n", facts->name,
                 facts->rate == RBE_RATE_NONE ? "" : facts->strip_bits ? " bits=5 window=8"
                                                                       : " bits=5");
        convert(dir, out, text, pool, false);
        convert(dir, other, text, NULL, false);
        CHECK(same(out, other));
        const double e = difference(dir, out);
        printf("%s: predictions err by %.5f\n", facts->name, e);
        CHECK(e < (facts->float_bytes == 4 ? 1e-5 : facts->float_bytes ? 5e-3
                   : facts->rate == RBE_RATE_NONE ? 0.6 : 2));
    }
}

/* Codes of int8 for the rest of the embedding; what the means were must come back. */
static void check_means(void)
{
    struct rbe_model *m = NULL;

    convert(dir, out, "other codec=f32\nall codec=f32\nwte codec=int8 center=on\n", pool,
            false);
    CHECK(difference(dir, out) < 0.05);
    CHECK(!rbe_model_open(&m, out, NULL) &&
          rbe_config_has(rbe_model_config(m), RBE_OPTION_EMBED_MEAN));
    /* Bits a parameter are those of the original's, in every command. */
    CHECK(m && rbe_model_config_params(rbe_model_config(m)) == rbe_model_config_params(&tied));
    const float *mean = m ? m->whole.values[RBE_ROLE_EMBED_MEAN] : NULL;
    CHECK(mean && fabsf(mean[0] - 0.3F) < 0.1F);
    rbe_model_close(&m);
}

static void calibrate(const char *path)
{
    struct check_rng rng = {7};
    struct rbe_model *m = NULL;
    struct rbe_diag d = {""};
    uint32_t tokens[TOKENS];

    for (size_t i = 0; i < TOKENS; i++)
        tokens[i] = check_below(&rng, VOCAB);
    if (!CHECK(!rbe_model_open(&m, path, &d) &&
               !rbe_calibrate(&calibration, m, tokens, TOKENS, false, NULL, NULL, &d)))
        printf("     %s\n", d.text);
    rbe_model_close(&m);
}

/* With error feedback: less of an error of the outputs; the same bytes by any threads. */
static void check_calibrated(void)
{
    static const char with[] = "other codec=f16\nall codec=seed hadamard=max window=9 bits=4\n";
    static const char without[] =
        "other codec=f16\nall codec=seed hadamard=max window=9 bits=4 feedback=off\n";
    static const char open[] =
        "other codec=f16\nall codec=seed window=9 hadamard=max\nwte codec=seed center=on\n";

    calibrate(dir);
    CHECK(!rbe_calibration_knows(calibration, "layers.0.self_attn.k_proj.weight"));
    const double plain = convert(dir, out, without, pool, false);
    const double fed = convert(dir, out, with, pool, false);
    convert(dir, other, with, NULL, false);
    printf("errors of outputs: %.4f, with feedback %.4f\n", plain, fed);
    CHECK(same(out, other) && fed < 0.95 * plain && fed > 0);
    CHECK(difference(dir, out) < 1);
    convert(dir, out, open, pool, true);
    convert(dir, other, open, NULL, true);
    CHECK(same(out, other) && queries > 0 && values > 0);
}

/* Queries, keys and values change the predictions each by their own rows. */
static void check_sensitivity(void)
{
    static const char name[] = "layers.1.self_attn.q_proj.weight";
    enum { ROWS = KV * HEAD, AT = 4 * HEAD + KV * HEAD };       /* the values */
    static float change[ROWS * EMBD];
    struct rbe_sensitivity *s = NULL;
    struct rbe_diag d = {""};
    double none = -1, some = -1, keys = -1;

    if (!CHECK(!rbe_sensitivity_open(&s, dir, calibration, 0, false, NULL, &d)))
        return;
    CHECK(!rbe_sensitivity_measure(s, name, AT, ROWS, change, &none, &d));
    for (size_t i = 0; i < ROWS * EMBD; i++)
        change[i] = i % 3 ? 0.1F : -0.2F;
    CHECK(!rbe_sensitivity_measure(s, name, AT, ROWS, change, &some, &d));
    CHECK(!rbe_sensitivity_measure(s, name, AT - ROWS, ROWS, change, &keys, &d));
    CHECK(none < 1e-6 && some > 1e-4 && fabs(keys - some) > 1e-3 * some);
    CHECK(rbe_sensitivity_measure(s, name, AT + 1, ROWS, change, &some, &d) == RBE_ERR_ARG);
    rbe_sensitivity_close(&s);
}

/* Writes the checkpoint again with means in the embedding, a head of keys of zeros in layer 0,
 * and no others in layer 1. */
static void spoil(const char *path)
{
    struct rbe_safetensors *f = NULL;
    struct rbe_tensor_out to[40];
    float *data[40] = {NULL};
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_safetensors_open(&f, path, &d)))
        return;
    const size_t n = rbe_safetensors_count(f);
    for (size_t i = 0; i < n && CHECK(i < 40); i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(f, i);
        data[i] = malloc(t->count * sizeof(float));
        CHECK(data[i] && !rbe_tensor_to_f32(t, data[i], &d));
        if (strstr(t->name, "embed_tokens"))
            for (size_t k = 0; k < t->count; k++)
                data[i][k] += k % EMBD % 2 ? -0.3F : 0.3F;
        if (strstr(t->name, "layers.0.self_attn.k_proj"))
            memset(data[i], 0, HEAD * EMBD * sizeof(float));
        if (strstr(t->name, "layers.1.self_attn.k_proj"))
            memset(data[i], 0, t->count * sizeof(float));
        to[i] = (struct rbe_tensor_out){t->name, RBE_DT_F32, t->dims,
                                        {t->shape[0], t->dims > 1 ? t->shape[1] : 1}, data[i]};
    }
    CHECK(!rbe_safetensors_write(path, to, n, NULL, &d));
    rbe_safetensors_close(&f);
    for (size_t i = 0; i < n; i++)
        free(data[i]);
}

/* The head of zeros, as the container has it. */
static void check_zeros(void)
{
    struct rbe_container *c = NULL;
    float row[EMBD];

    convert(dir, out, "other codec=f16\nall codec=seed hadamard=max window=9 bits=4\n", pool,
            false);
    if (!CHECK(!rbe_container_open(&c, out, true, NULL)))
        return;
    const struct rbe_weight *w = rbe_container_weight(c, "layers.0.self_attn.k_proj.weight");
    for (size_t r = 0; w && r < HEAD; r++) {
        rbe_weight_decode_row(w, r, row);
        for (size_t k = 0; k < EMBD; k++)
            CHECK(row[k] == 0);
    }
    CHECK(w && w->rows == KV * HEAD && w->hadamard == EMBD);
    rbe_container_close(&c);
    /* Where all keys are zeros no query matters: each range is probed in its own rows. */
    convert(dir, out, "other codec=f16\nall codec=seed window=9\n", pool, true);
    printf("divergence by queries %g, by values %g\n", queries, values);
    CHECK(queries < 1e-12 && values > 1e-9);
}

/* --- from a GGUF file --------------------------------------------------------------------- */

static void add_metadata(struct rbe_gguf_out *o)
{
    static char texts[VOCAB][4];
    struct rbe_gguf_text tokens[VOCAB];
    const struct rbe_gguf_text merge = {"e r", 3};
    unsigned rest = 256;

    for (unsigned b = 0; b < 256; b++) {
        const bool own = (b > 32 && b < 127) || (b > 160 && b != 173);
        const unsigned u = own ? b : rest++;
        char *s = texts[b];
        if (u < 128)
            *s++ = (char)u;
        else
            *s++ = (char)(0xC0 | u >> 6), *s++ = (char)(0x80 | (u & 63));
        tokens[b] = (struct rbe_gguf_text){texts[b], (size_t)(s - texts[b])};
    }
    tokens[256] = (struct rbe_gguf_text){"er", 2};
    tokens[257] = (struct rbe_gguf_text){"<|endoftext|>", 13};
    int32_t types[VOCAB];
    for (int i = 0; i < VOCAB; i++)
        types[i] = i == 257 ? 3 : 1;
    rbe_gguf_add_string(o, "general.architecture", "llama");
    rbe_gguf_add_u32(o, "llama.vocab_size", tied.vocab);
    rbe_gguf_add_u32(o, "llama.context_length", tied.n_ctx);
    rbe_gguf_add_u32(o, "llama.embedding_length", tied.n_embd);
    rbe_gguf_add_u32(o, "llama.block_count", tied.n_layer);
    rbe_gguf_add_u32(o, "llama.attention.head_count", tied.n_head);
    rbe_gguf_add_u32(o, "llama.attention.head_count_kv", tied.n_kv);
    rbe_gguf_add_u32(o, "llama.feed_forward_length", tied.n_inner);
    rbe_gguf_add_f32(o, "llama.attention.layer_norm_rms_epsilon", tied.ln_eps);
    rbe_gguf_add_f32(o, "llama.rope.freq_base", tied.rope_base);
    rbe_gguf_add_string(o, "tokenizer.ggml.model", "gpt2");
    rbe_gguf_add_string(o, "tokenizer.ggml.pre", "smollm");
    rbe_gguf_add_strings(o, "tokenizer.ggml.tokens", tokens, VOCAB);
    rbe_gguf_add_i32s(o, "tokenizer.ggml.token_type", types, VOCAB);
    rbe_gguf_add_strings(o, "tokenizer.ggml.merges", &merge, 1);
    rbe_gguf_add_u32(o, "tokenizer.ggml.eos_token_id", tied.eos);
}

/* The checkpoint as a GGUF file: queries and keys with the values of a pair side by side. */
static void write_gguf(void)
{
    struct rbe_source *s = NULL;
    struct rbe_gguf_out *o = NULL;
    struct rbe_diag d = {""};
    float *data[40] = {NULL};

    if (!CHECK(!rbe_source_open(&s, dir, &d) && s->count < 40 && !rbe_gguf_begin(&o, &d)))
        return;
    add_metadata(o);
    for (size_t i = 0; i < s->count; i++) {
        const struct rbe_source_tensor *t = &s->tensors[i];
        float *x;
        CHECK(!rbe_source_read(&x, s, t, &d));
        data[i] = malloc((size_t)t->rows * t->cols * sizeof(float));
        for (uint32_t r = 0; r < t->rows; r++) {
            const uint32_t at = r % HEAD, to = r - at + 2 * (at % (HEAD / 2)) + at / (HEAD / 2);
            memcpy(data[i] + (size_t)(t->paired ? to : r) * t->cols, x + (size_t)r * t->cols,
                   t->cols * sizeof *x);
        }
        free(x);
        const struct rbe_gguf_tensor_out to = {
            .name = t->gguf_name, .type = RBE_GT_F32, .dims = t->dims,
            .ne = {t->cols, t->dims > 1 ? t->rows : 1, 1, 1}, .user = data[i]};
        rbe_gguf_add_tensor(o, &to);
    }
    if (!CHECK(!rbe_gguf_write(o, gguf, &d)))
        printf("     %s\n", d.text);
    rbe_gguf_end(&o);
    for (size_t i = 0; i < 40; i++)
        free(data[i]);
    rbe_source_close(&s);
}

/* A model's tokenizer is its own: not another's, not that of what was here before. */
static void check_companion(const char *tokenizer)
{
    static const char text[] = "other codec=f16\nall codec=int4\n";
    struct rbe_tokenizer *t = NULL;
    struct rbe_files f = {0};
    struct rbe_diag d = {""};
    char *moved = rbe_path_join(dir, "moved"), *path = NULL;

    CHECK(!rename(tokenizer, moved));
    CHECK(rbe_find_tokenizer(&t, NULL, out, &tied, &d) == RBE_ERR_IO && !t);
    CHECK(strstr(d.text, tokenizer) && strstr(d.text, "is not there"));
    CHECK(rbe_has_tokenizer(out));
    CHECK(!rename(gguf, tokenizer));
    CHECK(rbe_companion_replace(&f, out, true, &d) == RBE_ERR_ARG && strstr(d.text, tokenizer));
    CHECK(!rename(tokenizer, gguf));
    /* Of the folder, which has none: what an earlier conversion left is another's. */
    convert(dir, out, text, pool, false);
    CHECK(!rename(moved, tokenizer));
    CHECK(rbe_find_tokenizer(&t, NULL, out, &tied, &d) == RBE_ERR_MISMATCH && !t);
    CHECK(strstr(d.text, tokenizer) && strstr(d.text, "of another model"));
    CHECK(!rbe_companion_replace(&f, out, false, &d));
    convert(dir, out, text, pool, false);
    CHECK(access(tokenizer, F_OK) && !rbe_companion_find(&path, out, &d) && !path);
    convert(gguf, out, text, pool, false);
    CHECK(!rbe_companion_find(&path, out, &d) && path && !strcmp(path, tokenizer));
    /* A letter of its merge. */
    static const char key[] = "tokenizer.ggml.merges";
    char *bytes;
    size_t size;
    if (CHECK(!rbe_read_file(&bytes, &size, tokenizer, &d))) {
        char *at = memmem(bytes, size, key, sizeof key - 1);
        FILE *file = fopen(tokenizer, "r+b");
        CHECK(at && file && !fseek(file, at - bytes + (long)sizeof key - 1 + 24, SEEK_SET) &&
              fputc('Q', file) != EOF && !fclose(file));
        free(bytes);
    }
    free(path);
    CHECK(rbe_companion_find(&path, out, &d) == RBE_ERR_MISMATCH && !path);
    convert(gguf, out, text, pool, false);
    rbe_files_free(&f);
    free(path);
    free(moved);
}

static void check_gguf(void)
{
    static const char text[] = "other codec=f16\nall codec=int4\nwte codec=int8 center=on\n";
    static const char word[] = "better";
    char *tokenizer = rbe_tokenizer_beside(out);
    struct rbe_tokenizer *t = NULL;
    struct rbe_diag d = {""};
    uint32_t *ids = NULL;
    size_t count = 0;

    write_gguf();
    CHECK(!rbe_has_tokenizer(out));
    convert(dir, other, text, pool, false);
    convert(gguf, out, text, pool, false);
    CHECK(difference(other, out) == 0);
    check_companion(tokenizer);
    CHECK(rbe_has_tokenizer(out) && !access(tokenizer, R_OK));
    if (CHECK(!rbe_find_tokenizer(&t, NULL, out, &tied, &d) &&
              !rbe_tokenizer_encode(t, word, strlen(word), false, &ids, &count, &d)))
        CHECK(count == 5 && ids[4] == 256 && rbe_tokenizer_eos(t) == VOCAB - 1);
    else
        printf("     %s\n", d.text);
    free(ids);
    rbe_tokenizer_close(&t);
    unlink(tokenizer);
    free(tokenizer);
}

int main(void)
{
    struct rbe_model_config untied = tied;
    struct rbe_diag d = {""};

    rbe_cpu_init();
    untied.options = 1U << RBE_OPTION_UNTIED;
    if (!CHECK(mkdtemp(dir) && !rbe_pool_open(&pool, 2, &d) &&
               !rbe_synth(dir, &tied, RBE_DT_F32, 1, &d)))
        return check_done();
    out = rbe_path_join(dir, "m.rbe");
    other = rbe_path_join(dir, "n.rbe");
    gguf = rbe_path_join(dir, "m.gguf");
    char *model = rbe_path_join(dir, "model.safetensors");
    char *json = rbe_path_join(dir, "config.json");
    check_codecs();
    check_calibrated();
    check_sensitivity();
    spoil(model);
    check_zeros();
    rbe_calibration_close(&calibration);
    check_means();
    check_gguf();
    /* An output layer of its own: the embedding is only looked up, and has no inputs. */
    CHECK(!unlink(model) && !unlink(json) && !rbe_synth(dir, &untied, RBE_DT_F32, 1, &d));
    calibrate(dir);
    convert(dir, out, "other codec=f16\nall codec=seed window=8 bits=5\n"
            "wte codec=seed window=8 bits=6 center=on\n", pool, false);
    CHECK(difference(dir, out) < 1);
    rbe_calibration_close(&calibration);
    CHECK(!strcmp(rbe_convert_default_profile(&tied), "smol-4.0"));
    char *const files[] = {out, other, gguf, model, json};
    for (int i = 0; i < 5; i++) {
        unlink(files[i]);
        free(files[i]);
    }
    CHECK(!rmdir(dir));
    rbe_pool_close(&pool);
    return check_done();
}

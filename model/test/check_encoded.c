/*
 * check_encoded.c - a model of encoded weights gives the logits of the same weights decoded.
 *
 * SPDX-License-Identifier: MIT
 *
 * A small model is encoded with a mix of codecs, blocks, parts and rotations, drawn anew for
 * every matrix; its twin is a plain checkpoint of the decoded rows.  How well the codecs did
 * plays no part: only that lookups, products in both directions, parts and rotations hold.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/model.h"
#include "model/synth.h"
#include "rbe/encode.h"

static char dir[] = "/tmp/rbe-check-encoded-XXXXXX";

enum { EMBD = 128, INNER = 512, LAYERS = 2, VOCAB = 301, CTX = 48, MATRICES = 2 + 7 * LAYERS };

static const struct rbe_model_config gpt2 = {.vocab = VOCAB, .n_ctx = CTX, .n_embd = EMBD,
                                            .n_layer = LAYERS, .n_head = 4, .n_inner = INNER,
                                            .ln_eps = 1e-5F, .eos = VOCAB - 1};
/* Widths of no power of two, heads of keys fewer than others, an output layer of its own. */
static const struct rbe_model_config llama = {
    .arch = RBE_ARCH_LLAMA, .vocab = VOCAB, .n_ctx = CTX, .n_embd = 192, .n_layer = LAYERS,
    .n_head = 6, .n_kv = 2, .head = 32, .n_inner = 320, .ln_eps = 1e-5F, .eos = VOCAB - 1,
    .rope_base = 10000, .options = 1U << RBE_OPTION_UNTIED};

static struct rbe_weight weights[MATRICES];
static float *decoded[MATRICES];        /* as the plain checkpoint stores them */
static size_t count;

static uint32_t hadamard;       /* of the matrix before */
static uint64_t sign_seed;

/* A codec that any shape can have, with a block of its own. */
static struct rbe_encode_part draw(struct check_rng *rng, uint32_t rows)
{
    static const struct rbe_encode_part choices[] = {
        {0, RBE_F32, 0, 0},  {0, RBE_F16, 0, 0},    {0, RBE_INT8, 0, 0},
        {0, RBE_INT4, 0, 0}, {0, RBE_SEED, 44, 0},  {0, RBE_SEED, 17, 0},
        {0, RBE_SEED, 64, 0}, {0, RBE_SEED4, 32, 0}, {0, RBE_SEED, 200, 0},
        {0, RBE_SEEDG, 44, 0}};
    struct rbe_encode_part p = choices[check_below(rng, 10)];

    p.rows = rows;
    return p;
}

static void encode(const char *name, const struct rbe_tensor *t, bool turned,
                   struct check_rng *rng)
{
    const uint32_t rows = (uint32_t)t->shape[turned], cols = (uint32_t)t->shape[!turned];
    float *stored = malloc(t->count * sizeof *stored), *w = malloc(t->count * sizeof *w);
    float *row = malloc(cols * sizeof *row);
    struct rbe_encode_part parts[3];
    struct rbe_diag d = {""};

    CHECK(!rbe_tensor_to_f32(t, stored, &d));
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            w[r * cols + c] = turned ? stored[c * rows + r] : stored[r * cols + c];
    /* Ranges of one weight are rotated alike. */
    if (!strstr(name, "k_proj") && !strstr(name, "v_proj") && !strstr(name, "up_proj")) {
        hadamard = check_below(rng, 2) ? cols & -cols : 0;
        sign_seed = check_next(rng);
    }
    const size_t part_count = 1 + check_below(rng, 3);
    const uint32_t cut = rows / (uint32_t)part_count;
    for (size_t i = 0; i < part_count; i++)
        parts[i] = draw(rng, i + 1 < part_count ? cut : rows - cut * (uint32_t)i);
    const struct rbe_encode_options o = {
        .part_count = part_count, .parts = parts, .search = RBE_SEARCH_FAST, .window = 8,
        .hadamard = hadamard, .sign_seed = sign_seed};
    struct rbe_weight *e = &weights[count];
    if (!CHECK(!rbe_encode_weight(e, w, rows, cols, &o, NULL, &d)))
        printf("     %s: %s\n", name, d.text);
    snprintf(e->name, sizeof e->name, "%s", name);
    for (size_t r = 0; r < rows; r++) {
        rbe_weight_decode_row(e, r, row);
        for (size_t c = 0; c < cols; c++)
            stored[turned ? c * rows + r : r * cols + c] = row[c];
    }
    decoded[count++] = stored;
    free(row);
    free(w);
}

static bool is_matrix(const struct rbe_tensor *t)
{
    return t->dims == 2 && strcmp(t->name, "wpe.weight");
}

/* Writes the RBE model and its decoded twin. */
static void write_both(const struct rbe_safetensors *s, const char *rbe, const char *plain,
                       struct check_rng *rng)
{
    char *path = rbe_path_join(dir, "config.json"), *text;
    struct rbe_tensor_out out[100];
    struct rbe_container_builder *b;
    struct rbe_diag d = {""};
    size_t size;

    CHECK(!rbe_read_file(&text, &size, path, &d));
    CHECK(!rbe_container_begin(&b, &d) && !rbe_container_add_meta(b, "rbe.config", text, &d));
    for (size_t i = 0; i < rbe_safetensors_count(s); i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(s, i);
        out[i] = (struct rbe_tensor_out){t->name, t->dtype, t->dims,
                                         {t->shape[0], t->dims > 1 ? t->shape[1] : 1}, t->data};
        if (is_matrix(t)) {
            int layer;
            const struct rbe_arch_tensor *a = rbe_arch_by_name(t->name, &layer);
            encode(t->name, t, a->form == RBE_TURNED, rng);
            out[i].dtype = RBE_DT_F32;
            out[i].data = decoded[count - 1];
            CHECK(!rbe_container_add_weight(b, &weights[count - 1], &d));
        } else {
            CHECK(!rbe_container_add_tensor(b, t->name, t->dtype, t->dims, t->shape, t->data,
                                            &d));
        }
    }
    if (!CHECK(!rbe_container_write(b, rbe, &d)))
        printf("     %s\n", d.text);
    CHECK(!rbe_safetensors_write(plain, out, rbe_safetensors_count(s), NULL, &d));
    rbe_container_end(&b);
    free(text);
    free(path);
}

/* Logits of every position, by batches of `batch`. */
static void run(struct rbe_model *m, struct rbe_pool *pool, enum rbe_kv_cache kv,
                const uint32_t *ids, uint32_t batch, float *logits)
{
    const struct rbe_session_limits l = {.max_batch = batch, .max_logits = batch,
                                         .kv_cache = kv};
    struct rbe_session *s;
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_session_open(&s, m, l, pool, &d))) {
        printf("     %s\n", d.text);
        return;
    }
    for (uint32_t t = 0; t < CTX; t += batch) {
        const uint32_t n = CTX - t < batch ? CTX - t : batch;
        CHECK(!rbe_forward(s, ids + t, n, &d));
        CHECK(!rbe_logits(s, 0, n, logits + (size_t)t * VOCAB, &d));
    }
    rbe_session_close(&s);
}

/* The same with a cache of this kind, whose error is at most `bound` of the logits' RMS. */
static void check_cache(struct rbe_model *m, struct rbe_pool *pool, enum rbe_kv_cache kv,
                        const uint32_t *ids, const float *want, double bound)
{
    static float got[CTX * VOCAB], one[CTX * VOCAB];
    static const uint32_t batches[] = {CTX, 1, 5};
    double power = 0, worst = 0;

    for (size_t i = 0; i < CTX * VOCAB; i++)
        power += (double)want[i] * want[i] / (CTX * VOCAB);
    for (size_t k = 0; k < 3; k++)
        for (int threads = 1; threads <= 2; threads++) {
            float *to = batches[k] == 1 && threads == 1 ? one : got;
            run(m, threads == 1 ? NULL : pool, kv, ids, batches[k], to);
            for (size_t i = 0; i < CTX * VOCAB; i++) {
                const double e = fabs((double)to[i] - want[i]);
                worst = e <= worst ? worst : e;
            }
            /* Token by token, the number of threads changes no bit. */
            CHECK(batches[k] != 1 || threads == 1 || !memcmp(got, one, sizeof got));
        }
    if (!CHECK_NEAR(worst, 0, bound * sqrt(power)))
        printf("     logits have RMS %.3g\n", sqrt(power));
    printf("cache of %s: worst error %.2g of the logits' RMS\n", rbe_kv_cache_name(kv),
           worst / sqrt(power));
}

/* bits of activations, 0: each format's own; errors of at most `bound` come from them. */
static void check_bits(const char *rbe, const char *plain, unsigned bits, double bound,
                       struct check_rng *rng)
{
    static float want[CTX * VOCAB];
    struct rbe_model *a = NULL, *b = NULL;
    struct rbe_pool *pool = NULL;
    struct rbe_diag d = {""};
    uint32_t ids[CTX];

    rbe_act_choose_bits(bits);
    for (int i = 0; i < CTX; i++)
        ids[i] = check_below(rng, VOCAB);
    if (!CHECK(!rbe_model_open(&a, rbe, &d)) || !CHECK(!rbe_model_open(&b, plain, &d)) ||
        !CHECK(!rbe_pool_open(&pool, 2, &d))) {
        printf("     %s\n", d.text);
        goto out;
    }
    CHECK(rbe_model_is_rbe(a) && !rbe_model_is_rbe(b));
    run(b, NULL, RBE_KV_DEFAULT, ids, CTX, want);
    /* Of the cache, f16 has some 2^-12 of a value, a byte some 2^-8 of the largest. */
    check_cache(a, pool, RBE_KV_F32, ids, want, bound);
    if (bits == 16)
        check_cache(a, pool, RBE_KV_F16, ids, want, bound + 2e-3);
    if (bits != 8)
        check_cache(a, pool, RBE_KV_INT8, ids, want, fmax(bound, 0.1));
out:
    rbe_pool_close(&pool);
    rbe_model_close(&a);
    rbe_model_close(&b);
}

static void check_model(const char *rbe, const char *plain, struct check_rng *rng)
{
    /* Activations in 16 bits: some 2^-15 of the largest, a few layers deep.  In 8 bits: 2^-8 of
     * it, of which the largest of many logits meets several. */
    check_bits(rbe, plain, 16, 2e-3, rng);
    check_bits(rbe, plain, 8, 0.2, rng);
    rbe_act_choose_bits(0);
    check_bits(rbe, plain, 0, 0.2, rng);
}

/* Keys rotated otherwise than their queries have no one product. */
static void check_rotations(const char *path, struct check_rng *rng)
{
    static const char config[] =
        "{\"model_type\":\"llama\",\"vocab_size\":32,\"max_position_embeddings\":8,"
        "\"hidden_size\":32,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
        "\"intermediate_size\":32,\"tie_word_embeddings\":true}";
    static const char *const names[] = {
        "embed_tokens.weight", "layers.0.self_attn.q_proj.weight",
        "layers.0.self_attn.k_proj.weight", "layers.0.self_attn.v_proj.weight",
        "layers.0.self_attn.o_proj.weight", "layers.0.mlp.gate_proj.weight",
        "layers.0.mlp.up_proj.weight", "layers.0.mlp.down_proj.weight"};
    static const char *const norms[] = {"layers.0.input_layernorm.weight",
                                        "layers.0.post_attention_layernorm.weight",
                                        "norm.weight"};
    static float values[32 * 32];
    const uint64_t shape[] = {32};

    for (size_t i = 0; i < 32 * 32; i++)
        values[i] = check_unit(rng);
    for (uint64_t seed = 1; seed <= 2; seed++) {        /* of the keys' rotation */
        struct rbe_weight w[8];
        struct rbe_container_builder *b;
        struct rbe_model *m = NULL;
        struct rbe_diag d = {""};
        CHECK(!rbe_container_begin(&b, &d) &&
              !rbe_container_add_meta(b, "rbe.config", config, &d));
        for (int i = 0; i < 8; i++) {
            const struct rbe_encode_part part = {32, RBE_INT8, 0, 0};
            const struct rbe_encode_options o = {.part_count = 1, .parts = &part,
                                                 .hadamard = 32,
                                                 .sign_seed = i == 2 ? seed : 1};
            CHECK(!rbe_encode_weight(&w[i], values, 32, 32, &o, NULL, &d));
            snprintf(w[i].name, sizeof w[i].name, "%s", names[i]);
            CHECK(!rbe_container_add_weight(b, &w[i], &d));
        }
        for (int i = 0; i < 3; i++)
            CHECK(!rbe_container_add_tensor(b, norms[i], RBE_DT_F32, 1, shape, values, &d));
        CHECK(!rbe_container_write(b, path, &d));
        rbe_container_end(&b);
        CHECK(rbe_model_open(&m, path, &d) == (seed == 1 ? RBE_OK : RBE_ERR_MISMATCH));
        CHECK(seed == 1 || strstr(d.text, "are rotated differently"));
        rbe_model_close(&m);
        for (int i = 0; i < 8; i++)
            rbe_weight_free(&w[i]);
    }
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    struct rbe_safetensors *s;
    struct rbe_diag d;

    rbe_cpu_init();
    if (!CHECK(mkdtemp(dir) != NULL))
        return check_done();
    char *rbe = rbe_path_join(dir, "m.rbe"), *plain = rbe_path_join(dir, "plain.safetensors");
    char *model = rbe_path_join(dir, "model.safetensors");
    char *json = rbe_path_join(dir, "config.json");
    for (int round = 0; round < 6; round++) {
        CHECK(!rbe_synth(dir, round < 4 ? &gpt2 : &llama, RBE_DT_F32, check_next(&rng), &d));
        CHECK(!rbe_safetensors_open(&s, model, &d));
        write_both(s, rbe, plain, &rng);
        check_model(rbe, plain, &rng);
        if (round >= 4)
            check_rotations(rbe, &rng);
        for (; count; count--) {
            rbe_weight_free(&weights[count - 1]);
            free(decoded[count - 1]);
        }
        rbe_safetensors_close(&s);
    }
    char *const files[] = {rbe, plain, model, json};
    for (int i = 0; i < 4; i++) {
        unlink(files[i]);
        free(files[i]);
    }
    CHECK(!rmdir(dir));
    return check_done();
}

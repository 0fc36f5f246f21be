/*
 * check_llama.c - configurations of Llama, the same model from safetensors and from GGUF, and
 * GGUF files against values that other software found: small ones of every type, and a real
 * one, by token ids.
 *
 * SPDX-License-Identifier: MIT
 *
 * The last part needs ../shared; check_layers.c tries the passes without it.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/model.h"
#include "model/source.h"
#include "model/synth.h"

enum { MAX_IDS = 64 };

/* --- configurations ----------------------------------------------------------------------- */

#define SIZES "\"vocab_size\":300,\"hidden_size\":24,\"num_hidden_layers\":2," \
              "\"intermediate_size\":40"
#define SHAPE "\"model_type\":\"llama\"," SIZES
#define HEADS SHAPE ",\"num_attention_heads\":4"
#define NAMED(list) "\"architectures\":" list "," SIZES ",\"num_attention_heads\":4"

static void refuse(const char *json, const char *why, int line)
{
    struct rbe_model_config c;
    struct rbe_diag d = {""};

    if (!CHECK(rbe_model_config_parse(&c, json, strlen(json), "config", &d) &&
               strstr(d.text, why) && !strchr(d.text, '\n')))
        printf("     line %d: '%s'\n", line, d.text);
}
#define REFUSE(more, why) refuse("{" more "}", (why), __LINE__)

static void check_configs(void)
{
    static const char llama3[] = "{" HEADS ",\"num_key_value_heads\":2,\"head_dim\":8,"
        "\"rope_theta\":500000.0,\"rope_scaling\":{\"factor\":32.0,\"high_freq_factor\":4.0,"
        "\"low_freq_factor\":1.0,\"original_max_position_embeddings\":8192,"
        "\"rope_type\":\"llama3\"},\"tie_word_embeddings\":true,\"eos_token_id\":[9,8]}";
    static const char named[] = "{" NAMED("[\"LlamaForCausalLM\"]") "}";
    static const char newer[] = "{" HEADS ",\"rope_parameters\":{\"rope_theta\":5000,"
        "\"rope_type\":\"linear\",\"factor\":2}}";
    struct rbe_model_config c;

    CHECK(!rbe_model_config_parse(&c, llama3, strlen(llama3), "config", NULL));
    CHECK(c.n_kv == 2 && c.head == 8 && c.eos == 9 && c.n_ctx == 2048 && !c.options);
    CHECK(c.rope_scaling == RBE_ROPE_LLAMA3 && c.rope_original == 8192);
    CHECK(!rbe_model_config_parse(&c, newer, strlen(newer), "config", NULL));
    CHECK(c.n_kv == 4 && c.head == 6 && rbe_config_has(&c, RBE_OPTION_UNTIED));
    CHECK(c.rope_scaling == RBE_ROPE_LINEAR && c.rope_base == 5000 && c.rope_factor == 2);

    CHECK(!rbe_model_config_parse(&c, named, strlen(named), "config", NULL) &&
          c.arch == RBE_ARCH_LLAMA && c.n_embd == 24);

    REFUSE(SHAPE, "num_attention_heads is missing");
    REFUSE(SHAPE ",\"num_attention_heads\":5", "not a multiple");
    REFUSE(HEADS ",\"num_key_value_heads\":3", "not a multiple of 3 heads");
    REFUSE(HEADS ",\"num_key_value_heads\":0", "num_key_value_heads");
    REFUSE(HEADS ",\"head_dim\":7", "no pairs");
    REFUSE(HEADS ",\"head_dim\":65536,\"num_key_value_heads\":4,\"num_attention_heads\":4",
           "duplicate");
    REFUSE(SHAPE ",\"head_dim\":65536,\"num_attention_heads\":65536", "are more than");
    REFUSE(HEADS ",\"hidden_act\":\"gelu\"", "silu");
    REFUSE(HEADS ",\"attention_bias\":true", "biases");
    REFUSE(HEADS ",\"mlp_bias\":true", "biases");
    REFUSE(HEADS ",\"num_local_experts\":8", "experts");
    REFUSE(HEADS ",\"sliding_window\":4096", "window");
    REFUSE(HEADS ",\"rope_theta\":0", "rope_theta is not from");
    REFUSE(HEADS ",\"rope_theta\":\"x\"", "rope_theta: a string where a number");
    REFUSE(HEADS ",\"rope_scaling\":{}", "rope_type is missing");
    REFUSE(HEADS ",\"rope_scaling\":7", "an integer where a string");
    REFUSE(HEADS ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}", "'yarn'");
    REFUSE(HEADS ",\"rope_scaling\":{\"type\":\"linear\"}", "factor is missing");
    REFUSE(HEADS ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0.5}",
           "factor is not from");
    REFUSE(HEADS ",\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
           "\"high_freq_factor\":4,\"original_max_position_embeddings\":64}", "not above");
    REFUSE(NAMED("[\"Llama4ForCausalLM\"]"),
           "architectures is 'Llama4ForCausalLM', not of gpt2 or llama");
    REFUSE(NAMED("[\"LlamaForCausalLM\"]") ",\"hidden_act\":\"gelu\"", "silu");
    REFUSE(NAMED("[7]"), "architectures: an integer where a string");
    REFUSE(NAMED("{}"), "architectures: an object where a string");
    REFUSE(NAMED("[]"), "n_positions is missing");
    REFUSE("\"model_type\":\"qwen2\"", "model_type is 'qwen2', not gpt2 or llama");
}

/* --- GGUF --------------------------------------------------------------------------------- */

static char dir[] = "/tmp/rbe-check-llama-XXXXXX";

/* What is wrong with a file that is written. */
enum fault { NONE, NO_TENSOR, ONE_MORE, OTHER_SHAPE, OTHER_HEADS, OTHER_ARCH, EXPERTS, YARN,
             NO_COUNT, PART_TURNED, NO_EPSILON, NO_CONTEXT, TWO_SCALES, FACTOR_0, FACTOR_BELOW,
             FAULTS, OLD_SCALE, BOTH_SCALES };
static const char *const said[FAULTS] = {
    "", "tensor 'blk.1.ffn_gate.weight' is missing", "tensor 'blk.9.extra' has no place",
    "tensor 'blk.1.ffn_gate.weight' is 1 x", "llama.attention.head_count: a list where",
    "general.architecture is 'mamba', not gpt2 or llama", "experts",
    "llama.rope.scaling.type: rotated positions scaled as 'yarn'",
    "llama.block_count is missing", "only a part of each head",
    "llama.attention.layer_norm_rms_epsilon is missing", "llama.context_length is missing",
    "llama.rope.scaling.factor and llama.rope.scale_linear are not equal",
    "tensor 'rope_freqs.weight': element 1 is 0, not above 0",
    "tensor 'rope_freqs.weight': element 1 is -2, not above 0"};

/* Rows as GGUF has them, read one after another. */
struct stored {
    float *values;
    const struct rbe_source_tensor *t;
    uint32_t head;
};

static enum rbe_status give(float *out, const struct rbe_gguf_tensor_out *o, uint64_t row0,
                            uint64_t rows, struct rbe_diag *d)
{
    const struct stored *s = o->user;
    const size_t cols = s->t->cols, half = s->head / 2;

    (void)d;
    for (uint64_t r = row0; r < row0 + rows; r++, out += cols) {
        const size_t at = r % s->head;      /* 0, half, 1, half + 1, ... */
        const size_t from = s->t->paired ? r - at + at / 2 + (at % 2) * half : r;
        memcpy(out, s->values + from * cols, cols * sizeof *out);
    }
    return RBE_OK;
}

/* The checkpoint in dir as a GGUF file. */
static void write_gguf(const char *path, enum fault fault)
{
    const struct rbe_gguf_text lists[2] = {{"1", 1}, {"2", 1}};
    struct rbe_source *s = NULL;
    struct rbe_gguf_out *o = NULL;
    struct rbe_diag d = {""};
    static float extra[32], factors[][5] = {{1, 0, 1, 1, 1}, {1, -2, 1, 1, 1}};

    if (!CHECK(!rbe_source_open(&s, dir, &d)) || !CHECK(!rbe_gguf_begin(&o, &d)))
        return;
    const struct rbe_model_config *c = &s->config;
    struct stored *all = calloc(s->count, sizeof *all);
    rbe_gguf_add_string(o, "general.architecture", fault == OTHER_ARCH ? "mamba" : "llama");
    if (fault != NO_COUNT)
        rbe_gguf_add_u32(o, "llama.block_count", c->n_layer);
    if (fault != NO_CONTEXT)
        rbe_gguf_add_u32(o, "llama.context_length", c->n_ctx);
    rbe_gguf_add_u32(o, "llama.embedding_length", c->n_embd);
    rbe_gguf_add_u32(o, "llama.feed_forward_length", c->n_inner);
    if (fault == OTHER_HEADS)
        rbe_gguf_add_strings(o, "llama.attention.head_count", lists, 2);
    else
        rbe_gguf_add_u32(o, "llama.attention.head_count", c->n_head);
    rbe_gguf_add_u32(o, "llama.attention.head_count_kv", c->n_kv);
    rbe_gguf_add_u32(o, "llama.attention.key_length", c->head);
    rbe_gguf_add_u32(o, "llama.attention.value_length", c->head);
    rbe_gguf_add_u32(o, "llama.rope.dimension_count", fault == PART_TURNED ? 2 : c->head);
    if (fault != NO_EPSILON)
        rbe_gguf_add_f32(o, "llama.attention.layer_norm_rms_epsilon", c->ln_eps);
    if (fault == OLD_SCALE || fault == BOTH_SCALES || fault == TWO_SCALES)
        rbe_gguf_add_f32(o, "llama.rope.scale_linear", 4);
    if (fault == BOTH_SCALES || fault == TWO_SCALES)
        rbe_gguf_add_f32(o, "llama.rope.scaling.factor", fault == TWO_SCALES ? 2 : 4);
    rbe_gguf_add_f32(o, "llama.rope.freq_base", c->rope_base);
    if (fault == YARN)
        rbe_gguf_add_string(o, "llama.rope.scaling.type", "yarn");
    if (fault == EXPERTS)
        rbe_gguf_add_u32(o, "llama.expert_count", 8);
    for (size_t i = 0; i < s->count; i++) {
        const struct rbe_source_tensor *t = &s->tensors[i];
        const bool odd = !strcmp(t->gguf_name, "blk.1.ffn_gate.weight");
        all[i] = (struct stored){.t = t, .head = c->head};
        CHECK(!rbe_source_read(&all[i].values, s, t, &d));
        if (!odd || fault != NO_TENSOR)
            rbe_gguf_add_tensor(o, &(struct rbe_gguf_tensor_out){
                .name = t->gguf_name, .type = RBE_GT_F32, .dims = t->dims, .read = give,
                .user = &all[i], .ne = {t->cols, odd && fault == OTHER_SHAPE ? 1 : t->rows}});
    }
    if (fault == ONE_MORE)
        rbe_gguf_add_tensor(o, &(struct rbe_gguf_tensor_out){
            .name = "blk.9.extra", .type = RBE_GT_F32, .dims = 1, .ne = {32}, .user = extra});
    if (fault == FACTOR_0 || fault == FACTOR_BELOW)
        rbe_gguf_add_tensor(o, &(struct rbe_gguf_tensor_out){
            .name = "rope_freqs.weight", .type = RBE_GT_F32, .dims = 1, .ne = {c->head / 2},
            .user = factors[fault - FACTOR_0]});
    if (!CHECK(!rbe_gguf_write(o, path, &d)))
        printf("     %s\n", d.text);
    rbe_gguf_end(&o);
    for (size_t i = 0; i < s->count; i++)
        free(all[i].values);
    free(all);
    rbe_source_close(&s);
}

/* Logits of a few tokens. */
static void run_tokens(const char *path, float *logits, size_t count)
{
    const struct rbe_session_limits l = {.max_logits = (uint32_t)count};
    struct rbe_session *s = NULL;
    struct rbe_model *m = NULL;
    struct rbe_diag d = {""};
    uint32_t ids[MAX_IDS];

    for (size_t i = 0; i < count; i++)
        ids[i] = (uint32_t)(i * 7 % 77);
    if (CHECK(!rbe_model_open(&m, path, &d)) && CHECK(!rbe_session_open(&s, m, l, NULL, &d)) &&
        CHECK(!rbe_forward(s, ids, count, &d)))
        CHECK(!rbe_logits(s, 0, count, logits, &d));
    else
        printf("     %s\n", d.text);
    if (s)
        rbe_session_close(&s);
    rbe_model_close(&m);
}

/* One model, from both kinds of file: the same bits; and what is refused. */
static void check_both_files(void)
{
    enum { VOCAB = 77, COUNT = 12 };
    struct rbe_model_config c = {.arch = RBE_ARCH_LLAMA, .vocab = VOCAB, .n_ctx = 32,
                                 .n_embd = 20, .n_layer = 2, .n_head = 6, .n_kv = 3, .head = 10,
                                 .n_inner = 24, .ln_eps = 1e-5F, .eos = VOCAB - 1,
                                 .rope_base = 50};
    static float a[COUNT * VOCAB], b[COUNT * VOCAB];
    struct rbe_diag d = {""};

    if (!CHECK(mkdtemp(dir) != NULL))
        return;
    char *path = rbe_path_join(dir, "m.gguf");
    for (int untied = 0; untied < 2; untied++) {
        c.options = untied ? 1U << RBE_OPTION_UNTIED : 0;
        CHECK(!rbe_synth(dir, &c, RBE_DT_F32, 3, &d));
        write_gguf(path, NONE);
        run_tokens(dir, a, COUNT);
        run_tokens(path, b, COUNT);
        CHECK(!memcmp(a, b, sizeof a));
    }
    for (int fault = OLD_SCALE; fault <= BOTH_SCALES; fault++) {
        struct rbe_model *m = NULL;
        write_gguf(path, (enum fault)fault);
        if (CHECK(!rbe_model_open(&m, path, &d)))
            CHECK(rbe_model_config(m)->rope_scaling == RBE_ROPE_LINEAR &&
                  rbe_model_config(m)->rope_factor == 4);
        rbe_model_close(&m);
    }
    for (int fault = 1; fault < FAULTS; fault++) {
        struct rbe_model *m = NULL;
        write_gguf(path, (enum fault)fault);
        d.text[0] = 0;
        if (!CHECK(rbe_model_open(&m, path, &d) && !m && strstr(d.text, said[fault]) &&
                   strstr(d.text, path)))
            printf("     %s\n", d.text);
    }
    const char *const files[] = {"m.gguf", "model.safetensors", "config.json"};
    for (int i = 0; i < 3; i++) {
        free(path);
        path = rbe_path_join(dir, files[i]);
        unlink(path);
    }
    free(path);
    CHECK(!rmdir(dir));
}

/* --- other software ----------------------------------------------------------------------- */

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
    check_configs();
    check_both_files();
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

/*
 * check_bad_models.c - models that are not what they say are refused by name.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/model.h"
#include "model/source.h"
#include "model/synth.h"

static char dir[] = "/tmp/rbe-check-bad-XXXXXX";
static char *model_path, *config_path;

static const struct rbe_model_config config = {.vocab = 300, .n_ctx = 16, .n_embd = 24,
                                              .n_layer = 2, .n_head = 3, .n_inner = 96,
                                              .ln_eps = 1e-5F, .eos = 299};

enum { MAX = 64 };
static struct rbe_tensor_out good[MAX];
static size_t good_count;
static struct rbe_safetensors *source;

/* By those that run a model and by those that convert it, in the same words.  Values are not
 * looked at when a conversion opens its source. */
static void refuse(enum rbe_status want, const char *reason, int line)
{
    struct rbe_model *m = NULL;
    struct rbe_source *s = NULL;
    struct rbe_diag d = {""}, other = {""};
    const enum rbe_status err = rbe_model_open(&m, dir, &d);
    const enum rbe_status as_source = rbe_source_open(&s, dir, &other);

    if (!check_that(err == want && !m && strstr(d.text, reason) && strstr(d.text, dir) &&
                    !strchr(d.text, '\n'), __FILE__, line, "is refused with the right reason"))
        printf("     status %d, '%s', want '%s'\n", err, d.text, reason);
    if (!check_that(want == RBE_ERR_NUMERIC ||
                    (as_source == err && !s && !strcmp(other.text, d.text)),
                    __FILE__, line, "a conversion refuses it too"))
        printf("     status %d, '%s', not '%s'\n", as_source, other.text, d.text);
    rbe_source_close(&s);
    rbe_model_close(&m);
}

static void write_tensors(const struct rbe_tensor_out *t, size_t n)
{
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_safetensors_write(model_path, t, n, NULL, &d)))
        printf("     %s\n", d.text);
}

static void put(const char *path, const char *bytes, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

/* Every tensor in turn: missing, of another shape, type or rank, not finite. */
static void check_each_tensor(void)
{
    static const float nan[300 * 24] = {[7] = NAN};
    struct rbe_tensor_out t[MAX];

    for (size_t i = 0; i < good_count; i++) {
        size_t n = 0;
        for (size_t k = 0; k < good_count; k++)
            if (k != i)
                t[n++] = good[k];
        write_tensors(t, n);
        refuse(RBE_ERR_FORMAT, good[i].name, __LINE__);
        memcpy(t, good, sizeof t);
        t[i].shape[0]--;
        write_tensors(t, good_count);
        refuse(RBE_ERR_MISMATCH, good[i].name, __LINE__);
        t[i] = good[i];
        t[i].dims++;
        t[i].shape[t[i].dims - 1] = 1;
        write_tensors(t, good_count);
        refuse(RBE_ERR_MISMATCH, good[i].name, __LINE__);
        t[i] = good[i];
        t[i].dtype = RBE_DT_I32;
        t[i].data = nan;                /* as long as it says; its own would not be */
        write_tensors(t, good_count);
        refuse(RBE_ERR_FORMAT, good[i].name, __LINE__);
        t[i] = good[i];
        t[i].dtype = RBE_DT_F32;
        t[i].data = nan;
        if (t[i].shape[0] * t[i].shape[1] <= 300 * 24) {
            write_tensors(t, good_count);
            refuse(RBE_ERR_NUMERIC, good[i].name, __LINE__);
        }
    }
}

static void check_extra_tensors(void)
{
    static const float zero[300 * 24];
    const struct {
        struct rbe_tensor_out t;
        bool fine;
    } extra[] = {
        {{"h.2.ln_1.weight", RBE_DT_F32, 1, {24}, zero}, false},
        {{"h.0.attn.c_attn.weights", RBE_DT_F32, 1, {24}, zero}, false},
        {{"h.", RBE_DT_F32, 1, {1}, zero}, false},
        {{"h", RBE_DT_F32, 1, {1}, zero}, false},
        {{"h.99999999999.ln_1.bias", RBE_DT_F32, 1, {1}, zero}, false},
        {{"model.embed.weight", RBE_DT_F32, 1, {24}, zero}, false},
        {{"lm_head.weight", RBE_DT_F32, 2, {300, 24}, zero}, false},
        {{"transformer.wpe.weight", RBE_DT_F32, 2, {16, 24}, zero}, false},
        {{"h.0.attn.bias", RBE_DT_U8, 1, {256}, zero}, true},
        {{"transformer.h.1.attn.masked_bias", RBE_DT_F32, 0, {0}, zero}, true},
        {{"h.2.attn.bias", RBE_DT_U8, 1, {256}, zero}, false},
        {{"h.0.crossattention.c_attn.weight", RBE_DT_F32, 1, {24}, zero}, false},
        {{"score.weight", RBE_DT_F32, 2, {2, 24}, zero}, false}};
    struct rbe_tensor_out t[MAX];

    for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++) {
        struct rbe_model *m;
        struct rbe_diag d;
        memcpy(t, good, sizeof t);
        t[good_count] = extra[i].t;
        write_tensors(t, good_count + 1);
        if (extra[i].fine) {
            struct rbe_source *s;
            CHECK(!rbe_model_open(&m, dir, &d) && !rbe_source_open(&s, dir, &d));
            rbe_model_close(&m);
            rbe_source_close(&s);
        } else if (!strncmp(extra[i].t.name, "transformer.", 12)) {
            refuse(RBE_ERR_FORMAT, "transformer.", __LINE__);
        } else {
            refuse(RBE_ERR_MISMATCH, extra[i].t.name, __LINE__);
        }
    }
    /* The output layer once more is fine when it is the same; so are prefixed names. */
    static char names[MAX][80];
    struct rbe_model *m;
    struct rbe_diag d = {""};
    memcpy(t, good, sizeof t);
    for (size_t i = 0; i < good_count; i++) {
        snprintf(names[i], sizeof names[i], "transformer.%s", good[i].name);
        t[i].name = names[i];
        if (!strcmp(good[i].name, "wte.weight"))
            t[good_count] = good[i];
    }
    t[good_count].name = "lm_head.weight";
    write_tensors(t, good_count + 1);
    if (!CHECK(!rbe_model_open(&m, dir, &d)))
        printf("     %s\n", d.text);
    rbe_model_close(&m);
}

static void refuse_config(const char *json, const char *reason, int line)
{
    put(config_path, json, strlen(json));
    struct rbe_model *m = NULL;
    struct rbe_source *s = NULL;
    struct rbe_diag d = {""};
    const enum rbe_status err = rbe_model_open(&m, dir, &d);
    if (!check_that(err && !m && strstr(d.text, reason) && !strchr(d.text, '\n') &&
                    rbe_source_open(&s, dir, NULL) == err, __FILE__, line,
                    "configuration is refused with the right reason"))
        printf("     status %d, '%s', want '%s'\n", err, d.text, reason);
    rbe_source_close(&s);
    rbe_model_close(&m);
}

static void accept_config(const char *json, uint32_t eos, int line)
{
    put(config_path, json, strlen(json));
    struct rbe_model *m = NULL;
    struct rbe_diag d = {""};
    if (!check_that(!rbe_model_open(&m, dir, &d) && rbe_model_config(m)->eos == eos, __FILE__,
                    line, "configuration is good"))
        printf("     %s: '%s'\n", json, d.text);
    rbe_model_close(&m);
}

#define BASE "\"vocab_size\":300,\"n_ctx\":16,\"n_embd\":24,\"n_layer\":2"
#define REFUSE(json, reason) refuse_config((json), (reason), __LINE__)
#define ACCEPT(more, eos) accept_config("{" BASE ",\"n_head\":3" more "}", (eos), __LINE__)

static void check_configs(void)
{
    REFUSE("", "JSON");
    REFUSE("[]", "object");
    REFUSE("{}", "vocab_size");
    REFUSE("{" BASE "}", "n_head");
    REFUSE("{" BASE ",\"n_head\":0}", "n_head");
    REFUSE("{" BASE ",\"n_head\":-3}", "n_head");
    REFUSE("{" BASE ",\"n_head\":2.5}", "n_head");
    REFUSE("{" BASE ",\"n_head\":\"3\"}", "n_head");
    REFUSE("{" BASE ",\"n_head\":99999999999999999999}", "JSON at line 1: too big integer");
    REFUSE("{" BASE ",\"n_head\":5}", "multiple");
    REFUSE("{" BASE ",\"n_head\":3,\"n_head\":3}", "JSON at line 1: duplicate object key");
    REFUSE("{" BASE ",\"n_head\":3,\"activation_function\":\"relu\"}", "gelu_new");
    REFUSE("{" BASE ",\"n_head\":3,\"tie_word_embeddings\":false}",
           "tensor 'lm_head.weight' is missing");
    REFUSE("{" BASE ",\"n_head\":3,\"tie_word_embeddings\":0}",
           "tie_word_embeddings: an integer where true or false is expected");
    REFUSE("{" BASE ",\"n_head\":3,\"scale_attn_weights\":false}", "attention");
    REFUSE("{" BASE ",\"n_head\":3,\"layer_norm_epsilon\":0}", "layer_norm_epsilon");
    REFUSE("{" BASE ",\"n_head\":3,\"eos_token_id\":300}", "eos_token_id");
    REFUSE("{" BASE ",\"n_head\":3,\"n_inner\":97}", "mlp.c_fc");
    REFUSE("{\"vocab_size\":300,\"n_ctx\":17,\"n_embd\":24,\"n_layer\":2,\"n_head\":3}",
           "wpe.weight");
    REFUSE("{\"vocab_size\":300,\"n_ctx\":16,\"n_embd\":24,\"n_layer\":1,\"n_head\":3}",
           "h.1.");
    /* Far more than the file holds: no attempt to allocate it. */
    REFUSE("{\"vocab_size\":16777216,\"n_ctx\":1048576,\"n_embd\":65536,\"n_layer\":4096,"
           "\"n_head\":1}", "wte.weight");
    /* Another type than expected, by the key and both types. */
    REFUSE("{" BASE ",\"n_head\":\"3\"}", "n_head: a string where a number is expected");
    REFUSE("{" BASE ",\"n_head\":[3]}", "n_head: a list where a number is expected");
    REFUSE("{" BASE ",\"n_head\":true}", "n_head: true where a number is expected");
    REFUSE("{" BASE ",\"n_head\":3.0}", "n_head: a number with a fraction where an integer");
    REFUSE("{\"n_head\":3," BASE ",\"n_positions\":{}}",
           "n_positions: an object where a number is expected");
    REFUSE("{\"n_ctx\":\"x\",\"vocab_size\":300}", "n_ctx: a string where a number");
    REFUSE("{" BASE ",\"n_head\":3,\"n_inner\":\"96\"}", "n_inner: a string where a number");
    REFUSE("{" BASE ",\"n_head\":3,\"eos_token_id\":[]}",
           "eos_token_id: a list where an integer is expected");
    ACCEPT(",\"eos_token_id\":[298, 299]", 298);
    REFUSE("{" BASE ",\"n_head\":3,\"eos_token_id\":\"299\"}", "eos_token_id: a string");
    REFUSE("{" BASE ",\"n_head\":3,\"eos_token_id\":-1}", "eos_token_id");
    REFUSE("{" BASE ",\"n_head\":3,\"bos_token_id\":300}",
           "bos_token_id is outside the vocabulary");
    REFUSE("{" BASE ",\"n_head\":3,\"bos_token_id\":\"<s>\"}", "bos_token_id: a string");
    REFUSE("{" BASE ",\"n_head\":3,\"layer_norm_epsilon\":\"1e-5\"}",
           "layer_norm_epsilon: a string where a number is expected");
    REFUSE("{" BASE ",\"n_head\":3,\"layer_norm_epsilon\":1e-60}", "between 0 and 1");
    REFUSE("{" BASE ",\"n_head\":3,\"activation_function\":1}",
           "activation_function: an integer where a string is expected");
    REFUSE("{" BASE ",\"n_head\":3,\"scale_attn_weights\":0}",
           "scale_attn_weights: an integer where true or false is expected");
    /* What would change the result. */
    REFUSE("{" BASE ",\"n_head\":3,\"scale_attn_by_inverse_layer_idx\":true}", "not scaled");
    REFUSE("{" BASE ",\"n_head\":3,\"add_cross_attention\":true}", "cross attention");
    REFUSE("{" BASE ",\"n_head\":3,\"is_encoder_decoder\":true}", "encoder");
    REFUSE("{" BASE ",\"n_head\":3,\"activation_function\":\"gelu\"}", "gelu_new");
    REFUSE("{" BASE ",\"n_head\":3,\"model_type\":\"imagegpt\"}", "model_type");
    REFUSE("{" BASE ",\"n_head\":3,\"quantization_config\":{\"bits\":4}}", "quantised");
    /* No configuration at all. */
    REFUSE("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-LFS pointer");
    REFUSE("\n<!DOCTYPE html><html></html>", "HTML page");
    /* And what is as good as GPT-2's: null is absent, n_positions comes first. */
    ACCEPT("", 299);
    ACCEPT(",\"eos_token_id\":null,\"n_inner\":null,\"layer_norm_epsilon\":null", 299);
    ACCEPT(",\"eos_token_id\":[298],\"bos_token_id\":[299, 1],\"pad_token_id\":300", 298);
    ACCEPT(",\"eos_token_id\":7,\"bos_token_id\":null", 7);
    ACCEPT(",\"eos_token_id\":7,\"reorder_and_upcast_attn\":true", 7);
    ACCEPT(",\"tie_word_embeddings\":true,\"scale_attn_weights\":true,"
           "\"add_cross_attention\":false,\"model_type\":\"gpt2\"", 299);
    accept_config("{\"n_head\":3,\"n_ctx\":9,\"n_positions\":16,\"vocab_size\":300,"
                  "\"n_embd\":24,\"n_layer\":2}", 299, __LINE__);
    ACCEPT(",\"architectures\":[\"GPT2LMHeadModel\"]", 299);
    ACCEPT(",\"architectures\":null", 299);
    accept_config("\xef\xbb\xbf{" BASE ",\"n_head\":3}", 299, __LINE__);
    unlink(config_path);
    refuse(RBE_ERR_IO, "config.json", __LINE__);
}

/* Random damage to the header: refused, or a model that runs. */
static void check_fuzz(struct check_rng *rng)
{
    struct rbe_diag d;
    char *bytes;
    size_t size;
    unsigned opened = 0;

    write_tensors(good, good_count);
    CHECK(!rbe_read_file(&bytes, &size, model_path, &d));
    const uint32_t header = 8 + ((uint8_t)bytes[0] | (uint32_t)(uint8_t)bytes[1] << 8);
    for (int i = 0; i < 600; i++) {
        char *b = malloc(size);
        struct rbe_model *m;
        memcpy(b, bytes, size);
        for (int k = 1 + (int)check_below(rng, 3); k > 0; k--)
            b[check_below(rng, header)] ^= (char)(1 << check_below(rng, 8));
        put(model_path, b, i % 4 ? size : check_below(rng, (uint32_t)size));
        free(b);
        const enum rbe_status err = rbe_model_open(&m, dir, &d);
        CHECK(err ? !m && strstr(d.text, dir) != NULL : m != NULL);
        if (!err) {
            struct rbe_session *s;
            const uint32_t ids[3] = {1, 2, 3};
            float logits[300];
            CHECK(!rbe_session_open(&s, m, (struct rbe_session_limits){0}, NULL, &d));
            CHECK(!rbe_forward(s, ids, 3, &d) && !rbe_logits(s, RBE_LAST, 1, logits, &d));
            rbe_session_close(&s);
            opened++;
        }
        rbe_model_close(&m);
    }
    printf("%u of 600 damaged headers still made a model\n", opened);
    free(bytes);
}

/* The tokens' last logits. */
static void run(float *logits, char sha256[65], size_t *bytes)
{
    const uint32_t ids[3] = {1, 2, 3};
    struct rbe_session *s = NULL;
    struct rbe_model *m = NULL;
    struct rbe_diag d = {""};

    memset(logits, 0, 300 * sizeof *logits);
    if (CHECK(!rbe_model_open(&m, dir, &d) && !rbe_model_hash(m, &d) &&
              !rbe_session_open(&s, m, (struct rbe_session_limits){0}, NULL, &d) &&
              !rbe_forward(s, ids, 3, &d) && !rbe_logits(s, RBE_LAST, 1, logits, &d))) {
        memcpy(sha256, rbe_model_sha256(m), 65);
        *bytes = rbe_model_file_bytes(m);
    } else {
        printf("     %s\n", d.text);
    }
    rbe_session_close(&s);
    rbe_model_close(&m);
}

/* A file that takes the place of the one that was opened is not taken for it. */
static void check_replaced(void)
{
    struct rbe_model *m = NULL;
    struct rbe_diag d = {""};

    write_tensors(good, good_count);
    if (!CHECK(!rbe_model_open(&m, dir, &d)))
        return;
    write_tensors(good, good_count);
    CHECK(rbe_model_hash(m, &d) == RBE_ERR_MISMATCH && !rbe_model_sha256(m) &&
          strstr(d.text, "model.safetensors: was replaced"));
    rbe_model_close(&m);
    CHECK(!rbe_model_open(&m, dir, &d) && !rbe_model_hash(m, &d) && rbe_model_sha256(m));
    rbe_model_close(&m);
}

/* The same weights in two files give the same numbers; a row's hash is that of all of it. */
static void check_shards(void)
{
    static float want[300], got[300];
    char *path[3] = {rbe_path_join(dir, "model-1.safetensors"),
                     rbe_path_join(dir, "model-2.safetensors"),
                     rbe_path_join(dir, "model.safetensors.index.json")};
    char index[4000] = "{\"metadata\":{\"total_size\":1},\"weight_map\":{", sha256[3][65];
    const size_t half = good_count / 2;
    size_t bytes[3];
    struct rbe_diag d;

    write_tensors(good, good_count);
    run(want, sha256[0], &bytes[0]);
    unlink(model_path);
    for (size_t i = 0, n = strlen(index); i < good_count; i++)
        n += (size_t)snprintf(index + n, sizeof index - n,
                              "%s\"%s\":\"model-%d.safetensors\"%s", i ? "," : "",
                              good[i].name, 1 + (i >= half), i + 1 < good_count ? "" : "}}");
    put(path[2], index, strlen(index));
    CHECK(!rbe_safetensors_write(path[0], good, half, NULL, &d));
    refuse(RBE_ERR_IO, "model-2.safetensors: No such file", __LINE__);
    CHECK(!rbe_safetensors_write(path[1], good + half, good_count - half, NULL, &d));
    run(got, sha256[1], &bytes[1]);
    CHECK(!memcmp(want, got, sizeof got) && strcmp(sha256[0], sha256[1]) != 0 &&
          bytes[1] > bytes[0]);
    /* One weight of the second file. */
    struct rbe_tensor_out t[MAX];
    memcpy(t, good, sizeof t);
    static float changed[300 * 24];
    t[half].data = changed;
    t[half].dtype = RBE_DT_F32;
    CHECK(!rbe_safetensors_write(path[1], t + half, good_count - half, NULL, &d));
    run(got, sha256[2], &bytes[2]);
    CHECK(memcmp(want, got, sizeof got) != 0 && strcmp(sha256[1], sha256[2]) != 0);
    for (int i = 0; i < 3; i++) {
        unlink(path[i]);
        free(path[i]);
    }
    refuse(RBE_ERR_IO, "no model.safetensors", __LINE__);
    char *other = rbe_path_join(dir, "pytorch_model.bin");
    put(other, "PK\3\4", 4);
    refuse(RBE_ERR_FORMAT, "holds pytorch_model.bin", __LINE__);
    unlink(other);
    free(other);
    put(model_path, "PK\3\4--------", 12);
    refuse(RBE_ERR_FORMAT, "zip archive", __LINE__);
    write_tensors(good, good_count);
}

/* Weights in float64 are those in float32. */
static void check_f64(void)
{
    static float want[300], got[300];
    struct rbe_tensor_out t[MAX];
    double *wide[MAX];
    char sha256[65];
    struct rbe_diag d;
    size_t bytes;

    write_tensors(good, good_count);
    run(want, sha256, &bytes);
    memcpy(t, good, sizeof t);
    for (size_t i = 0; i < good_count; i++) {
        const struct rbe_tensor *from = rbe_safetensors_find(source, good[i].name);
        float *v = malloc(from->count * sizeof *v);
        wide[i] = malloc(from->count * sizeof *wide[i]);
        CHECK(!rbe_tensor_to_f32(from, v, &d));
        for (size_t k = 0; k < from->count; k++)
            wide[i][k] = (double)v[k];
        free(v);
        t[i].dtype = RBE_DT_F64;
        t[i].data = wide[i];
    }
    write_tensors(t, good_count);
    run(got, sha256, &bytes);
    CHECK(!memcmp(want, got, sizeof got));
    wide[3][5] = 1e300;         /* no float32 */
    write_tensors(t, good_count);
    refuse(RBE_ERR_NUMERIC, t[3].name, __LINE__);
    for (size_t i = 0; i < good_count; i++)
        free(wide[i]);
    write_tensors(good, good_count);
}

static void check_sizes(void)
{
    static const struct {
        const char *name, *other;
        uint64_t params;
    } sizes[] = {{"117M", "124M", 124439808}, {"345M", "355M", 354823168},
                 {"774M", "774M", 774030080}, {"1558M", "1.5B", 1557611200}};
    struct rbe_model_config c, o;
    struct rbe_diag d;

    for (size_t i = 0; i < 4; i++) {
        CHECK(!rbe_model_config_size(&c, sizes[i].name, &d));
        CHECK(!rbe_model_config_size(&o, sizes[i].other, &d) && !memcmp(&c, &o, sizeof c));
        CHECK(rbe_model_config_params(&c) == sizes[i].params);
    }
    CHECK(rbe_model_config_size(&c, "125M", &d) == RBE_ERR_ARG && strstr(d.text, "124M"));
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    struct rbe_diag d;

    rbe_cpu_init();
    if (!CHECK(mkdtemp(dir) != NULL))
        return check_done();
    char *source_path = rbe_path_join(dir, "source.safetensors");
    model_path = rbe_path_join(dir, "model.safetensors");
    config_path = rbe_path_join(dir, "config.json");
    CHECK(!rbe_synth(dir, &config, RBE_DT_F16, 1, &d));
    CHECK(!rename(model_path, source_path));
    CHECK(!rbe_safetensors_open(&source, source_path, &d));
    for (; good_count < rbe_safetensors_count(source) && good_count < MAX - 2; good_count++) {
        const struct rbe_tensor *t = rbe_safetensors_at(source, good_count);
        good[good_count] = (struct rbe_tensor_out){
            t->name, t->dtype, t->dims, {t->shape[0], t->dims > 1 ? t->shape[1] : 1}, t->data};
    }
    CHECK(good_count == 28);
    check_each_tensor();
    check_extra_tensors();
    check_fuzz(&rng);
    check_replaced();
    check_shards();
    check_f64();
    write_tensors(good, good_count);
    check_configs();
    check_sizes();
    rbe_safetensors_close(&source);
    char *const files[] = {source_path, model_path, config_path};
    for (int i = 0; i < 3; i++) {
        unlink(files[i]);
        free(files[i]);
    }
    CHECK(!rmdir(dir));
    return check_done();
}

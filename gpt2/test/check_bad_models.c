/*
 * check_bad_models.c - models that are not what they say are refused by name.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "gpt2/model.h"
#include "gpt2/synth.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "rbe/file.h"

static char dir[] = "/tmp/rbe-check-bad-XXXXXX";
static char *model_path, *config_path;

static const struct rbe_gpt2_config config = {.vocab = 300, .n_ctx = 16, .n_embd = 24,
                                              .n_layer = 2, .n_head = 3, .n_inner = 96,
                                              .ln_eps = 1e-5F, .eos = 299};

enum { MAX = 64 };
static struct rbe_tensor_out good[MAX];
static size_t good_count;
static struct rbe_safetensors *source;

static void refuse(enum rbe_status want, const char *reason, int line)
{
    struct rbe_gpt2 *m = NULL;
    struct rbe_diag d = {""};
    const enum rbe_status err = rbe_gpt2_open(&m, dir, &d);

    if (!check_that(err == want && !m && strstr(d.text, reason) && strstr(d.text, dir) &&
                    !strchr(d.text, '\n'), __FILE__, line, "is refused with the right reason"))
        printf("     status %d, '%s', want '%s'\n", err, d.text, reason);
    rbe_gpt2_close(&m);
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
        {{"transformer.h.1.attn.masked_bias", RBE_DT_F32, 0, {0}, zero}, true}};
    struct rbe_tensor_out t[MAX];

    for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++) {
        struct rbe_gpt2 *m;
        struct rbe_diag d;
        memcpy(t, good, sizeof t);
        t[good_count] = extra[i].t;
        write_tensors(t, good_count + 1);
        if (extra[i].fine) {
            CHECK(!rbe_gpt2_open(&m, dir, &d));
            rbe_gpt2_close(&m);
        } else if (!strncmp(extra[i].t.name, "transformer.", 12)) {
            refuse(RBE_ERR_FORMAT, "transformer.", __LINE__);
        } else {
            refuse(RBE_ERR_MISMATCH, extra[i].t.name, __LINE__);
        }
    }
    /* The output layer once more is fine when it is the same; so are prefixed names. */
    static char names[MAX][80];
    struct rbe_gpt2 *m;
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
    if (!CHECK(!rbe_gpt2_open(&m, dir, &d)))
        printf("     %s\n", d.text);
    rbe_gpt2_close(&m);
}

static void refuse_config(const char *json, const char *reason, int line)
{
    put(config_path, json, strlen(json));
    struct rbe_gpt2 *m = NULL;
    struct rbe_diag d = {""};
    const enum rbe_status err = rbe_gpt2_open(&m, dir, &d);
    if (!check_that(err && !m && strstr(d.text, reason), __FILE__, line,
                    "configuration is refused with the right reason"))
        printf("     status %d, '%s', want '%s'\n", err, d.text, reason);
    rbe_gpt2_close(&m);
}

#define BASE "\"vocab_size\":300,\"n_ctx\":16,\"n_embd\":24,\"n_layer\":2"
#define REFUSE(json, reason) refuse_config((json), (reason), __LINE__)

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
    REFUSE("{" BASE ",\"n_head\":99999999999999999999}", "JSON");
    REFUSE("{" BASE ",\"n_head\":5}", "multiple");
    REFUSE("{" BASE ",\"n_head\":3,\"n_head\":3}", "JSON");
    REFUSE("{" BASE ",\"n_head\":3,\"activation_function\":\"relu\"}", "gelu_new");
    REFUSE("{" BASE ",\"n_head\":3,\"tie_word_embeddings\":false}", "tie_word_embeddings");
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
           "\"n_head\":1}", "too few");
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
        struct rbe_gpt2 *m;
        memcpy(b, bytes, size);
        for (int k = 1 + (int)check_below(rng, 3); k > 0; k--)
            b[check_below(rng, header)] ^= (char)(1 << check_below(rng, 8));
        put(model_path, b, i % 4 ? size : check_below(rng, (uint32_t)size));
        free(b);
        const enum rbe_status err = rbe_gpt2_open(&m, dir, &d);
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
        rbe_gpt2_close(&m);
    }
    printf("%u of 600 damaged headers still made a model\n", opened);
    free(bytes);
}

static void check_sizes(void)
{
    static const struct {
        const char *name, *other;
        uint64_t params;
    } sizes[] = {{"117M", "124M", 124439808}, {"345M", "355M", 354823168},
                 {"774M", "774M", 774030080}, {"1558M", "1.5B", 1557611200}};
    struct rbe_gpt2_config c, o;
    struct rbe_diag d;

    for (size_t i = 0; i < 4; i++) {
        CHECK(!rbe_gpt2_config_size(&c, sizes[i].name, &d));
        CHECK(!rbe_gpt2_config_size(&o, sizes[i].other, &d) && !memcmp(&c, &o, sizeof c));
        CHECK(rbe_gpt2_config_params(&c) == sizes[i].params);
    }
    CHECK(rbe_gpt2_config_size(&c, "125M", &d) == RBE_ERR_ARG && strstr(d.text, "124M"));
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

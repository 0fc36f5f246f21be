/*
 * check_layers.c - every layer's products see what a double-precision forward pass gives
 * them: on odd small shapes, and with the attention weights of real GPT-2.
 *
 * SPDX-License-Identifier: MIT
 *
 * The tap of a session hands out the inputs of each matrix product: layer norm 1, attention,
 * layer norm 2, GELU.  They are compared with the oracle's as they come.
 */
#include <signal.h>
#include <unistd.h>

#include "base/file.h"
#include "base/progress.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/model.h"
#include "model/synth.h"
#include "model/test/oracle.h"

static char dir[] = "/tmp/rbe-check-layers-XXXXXX";

struct watch {
    const struct oracle *o;
    size_t calls, first;        /* products seen in this pass; position of its first token */
    double worst[ORACLE_STAGES + 1];
};

/* Error of a product's inputs, against the largest magnitude of the row. */
static void on_product(void *arg, const char *name, const float *x, size_t ldx, size_t count,
                       size_t cols)
{
    struct watch *w = arg;
    const size_t layer = w->calls / ORACLE_STAGES, stage = w->calls % ORACLE_STAGES;
    const bool head = layer == w->o->c.n_layer;
    const double *want = head ? w->o->last : w->o->stage[layer][stage];
    double *worst = &w->worst[head ? ORACLE_STAGES : stage];

    CHECK(head == (!strcmp(name, "wte.weight") || !strcmp(name, "embed_tokens.weight") ||
                   !strcmp(name, "lm_head.weight")));
    for (size_t t = 0; t < count; t++) {
        const double *row = want + (w->first + t) * cols;
        double max = 0, err = 0;
        for (size_t i = 0; i < cols; i++) {
            const double e = fabs(x[t * ldx + i] - row[i]);
            max = fmax(max, fabs(row[i]));
            err = e <= err ? err : e;
        }
        if (!(err <= *worst * max))
            *worst = err / max;
    }
    w->calls++;
}

/* The output layer's products of positions from `first` on. */
static void check_logits(const struct oracle *o, size_t first, size_t count,
                         const float *logits)
{
    const bool llama = o->c.arch == RBE_ARCH_LLAMA;
    const size_t e = o->c.n_embd, vocab = o->c.vocab;
    double *w = oracle_tensor(o, rbe_safetensors_find(o->file, "lm_head.weight") ?
                                     "lm_head.weight" :
                                     llama ? "embed_tokens.weight" : "wte.weight");
    double worst = 0, largest = 0;

    for (size_t t = 0; t < count; t++)
        for (size_t k = 0; k < vocab; k++) {
            double want = 0;
            for (size_t i = 0; i < e; i++)
                want += o->last[(first + t) * e + i] * w[k * e + i];
            const double error = fabs(logits[t * vocab + k] - want);
            worst = error <= worst ? worst : error;
            largest = fmax(largest, fabs(want));
        }
    CHECK_NEAR(worst, 0, 2e-5 * largest);
    free(w);
}

/* In one batch, then one token at a time. */
static void compare(struct rbe_model *m, const struct oracle *o, const uint32_t *tokens,
                    float *logits, const char *label, double tolerance)
{
    struct rbe_session *s;
    struct rbe_diag d = {""};
    const struct rbe_session_limits l = {.max_tokens = (uint32_t)o->tokens,
                                         .max_logits = (uint32_t)o->tokens};

    if (!CHECK(!rbe_session_open(&s, m, l, NULL, &d)))
        return;
    /* An interrupt ends a pass and appends nothing, where that was asked for. */
    rbe_catch_interrupt();
    rbe_interrupt_grace = 0;
    CHECK(!raise(SIGTERM) && rbe_interrupted());
    rbe_session_stop_early(s, true);
    CHECK(rbe_forward(s, tokens, o->tokens, &d) == RBE_ERR_INTERRUPTED);
    CHECK(rbe_session_length(s) == 0);
    rbe_session_stop_early(s, false);
    CHECK(!rbe_forward(s, tokens, o->tokens, &d) && rbe_session_length(s) == o->tokens);
    rbe_clear_interrupt();
    for (int way = 0; way < 2; way++) {
        struct watch w = {.o = o};
        rbe_session_tap(s, on_product, &w);
        rbe_session_truncate(s, 0);
        const size_t step = way == 0 ? o->tokens : 1;
        for (size_t t = 0; t < o->tokens; t += step) {
            w.calls = 0;
            w.first = t;
            CHECK(!rbe_forward(s, tokens + t, step, &d));
            CHECK(!rbe_logits(s, 0, step, logits, &d));
            CHECK(w.calls == ORACLE_STAGES * o->c.n_layer + 1);
            check_logits(o, t, step, logits);
        }
        printf("%s, %s: worst error of the largest value: norm 1 %.1g, attention %.1g, norm 2 "
               "%.1g, GELU %.1g, last norm %.1g\n", label, way ? "token by token" : "batch",
               w.worst[0], w.worst[1], w.worst[2], w.worst[3], w.worst[4]);
        for (int i = 0; i <= ORACLE_STAGES; i++)
            CHECK_NEAR(w.worst[i], 0, tolerance);
    }
    rbe_session_close(&s);
}

static void run_checkpoint(const char *label, size_t tokens, struct check_rng *rng,
                           double tolerance)
{
    char *path = rbe_path_join(dir, "model.safetensors");
    struct rbe_safetensors *file = NULL;
    struct rbe_model *m = NULL;
    struct rbe_diag d = {""};
    uint32_t ids[64];

    if (!CHECK(!rbe_model_open(&m, dir, &d)) ||
        !CHECK(!rbe_safetensors_open(&file, path, &d))) {
        printf("     %s\n", d.text);
    } else {
        struct oracle o;
        const uint32_t vocab = rbe_model_config(m)->vocab;
        float *logits = malloc(tokens * vocab * sizeof *logits);
        for (size_t i = 0; i < tokens; i++)
            ids[i] = check_below(rng, vocab);
        oracle_run(&o, rbe_model_config(m), file, ids, tokens);
        compare(m, &o, ids, logits, label, tolerance);
        oracle_close(&o);
        free(logits);
    }
    rbe_safetensors_close(&file);
    rbe_model_close(&m);
    free(path);
}

/* Shapes no published model has: heads of 20, inner sizes of their own, one layer. */
static void check_odd_shapes(struct check_rng *rng)
{
    const struct rbe_model_config shapes[] = {
        {.vocab = 300, .n_ctx = 40, .n_embd = 60, .n_layer = 2, .n_head = 3, .n_inner = 240},
        {.vocab = 257, .n_ctx = 33, .n_embd = 7, .n_layer = 3, .n_head = 7, .n_inner = 9},
        {.vocab = 999, .n_ctx = 64, .n_embd = 96, .n_layer = 1, .n_head = 1, .n_inner = 130}};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct rbe_model_config c = shapes[i];
        struct rbe_diag d;
        char label[64];
        c.ln_eps = 1e-5F;
        c.eos = c.vocab - 1;
        CHECK(!rbe_synth(dir, &c, i % 2 ? RBE_DT_BF16 : RBE_DT_F32, i, &d));
        snprintf(label, sizeof label, "%u wide, %u heads", c.n_embd, c.n_head);
        run_checkpoint(label, 31, rng, 2e-5);
    }
}

/* Llama: heads wider and narrower than their share, one head of keys for all and one for each,
 * an output layer of its own, scaled positions. */
static void check_llama_shapes(struct check_rng *rng)
{
    const struct rbe_model_config shapes[] = {
        {.vocab = 300, .n_ctx = 40, .n_embd = 60, .n_layer = 2, .n_head = 6, .n_kv = 2,
         .head = 14, .n_inner = 100, .rope_base = 100},
        {.vocab = 257, .n_ctx = 33, .n_embd = 45, .n_layer = 3, .n_head = 5, .n_kv = 5,
         .head = 2, .n_inner = 9, .rope_base = 10000, .rope_scaling = RBE_ROPE_LINEAR,
         .rope_factor = 4, .options = 1U << RBE_OPTION_UNTIED},
        {.vocab = 999, .n_ctx = 64, .n_embd = 576, .n_layer = 1, .n_head = 9, .n_kv = 3,
         .head = 64, .n_inner = 130, .rope_base = 1000, .rope_scaling = RBE_ROPE_LLAMA3,
         .rope_factor = 8, .rope_low = 1, .rope_high = 4, .rope_original = 64},
        {.vocab = 77, .n_ctx = 64, .n_embd = 33, .n_layer = 2, .n_head = 4, .n_kv = 1,
         .head = 20, .n_inner = 64, .rope_base = 10000}};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct rbe_model_config c = shapes[i];
        struct rbe_diag d = {""};
        char label[64];
        c.arch = RBE_ARCH_LLAMA;
        c.ln_eps = 1e-5F;
        c.eos = c.vocab - 1;
        if (!CHECK(!rbe_synth(dir, &c, i % 2 ? RBE_DT_BF16 : RBE_DT_F32, i, &d)))
            printf("     %s\n", d.text);
        snprintf(label, sizeof label, "Llama, %u wide, %u of %u heads", c.n_embd, c.n_kv,
                 c.n_head);
        run_checkpoint(label, 31, rng, 2e-5);
    }
}

/* GPT-2's own attention, norms and biases; its missing MLP and embeddings are generated, the
 * MLP kept small. */
static void check_gpt2(const char *shared, struct check_rng *rng)
{
    enum { LAYERS = 12, WIDTH = 768, INNER = 64, VOCAB = 300, EXTRA = 1 + 3 * LAYERS };
    const struct rbe_model_config c = {.vocab = VOCAB, .n_ctx = 1024, .n_embd = WIDTH,
                                      .n_layer = LAYERS, .n_head = 12, .n_inner = INNER,
                                      .ln_eps = 1e-5F, .eos = VOCAB - 1};
    static float filler[VOCAB * WIDTH];
    static char names[EXTRA][64];
    struct rbe_tensor_out out[200];
    struct rbe_safetensors *real;
    struct rbe_diag d = {""};
    char path[512];
    size_t n = 0, extra = 0;

    snprintf(path, sizeof path, "%s/data/gpt2-partial/gpt2-attention.safetensors", shared);
    if (access(path, R_OK)) {
        printf("SKIP real GPT-2 attention: no %s\n", path);
        return;
    }
    CHECK(!rbe_synth(dir, &c, RBE_DT_F32, 1, &d));      /* for its config.json */
    if (!CHECK(!rbe_safetensors_open(&real, path, &d)))
        return;
    for (size_t i = 0; i < VOCAB * WIDTH; i++)
        filler[i] = 0.15F * check_unit(rng);
    for (size_t i = 0; i < rbe_safetensors_count(real) && n < 150; i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(real, i);
        if (!strstr(t->name, "mlp.c_fc"))
            out[n++] = (struct rbe_tensor_out){t->name, t->dtype, t->dims,
                                               {t->shape[0], t->dims > 1 ? t->shape[1] : 1},
                                               t->data};
    }
    snprintf(names[extra], sizeof names[0], "wte.weight");
    out[n++] = (struct rbe_tensor_out){names[extra++], RBE_DT_F32, 2, {VOCAB, WIDTH}, filler};
    for (unsigned l = 0; l < LAYERS; l++) {
        const struct {
            const char *what;
            unsigned dims;
            uint64_t a, b;
        } mlp[] = {{"c_fc.weight", 2, WIDTH, INNER}, {"c_fc.bias", 1, INNER, 1},
                   {"c_proj.weight", 2, INNER, WIDTH}};
        for (int k = 0; k < 3; k++) {
            snprintf(names[extra], sizeof names[0], "h.%u.mlp.%s", l, mlp[k].what);
            out[n++] = (struct rbe_tensor_out){names[extra++], RBE_DT_F32, mlp[k].dims,
                                               {mlp[k].a, mlp[k].b}, filler + 64 * l};
        }
    }
    char *to = rbe_path_join(dir, "model.safetensors");
    if (!CHECK(!rbe_safetensors_write(to, out, n, NULL, &d)))
        printf("     %s\n", d.text);
    rbe_safetensors_close(&real);
    free(to);
    run_checkpoint("GPT-2's attention, 12 layers", 24, rng, 2e-5);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    const char *shared = getenv("RBE_SHARED");

    rbe_cpu_init();
    if (!CHECK(mkdtemp(dir) != NULL))
        return check_done();
    check_odd_shapes(&rng);
    check_llama_shapes(&rng);
    check_gpt2(shared ? shared : "../shared", &rng);
    const char *const files[] = {"model.safetensors", "config.json"};
    for (int i = 0; i < 2; i++) {
        char *path = rbe_path_join(dir, files[i]);
        unlink(path);
        free(path);
    }
    CHECK(!rmdir(dir));
    return check_done();
}

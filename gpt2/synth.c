/*
 * synth.c - generates a checkpoint.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gpt2/synth.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/f16.h"
#include "rbe/file.h"
#include "rbe/progress.h"

enum { NAME_SIZE = 48, LAYER_TENSORS = 12 };

/* One tensor to make: constant, or normal with this deviation. */
struct recipe {
    char name[NAME_SIZE];
    unsigned dims;
    uint32_t shape[2];
    float deviation, constant;
};

static void add(struct recipe *r, size_t *n, const char *name, unsigned dims, uint32_t a,
                uint32_t b, double deviation, float constant)
{
    r[*n] = (struct recipe){.dims = dims, .shape = {a, b}, .deviation = (float)deviation,
                            .constant = constant};
    snprintf(r[*n].name, NAME_SIZE, "%s", name);
    ++*n;
}

/* In the model's order; r has room for 4 + LAYER_TENSORS n_layer. */
static size_t list_tensors(struct recipe *r, const struct rbe_gpt2_config *c)
{
    const uint32_t e = c->n_embd, f = c->n_inner;
    const double residual = 0.02 / sqrt(2.0 * c->n_layer);
    const struct {
        const char *name;
        unsigned dims;
        uint32_t a, b;
        double deviation;
        float constant;
    } layer[LAYER_TENSORS] = {
        {"ln_1.weight", 1, e, 1, 0, 1},          {"ln_1.bias", 1, e, 1, 0, 0},
        {"attn.c_attn.weight", 2, e, 3 * e, 0.02, 0}, {"attn.c_attn.bias", 1, 3 * e, 1, 0, 0},
        {"attn.c_proj.weight", 2, e, e, residual, 0}, {"attn.c_proj.bias", 1, e, 1, 0, 0},
        {"ln_2.weight", 1, e, 1, 0, 1},          {"ln_2.bias", 1, e, 1, 0, 0},
        {"mlp.c_fc.weight", 2, e, f, 0.02, 0},   {"mlp.c_fc.bias", 1, f, 1, 0, 0},
        {"mlp.c_proj.weight", 2, f, e, residual, 0}, {"mlp.c_proj.bias", 1, e, 1, 0, 0}};
    size_t n = 0;

    add(r, &n, "wte.weight", 2, c->vocab, e, 0.02, 0);
    add(r, &n, "wpe.weight", 2, c->n_ctx, e, 0.01, 0);
    for (uint32_t i = 0; i < c->n_layer; i++)
        for (int k = 0; k < LAYER_TENSORS; k++) {
            char name[NAME_SIZE];
            snprintf(name, sizeof name, "h.%u.%s", i, layer[k].name);
            add(r, &n, name, layer[k].dims, layer[k].a, layer[k].b, layer[k].deviation,
                layer[k].constant);
        }
    add(r, &n, "ln_f.weight", 1, e, 1, 0, 1);
    add(r, &n, "ln_f.bias", 1, e, 1, 0, 0);
    return n;
}

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15ULL;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
}

/* Two independent standard normal values (Box and Muller). */
static void normal_pair(uint64_t *state, double *a, double *b)
{
    const double u = ((double)(next(state) >> 11) + 1) * 0x1p-53;       /* (0, 1] */
    const double v = (double)(next(state) >> 11) * 0x1p-53;
    const double r = sqrt(-2 * log(u));

    *a = r * cos(2 * M_PI * v);
    *b = r * sin(2 * M_PI * v);
}

static void put_value(uint8_t *to, enum rbe_dtype dtype, size_t i, float v)
{
    uint16_t h;

    if (dtype == RBE_DT_F32) {
        memcpy(to + 4 * i, &v, sizeof v);
        return;
    }
    h = dtype == RBE_DT_F16 ? rbe_f16_from_f32(v) : (uint16_t)(rbe_bits_from_f32(v) >> 16);
    memcpy(to + 2 * i, &h, sizeof h);
}

static void fill(const struct recipe *r, enum rbe_dtype dtype, uint64_t state, uint8_t *to,
                 size_t count)
{
    for (size_t i = 0; i < count; i += 2) {
        double a = 0, b = 0;
        if (i % (1 << 20) == 0 && rbe_interrupted())
            return;
        if (r->deviation > 0)
            normal_pair(&state, &a, &b);
        put_value(to, dtype, i, (float)(a * r->deviation) + r->constant);
        if (i + 1 < count)
            put_value(to, dtype, i + 1, (float)(b * r->deviation) + r->constant);
    }
}

static enum rbe_status write_config(const char *folder, const struct rbe_gpt2_config *c,
                                    struct rbe_diag *d)
{
    char *path = rbe_path_join(folder, "config.json");
    struct rbe_outfile o = {0};
    enum rbe_status err;

    if (!path)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", folder);
    if (!(err = rbe_outfile_open(&o, path, d))) {
        fprintf(o.f,
                "{\n \"model_type\": \"gpt2\",\n \"vocab_size\": %u,\n \"n_positions\": %u,"
                "\n \"n_ctx\": %u,\n \"n_embd\": %u,\n \"n_layer\": %u,\n \"n_head\": %u,\n"
                " \"n_inner\": %u,\n \"activation_function\": \"gelu_new\",\n"
                " \"layer_norm_epsilon\": 1e-05,\n \"tie_word_embeddings\": true,\n"
                " \"bos_token_id\": %u,\n \"eos_token_id\": %u\n}\n",
                c->vocab, c->n_ctx, c->n_ctx, c->n_embd, c->n_layer, c->n_head, c->n_inner,
                c->eos, c->eos);
        err = rbe_outfile_commit(&o, d);
    }
    free(path);
    return err;
}

enum rbe_status rbe_synth(const char *folder, const struct rbe_gpt2_config *c,
                          enum rbe_dtype dtype, uint64_t seed, struct rbe_diag *d)
{
    const size_t room = 4 + (size_t)LAYER_TENSORS * c->n_layer;
    struct recipe *r = calloc(room, sizeof *r);
    struct rbe_tensor_out *out = calloc(room, sizeof *out);
    char *path = rbe_path_join(folder, "model.safetensors"), label[160];
    const size_t size = rbe_dtype_size(dtype);
    uint8_t *data = NULL;
    struct rbe_progress p;
    enum rbe_status err;
    size_t count = 0, at = 0, bytes = 0;

    if (!r || !out || !path) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", folder);
        goto done;
    }
    if (dtype != RBE_DT_F32 && dtype != RBE_DT_F16 && dtype != RBE_DT_BF16) {
        err = rbe_fail(d, RBE_ERR_ARG, "weights as %s: F32, F16 or BF16",
                       rbe_dtype_name(dtype));
        goto done;
    }
    count = list_tensors(r, c);
    for (size_t i = 0; i < count; i++) {
        const size_t n = (size_t)r[i].shape[0] * r[i].shape[1];
        out[i] = (struct rbe_tensor_out){.name = r[i].name, .dims = r[i].dims,
                                         .dtype = r[i].dims == 2 ? dtype : RBE_DT_F32,
                                         .shape = {r[i].shape[0], r[i].shape[1]}};
        bytes += n * (r[i].dims == 2 ? size : sizeof(float));
    }
    data = malloc(bytes);
    if (!data) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: %zu MB of memory are not to be had", folder,
                       bytes / 1000000);
        goto done;
    }
    if ((err = rbe_make_dirs(folder, d)))
        goto done;
    rbe_progress_start(&p, "synth", "weights", (double)rbe_gpt2_config_params(c));
    double made = 0;
    for (size_t i = 0; i < count && !err; i++) {
        const size_t n = (size_t)r[i].shape[0] * r[i].shape[1];
        uint64_t state = seed ^ (i + 1) * 0xD1B54A32D192ED03ULL;
        out[i].data = data + at;
        fill(&r[i], out[i].dtype, next(&state), data + at, n);
        at += n * rbe_dtype_size(out[i].dtype);
        made += (double)n;
        rbe_progress_update(&p, made, r[i].name);
        if (rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "%s: interrupted, nothing written", folder);
    }
    rbe_progress_end(&p);
    if (err)
        goto done;
    snprintf(label, sizeof label, "synthetic weights, N(0, 0.02) as GPT-2 is initialised, seed "
             "%llu; not trained", (unsigned long long)seed);
    const char *const meta[] = {"format", "pt", "synthetic", label, NULL};
    if (!(err = write_config(folder, c, d)))
        err = rbe_safetensors_write(path, out, count, meta, d);
done:
    free(data);
    free(path);
    free(out);
    free(r);
    return err;
}

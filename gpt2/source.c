/*
 * source.c - opens a checkpoint and finds the architecture's tensors in it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gpt2/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rbe/container.h"
#include "rbe/file.h"

/* The weight file of path, and config.json beside it; fresh strings. */
static enum rbe_status find_files(char **weights, char **config, const char *path,
                                  struct rbe_diag *d)
{
    struct stat st;

    *weights = *config = NULL;
    if (stat(path, &st) < 0)
        return rbe_fail_errno(d, "%s", path);
    if (S_ISDIR(st.st_mode)) {
        *weights = rbe_path_join(path, "model.safetensors");
        *config = rbe_path_join(path, "config.json");
    } else {
        char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
        if (slash)
            slash[slash == folder] = 0;
        *weights = strdup(path);
        *config = folder ? rbe_path_join(slash ? folder : ".", "config.json") : NULL;
        free(folder);
    }
    if (!*weights || !*config)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    return RBE_OK;
}

static const struct rbe_tensor *find_tensor(const struct rbe_safetensors *f, const char *name)
{
    char full[96];
    const struct rbe_tensor *t = rbe_safetensors_find(f, name);

    if (t)
        return t;
    snprintf(full, sizeof full, "transformer.%s", name);
    return rbe_safetensors_find(f, full);
}

/* Appends a tensor whose file shape is [shape0][shape1], or [shape1] with shape0 0. */
static enum rbe_status add(struct rbe_source *s, int layer, const char *name, uint32_t shape0,
                           uint32_t shape1, bool matrix, struct rbe_diag *d)
{
    struct rbe_source_tensor *t = &s->tensors[s->count];
    const char *path = rbe_safetensors_path(s->file);

    if (layer >= 0)
        snprintf(t->name, sizeof t->name, "h.%d.%s", layer, name);
    else
        snprintf(t->name, sizeof t->name, "%s", name);
    t->matrix = matrix;
    t->transposed = matrix && layer >= 0;
    t->rows = t->transposed ? shape1 : shape0 ? shape0 : 1;
    t->cols = t->transposed ? shape0 : shape1;
    t->tensor = find_tensor(s->file, t->name);
    if (!t->tensor)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is missing", path, t->name);
    const struct rbe_tensor *f = t->tensor;
    const bool fits = shape0 ? f->dims == 2 && f->shape[0] == shape0 && f->shape[1] == shape1
                             : f->dims == 1 && f->shape[0] == shape1;
    if (!fits)
        return rbe_fail(d, RBE_ERR_MISMATCH,
                        "%s: tensor '%s' does not have the shape that config.json says", path,
                        t->name);
    if (f->dtype != RBE_DT_F32 && f->dtype != RBE_DT_F16 && f->dtype != RBE_DT_BF16)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is %s; F32, F16 or BF16 is needed",
                        path, t->name, rbe_dtype_name(f->dtype));
    s->count++;
    return RBE_OK;
}

static enum rbe_status find_tensors(struct rbe_source *s, struct rbe_diag *d)
{
    const struct rbe_gpt2_config *c = &s->config;
    const uint32_t e = c->n_embd, f = c->n_inner;
    const struct {
        const char *name;
        uint32_t shape0, shape1;
        bool matrix;
    } layer[] = {{"ln_1.weight", 0, e, false},
                 {"ln_1.bias", 0, e, false},
                 {"attn.c_attn.weight", e, 3 * e, true},
                 {"attn.c_attn.bias", 0, 3 * e, false},
                 {"attn.c_proj.weight", e, e, true},
                 {"attn.c_proj.bias", 0, e, false},
                 {"ln_2.weight", 0, e, false},
                 {"ln_2.bias", 0, e, false},
                 {"mlp.c_fc.weight", e, f, true},
                 {"mlp.c_fc.bias", 0, f, false},
                 {"mlp.c_proj.weight", f, e, true},
                 {"mlp.c_proj.bias", 0, e, false}};
    enum { PER_LAYER = sizeof layer / sizeof *layer };
    enum rbe_status err;

    s->tensors = calloc((size_t)c->n_layer * PER_LAYER + 4, sizeof *s->tensors);
    if (!s->tensors)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if ((err = add(s, -1, "wte.weight", c->vocab, e, true, d)) ||
        (err = add(s, -1, "wpe.weight", c->n_ctx, e, false, d)))
        return err;
    for (uint32_t l = 0; l < c->n_layer; l++)
        for (size_t i = 0; i < PER_LAYER; i++)
            if ((err = add(s, (int)l, layer[i].name, layer[i].shape0, layer[i].shape1,
                           layer[i].matrix, d)))
                return err;
    if ((err = add(s, -1, "ln_f.weight", 0, e, false, d)))
        return err;
    return add(s, -1, "ln_f.bias", 0, e, false, d);
}

enum rbe_status rbe_source_open(struct rbe_source **out, const char *path, struct rbe_diag *d)
{
    char *weights = NULL, *config = NULL;
    enum rbe_status err;
    size_t size;

    *out = NULL;
    struct rbe_source *s = calloc(1, sizeof *s);
    if (!s)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    if ((err = find_files(&weights, &config, path, d)) ||
        (err = rbe_safetensors_open(&s->file, weights, d)))
        goto out;
    if (rbe_container_is(s->file)) {
        err = rbe_fail(d, RBE_ERR_ARG, "%s: is an RBE model already; a checkpoint is needed",
                       weights);
        goto out;
    }
    if ((err = rbe_read_file(&s->config_json, &size, config, d)) ||
        (err = rbe_gpt2_config_parse(&s->config, s->config_json, size, config, d)) ||
        (err = find_tensors(s, d)) || (err = rbe_sha256_file(s->sha256, weights, d)))
        goto out;
    s->label = rbe_safetensors_meta(s->file, "synthetic");
out:
    free(weights);
    free(config);
    if (err)
        rbe_source_close(&s);
    *out = s;
    return err;
}

void rbe_source_close(struct rbe_source **ps)
{
    struct rbe_source *s = *ps;

    if (!s)
        return;
    rbe_safetensors_close(&s->file);
    free(s->config_json);
    free(s->tensors);
    free(s);
    *ps = NULL;
}

const struct rbe_source_tensor *rbe_source_find(const struct rbe_source *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (!strcmp(s->tensors[i].name, name))
            return &s->tensors[i];
    return NULL;
}

/* out [cols][rows] = in [rows][cols], in tiles that stay in the cache. */
static void transpose(float *out, const float *in, size_t rows, size_t cols)
{
    enum { TILE = 32 };

    for (size_t r0 = 0; r0 < rows; r0 += TILE)
        for (size_t c0 = 0; c0 < cols; c0 += TILE)
            for (size_t r = r0; r < rows && r < r0 + TILE; r++)
                for (size_t c = c0; c < cols && c < c0 + TILE; c++)
                    out[c * rows + r] = in[r * cols + c];
}

enum rbe_status rbe_source_read(float **out, const struct rbe_source *s,
                                const struct rbe_source_tensor *t, struct rbe_diag *d)
{
    const size_t n = (size_t)t->rows * t->cols;
    struct rbe_diag why = {""};
    float *turned = NULL;
    enum rbe_status err;

    *out = NULL;
    float *w = malloc(n * sizeof *w);
    if (!w) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    if ((err = rbe_tensor_to_f32(t->tensor, w, &why))) {
        rbe_fail(d, err, "%s: %s", rbe_safetensors_path(s->file), why.text);
        goto out;
    }
    if (t->transposed) {
        if (!(turned = malloc(n * sizeof *turned))) {
            err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
            goto out;
        }
        transpose(turned, w, t->cols, t->rows);
        free(w);
        w = turned;
    }
    *out = w;
    w = NULL;
out:
    free(w);
    return err;
}

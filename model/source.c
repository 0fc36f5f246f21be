/*
 * source.c - opens a GPT-2's weight file and finds the architecture's tensors in it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/source.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "rbe/encode.h"

/* --- the architecture --------------------------------------------------------------------- */

size_t rbe_source_count(const struct rbe_gpt2_config *c)
{
    return RBE_SOURCE_LAYERS + RBE_SOURCE_PER_LAYER * (size_t)c->n_layer + 2;
}

struct rbe_source_tensor rbe_source_tensor(const struct rbe_gpt2_config *c, size_t i)
{
    const uint32_t e = c->n_embd, f = c->n_inner;
    const struct {
        const char *name;
        unsigned dims;
        uint32_t rows, cols;
    } layer[RBE_SOURCE_PER_LAYER] = {{"ln_1.weight", 1, 1, e},
                                     {"ln_1.bias", 1, 1, e},
                                     {"attn.c_attn.weight", 2, 3 * e, e},
                                     {"attn.c_attn.bias", 1, 1, 3 * e},
                                     {"attn.c_proj.weight", 2, e, e},
                                     {"attn.c_proj.bias", 1, 1, e},
                                     {"ln_2.weight", 1, 1, e},
                                     {"ln_2.bias", 1, 1, e},
                                     {"mlp.c_fc.weight", 2, f, e},
                                     {"mlp.c_fc.bias", 1, 1, f},
                                     {"mlp.c_proj.weight", 2, e, f},
                                     {"mlp.c_proj.bias", 1, 1, e}};
    const size_t end = rbe_source_count(c) - 2, at = i - RBE_SOURCE_LAYERS;

    if (i == RBE_SOURCE_WTE)
        return (struct rbe_source_tensor){.name = "wte.weight", .matrix = true, .dims = 2,
                                          .rows = c->vocab, .cols = e};
    if (i == RBE_SOURCE_WPE)
        return (struct rbe_source_tensor){.name = "wpe.weight", .dims = 2, .rows = c->n_ctx,
                                          .cols = e};
    struct rbe_source_tensor t = {.dims = 1, .rows = 1, .cols = e};
    if (i >= end) {
        snprintf(t.name, sizeof t.name, "ln_f.%s", i == end ? "weight" : "bias");
        return t;
    }
    const size_t k = at % RBE_SOURCE_PER_LAYER;
    t.dims = layer[k].dims;
    t.matrix = t.transposed = t.dims == 2;
    t.rows = layer[k].rows;
    t.cols = layer[k].cols;
    snprintf(t.name, sizeof t.name, "h.%zu.%s", at / RBE_SOURCE_PER_LAYER, layer[k].name);
    return t;
}

/* --- what the file holds ------------------------------------------------------------------ */

static const char *bare(const char *name)
{
    return strncmp(name, "transformer.", 12) ? name : name + 12;
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

/* "[768, 2304]" */
static void shape_text(const struct rbe_tensor *t, char *buf, size_t size)
{
    size_t n = (size_t)snprintf(buf, size, "[");

    for (unsigned i = 0; i < t->dims && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%llu", i ? ", " : "",
                              (unsigned long long)t->shape[i]);
    if (n < size)
        snprintf(buf + n, size - n, "]");
}

static enum rbe_status find_encoded(struct rbe_source_tensor *t, const struct rbe_source *s,
                                    struct rbe_diag *d)
{
    const char *path = rbe_safetensors_path(s->file);

    t->weight = rbe_container_weight(s->container, t->name);
    if (!t->weight)
        return t->matrix ? rbe_fail(d, RBE_ERR_FORMAT, "%s: weight '%s' is missing", path,
                                    t->name)
                         : RBE_OK;
    if (t->weight->rows != t->rows || t->weight->cols != t->cols)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: weight '%s' is %u x %u, the configuration "
                        "wants %u x %u", path, t->name, t->weight->rows, t->weight->cols,
                        t->rows, t->cols);
    return RBE_OK;
}

static enum rbe_status find_stored(struct rbe_source_tensor *t, const struct rbe_source *s,
                                   struct rbe_diag *d)
{
    const char *path = rbe_safetensors_path(s->file);
    const uint32_t shape0 = t->transposed ? t->cols : t->rows;
    const uint32_t shape1 = t->transposed ? t->rows : t->cols;
    const struct rbe_tensor *f = t->tensor = find_tensor(s->file, t->name);
    char want[64], got[200];

    if (!f)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is missing", path, t->name);
    if (f->dims != t->dims || f->shape[t->dims - 1] != shape1 ||
        (t->dims == 2 && f->shape[0] != shape0)) {
        if (t->dims == 2)
            snprintf(want, sizeof want, "[%u, %u]", shape0, shape1);
        else
            snprintf(want, sizeof want, "[%u]", shape1);
        shape_text(f, got, sizeof got);
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' is %s, the configuration wants "
                        "%s", path, t->name, got, want);
    }
    if (!rbe_tensor_is_float(f))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is %s; F32, F16, BF16 or F64 is "
                        "needed", path, t->name, f->dtype_name);
    return RBE_OK;
}

/* A causal mask of one of the layers: the code needs none. */
static bool is_mask(const char *name, uint32_t layers)
{
    unsigned layer;
    int end = 0;

    return !strncmp(name, "h.", 2) && isdigit((unsigned char)name[2]) &&
           sscanf(name, "h.%5u.attn.%n", &layer, &end) == 1 && end && layer < layers &&
           (!strcmp(name + end, "bias") || !strcmp(name + end, "masked_bias"));
}

static bool same_tensor(const struct rbe_tensor *a, const struct rbe_tensor *b)
{
    return a && a->dtype == b->dtype && a->dims == b->dims && a->bytes == b->bytes &&
           !memcmp(a->shape, b->shape, sizeof a->shape) && !memcmp(a->data, b->data, a->bytes);
}

/* Whether a tensor that the architecture has not asked for may be there. */
static enum rbe_status check_other(const struct rbe_source *s, const struct rbe_tensor *t,
                                   struct rbe_diag *d)
{
    const char *path = rbe_safetensors_path(s->file), *name = bare(t->name);

    if (s->container ? rbe_container_owns(s->container, t) : is_mask(name, s->config.n_layer))
        return RBE_OK;
    if (!s->container && !strcmp(name, "lm_head.weight"))
        return same_tensor(s->tensors[RBE_SOURCE_WTE].tensor, t)
                   ? RBE_OK
                   : rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor 'lm_head.weight' differs from "
                              "'wte.weight': GPT-2's output layer is tied", path);
    if (rbe_source_find(s, name))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is there twice, with and without "
                        "'transformer.', or encoded and not", path, t->name);
    return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' has no place in a GPT-2 of %u "
                    "layers", path, t->name, s->config.n_layer);
}

static enum rbe_status check_others(const struct rbe_source *s, struct rbe_diag *d)
{
    const size_t n = rbe_safetensors_count(s->file);
    const struct rbe_tensor *const first = rbe_safetensors_at(s->file, 0);
    bool *asked = calloc(n, sizeof *asked);
    enum rbe_status err = RBE_OK;
    size_t encoded = 0;

    if (!asked)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < s->count; i++) {
        if (s->tensors[i].tensor)
            asked[s->tensors[i].tensor - first] = true;
        encoded += s->tensors[i].weight != NULL;
    }
    for (size_t i = 0; i < n && !err; i++)
        if (!asked[i])
            err = check_other(s, first + i, d);
    for (size_t i = 0; !err && s->container && i < rbe_container_weight_count(s->container) &&
                       encoded < rbe_container_weight_count(s->container); i++) {
        const struct rbe_weight *w = rbe_container_weight_at(s->container, i);
        const struct rbe_source_tensor *t = rbe_source_find(s, w->name);
        if (!t || t->weight != w)
            err = rbe_fail(d, RBE_ERR_MISMATCH, "%s: weight '%s' has no place in a GPT-2 of %u "
                           "layers", rbe_safetensors_path(s->file), w->name,
                           s->config.n_layer);
    }
    free(asked);
    return err;
}

enum rbe_status rbe_source_find_all(struct rbe_source *s, struct rbe_diag *d)
{
    const size_t n = rbe_source_count(&s->config);
    enum rbe_status err = RBE_OK;

    if (rbe_container_is(s->file)) {
        if ((err = rbe_container_take(&s->container, &s->file, false, d)))
            return err;
    }
    if (!(s->tensors = calloc(n, sizeof *s->tensors)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (s->count = 0; s->count < n && !err; s->count++) {
        struct rbe_source_tensor *t = &s->tensors[s->count];
        *t = rbe_source_tensor(&s->config, s->count);
        if (s->container && (t->matrix || s->count == RBE_SOURCE_WPE))
            err = find_encoded(t, s, d);
        if (!err && !t->weight)
            err = find_stored(t, s, d);
    }
    return err ? err : check_others(s, d);
}

/* --- opening ------------------------------------------------------------------------------ */

/* The text of the configuration: of a container, or the config.json beside a checkpoint. */
static enum rbe_status read_config(struct rbe_source *s, struct rbe_diag *d)
{
    const char *path = rbe_safetensors_path(s->file), *slash = strrchr(path, '/');
    const char *inside = rbe_safetensors_meta(s->file, "rbe.config");
    char *folder = NULL, *config = NULL;
    enum rbe_status err = RBE_ERR_NOMEM;
    size_t size;

    if (rbe_container_is(s->file))
        return inside ? rbe_gpt2_config_parse(&s->config, inside, strlen(inside), path, d)
                      : rbe_fail(d, RBE_ERR_FORMAT, "%s: rbe.config is missing", path);
    if (!(folder = slash ? strndup(path, (size_t)(slash + 1 - path)) : strdup(".")) ||
        !(config = rbe_path_join(folder, "config.json")))
        rbe_fail(d, err, "%s: out of memory", path);
    else if (!(err = rbe_read_file(&s->config_json, &size, config, d))) {
        /* A byte order mark is no part of the text. */
        if (!strncmp(s->config_json, "\xef\xbb\xbf", 3))
            memmove(s->config_json, s->config_json + 3, (size -= 3) + 1);
        err = rbe_gpt2_config_parse(&s->config, s->config_json, size, config, d);
    }
    free(config);
    free(folder);
    return err;
}

enum rbe_status rbe_source_open_head(struct rbe_source **out, const char *path,
                                     struct rbe_diag *d)
{
    char *weights = NULL;
    enum rbe_status err;

    *out = NULL;
    struct rbe_source *s = calloc(1, sizeof *s);
    if (!s)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    if ((err = rbe_safetensors_locate(&weights, path, d)) ||
        (err = rbe_safetensors_open(&s->file, weights, d)) || (err = read_config(s, d)))
        goto out;
    s->label = rbe_safetensors_meta(s->file, "synthetic");
out:
    free(weights);
    if (err)
        rbe_source_close(&s);
    *out = s;
    return err;
}

enum rbe_status rbe_source_open(struct rbe_source **out, const char *path, struct rbe_diag *d)
{
    enum rbe_status err = rbe_source_open_head(out, path, d);

    if (err)
        return err;
    struct rbe_source *s = *out;
    if (rbe_container_is(s->file))
        err = rbe_fail(d, RBE_ERR_ARG, "%s: is an RBE model already; a checkpoint is needed",
                       rbe_safetensors_path(s->file));
    else if (!(err = rbe_source_find_all(s, d)))
        err = rbe_safetensors_sha256(s->sha256, s->file);
    if (err)
        rbe_source_close(out);
    return err;
}

void rbe_source_close(struct rbe_source **ps)
{
    struct rbe_source *s = *ps;

    if (!s)
        return;
    if (s->container)
        rbe_container_close(&s->container);     /* the file is its own */
    else
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

/* --- values ------------------------------------------------------------------------------- */

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

enum rbe_status rbe_source_read_to(float *to, float *scratch, const struct rbe_source *s,
                                   const struct rbe_source_tensor *t, struct rbe_diag *d)
{
    struct rbe_diag why = {""};

    if (t->weight) {
        for (size_t r = 0; r < t->rows; r++)
            rbe_weight_decode_row(t->weight, r, to + r * t->cols);
        return RBE_OK;
    }
    const enum rbe_status err =
        rbe_tensor_to_f32(t->tensor, t->transposed ? scratch : to, &why);
    if (err)
        return rbe_fail(d, err, "%s: %s", rbe_safetensors_path(s->file), why.text);
    if (t->transposed)
        transpose(to, scratch, t->cols, t->rows);
    return RBE_OK;
}

enum rbe_status rbe_source_read(float **out, const struct rbe_source *s,
                                const struct rbe_source_tensor *t, struct rbe_diag *d)
{
    const size_t n = (size_t)t->rows * t->cols;
    float *w = malloc(n * sizeof *w), *scratch = t->transposed ? malloc(n * sizeof *w) : NULL;
    enum rbe_status err;

    if (!w || (t->transposed && !scratch))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    else
        err = rbe_source_read_to(w, scratch, s, t, d);
    free(scratch);
    if (err) {
        free(w);
        w = NULL;
    }
    *out = w;
    return err;
}

/*
 * model.c - loads the weights of a GPT-2, plain or RBE, every shape checked.
 *
 * SPDX-License-Identifier: MIT
 *
 * A plain checkpoint is turned into the same form as a container: matrices as [out][in]
 * weights of one f32 part each, in one arena.  A container's codes stay in the mapped file.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gpt2/weights.h"
#include "rbe/encode.h"
#include "rbe/file.h"

enum { NAME_SIZE = 64 };

/* --- names and shapes --------------------------------------------------------------------- */

static const char *const linear_names[RBE_LINEARS] = {"attn.c_attn", "attn.c_proj",
                                                      "mlp.c_fc", "mlp.c_proj"};

static void linear_shape(const struct rbe_gpt2_config *c, enum rbe_linear l, uint32_t *rows,
                         uint32_t *cols)
{
    *rows = l == RBE_QKV ? 3 * c->n_embd : l == RBE_MLP_FC ? c->n_inner : c->n_embd;
    *cols = l == RBE_MLP_PROJ ? c->n_inner : c->n_embd;
}

/* Where tensors come from, and where the f32 copies of them go. */
struct loader {
    struct rbe_gpt2 *m;
    const struct rbe_safetensors *file;
    float *next;                /* in the arena */
    float *scratch;             /* a matrix before it is transposed */
    struct rbe_diag *d;
};

static const struct rbe_tensor *find(const struct loader *l, const char *name)
{
    char prefixed[NAME_SIZE + 16];
    const struct rbe_tensor *t = rbe_safetensors_find(l->file, name);

    snprintf(prefixed, sizeof prefixed, "transformer.%s", name);
    return t ? t : rbe_safetensors_find(l->file, prefixed);
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

/* The tensor `name` of this shape (cols 0: one dimension), as f32 at `to`. */
static enum rbe_status copy_tensor(const struct loader *l, const char *name, uint32_t rows,
                                   uint32_t cols, float *to)
{
    const struct rbe_tensor *t = find(l, name);
    struct rbe_diag why = {""};
    char got[200];

    if (!t)
        return rbe_fail(l->d, RBE_ERR_FORMAT, "%s: tensor '%s' is missing", l->m->path, name);
    if (t->dims != (cols ? 2u : 1u) || t->shape[0] != rows || (cols && t->shape[1] != cols)) {
        char want[64];
        snprintf(want, sizeof want, cols ? "[%u, %u]" : "[%u]", rows, cols);
        shape_text(t, got, sizeof got);
        return rbe_fail(l->d, RBE_ERR_MISMATCH, "%s: tensor '%s' is %s, the configuration "
                        "wants %s", l->m->path, name, got, want);
    }
    const enum rbe_status err = rbe_tensor_to_f32(t, to, &why);
    return err ? rbe_fail(l->d, err, "%s: %s", l->m->path, why.text) : RBE_OK;
}

/* As above into the arena; *out is where. */
static enum rbe_status take_tensor(struct loader *l, const char *name, uint32_t rows,
                                   uint32_t cols, const float **out)
{
    const enum rbe_status err = copy_tensor(l, name, rows, cols, l->next);

    *out = l->next;
    l->next += ((size_t)rows * (cols ? cols : 1) + 15) / 16 * 16;
    return err;
}

static size_t padded(size_t n)
{
    return (n + 15) / 16 * 16;
}

/* Floats of the arena. */
static size_t arena_floats(const struct rbe_gpt2_config *c, bool plain)
{
    const size_t e = c->n_embd, f = c->n_inner;
    size_t layer = 4 * padded(e) + padded(3 * e) + 2 * padded(e) + padded(f);

    if (plain)
        layer += padded(3 * e * e) + padded(e * e) + 2 * padded(e * f);
    return c->n_layer * layer + padded(c->n_ctx * e) + 2 * padded(e) +
           (plain ? padded(c->vocab * e) : 0);
}

/* Values of the largest matrix that has to be transposed. */
static size_t largest_matrix(const struct rbe_gpt2_config *c)
{
    return (size_t)c->n_embd * (3 * c->n_embd > c->n_inner ? 3 * c->n_embd : c->n_inner);
}

/* --- plain checkpoints -------------------------------------------------------------------- */

/* to [out][in] = from [in][out], in blocks that stay in the L1 cache. */
static void transpose(float *to, const float *from, size_t in, size_t out)
{
    enum { BLOCK = 16 };

    for (size_t i0 = 0; i0 < in; i0 += BLOCK)
        for (size_t o0 = 0; o0 < out; o0 += BLOCK) {
            const size_t i1 = i0 + BLOCK < in ? i0 + BLOCK : in;
            const size_t o1 = o0 + BLOCK < out ? o0 + BLOCK : out;
            for (size_t o = o0; o < o1; o++)
                for (size_t i = i0; i < i1; i++)
                    to[o * in + i] = from[i * out + o];
        }
}

/* Makes weight `index` of the model from tensor `name`, stored [cols][rows] if `turned`. */
static enum rbe_status plain_weight(struct loader *l, size_t index, const char *name,
                                    uint32_t rows, uint32_t cols, bool turned,
                                    const struct rbe_weight **out)
{
    struct rbe_weight *w = &l->m->own_weights[index];
    struct rbe_part *p = &l->m->own_parts[index];
    const size_t n = (size_t)rows * cols;
    enum rbe_status err;

    err = copy_tensor(l, name, turned ? cols : rows, turned ? rows : cols,
                      turned ? l->scratch : l->next);
    if (err)
        return err;
    if (turned)
        transpose(l->next, l->scratch, cols, rows);
    *p = (struct rbe_part){.m = {.format = RBE_F32, .rows = rows, .cols = cols,
                                 .codes = l->next, .code_bytes = n * sizeof(float)}};
    *w = (struct rbe_weight){.rows = rows, .cols = cols, .part_count = 1, .parts = p,
                             .bytes = n * sizeof(float)};
    snprintf(w->name, sizeof w->name, "%s", name);
    l->next += padded(n);
    *out = w;
    return RBE_OK;
}

/* A plain checkpoint may also hold attention masks, which the code does not need, and the
 * output layer once more.  Anything else means that it is not the model it says. */
static enum rbe_status check_extra(const struct loader *l)
{
    const struct rbe_gpt2_config *c = &l->m->config;
    const size_t known = 2 + 2 + (size_t)c->n_layer * 12;
    size_t seen = 0;

    for (size_t i = 0; i < rbe_safetensors_count(l->file); i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(l->file, i);
        const char *name = t->name;
        unsigned layer;
        int end = 0;
        static const char *const parts[] = {
            "ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias", "attn.c_attn.weight",
            "attn.c_attn.bias", "attn.c_proj.weight", "attn.c_proj.bias", "mlp.c_fc.weight",
            "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias", "attn.bias",
            "attn.masked_bias"};
        static const char *const tops[] = {"wte.weight", "wpe.weight", "ln_f.weight",
                                           "ln_f.bias"};
        bool ok = false;

        if (!strncmp(name, "transformer.", 12))
            name += 12;
        if (!strcmp(name, "lm_head.weight")) {
            const struct rbe_tensor *wte = find(l, "wte.weight");
            if (!wte || wte->bytes != t->bytes || memcmp(wte->data, t->data, t->bytes))
                return rbe_fail(l->d, RBE_ERR_MISMATCH, "%s: tensor 'lm_head.weight' differs "
                                "from 'wte.weight': GPT-2's output layer is tied", l->m->path);
            continue;
        }
        for (size_t k = 0; !ok && k < sizeof tops / sizeof tops[0]; k++)
            if (!strcmp(name, tops[k])) {
                ok = true;
                seen++;
            }
        if (!ok && isdigit((unsigned char)name[2 * (name[0] == 'h' && name[1] == '.')]) &&
            sscanf(name, "h.%5u.%n", &layer, &end) == 1 && end && layer < c->n_layer)
            for (size_t k = 0; !ok && k < sizeof parts / sizeof parts[0]; k++)
                if (!strcmp(name + end, parts[k])) {
                    ok = true;
                    seen += k < 12;
                }
        if (!ok)
            return rbe_fail(l->d, RBE_ERR_MISMATCH, "%s: tensor '%s' has no place in a GPT-2 "
                            "of %u layers", l->m->path, t->name, c->n_layer);
    }
    if (seen > known)
        return rbe_fail(l->d, RBE_ERR_FORMAT, "%s: tensors with and without 'transformer.'",
                        l->m->path);
    return RBE_OK;
}

/* --- both kinds --------------------------------------------------------------------------- */

static enum rbe_status container_weight(const struct loader *l, const char *name, uint32_t rows,
                                        uint32_t cols, const struct rbe_weight **out)
{
    struct rbe_gpt2 *m = l->m;
    const struct rbe_weight *w = rbe_container_weight(m->container, name);

    *out = w;
    if (!w)
        return rbe_fail(l->d, RBE_ERR_FORMAT, "%s: weight '%s' is missing", m->path, name);
    if (w->rows != rows || w->cols != cols)
        return rbe_fail(l->d, RBE_ERR_MISMATCH, "%s: weight '%s' is %u x %u, the configuration "
                        "wants %u x %u", m->path, name, w->rows, w->cols, rows, cols);
    m->rotated |= w->hadamard != 0;
    return RBE_OK;
}

/* Positions are looked up, never multiplied: encoded ones are decoded here. */
static enum rbe_status load_positions(struct loader *l)
{
    struct rbe_gpt2 *m = l->m;
    const struct rbe_gpt2_config *c = &m->config;
    const struct rbe_weight *w =
        m->container ? rbe_container_weight(m->container, "wpe.weight") : NULL;

    if (!w)
        return take_tensor(l, "wpe.weight", c->n_ctx, c->n_embd, &m->wpe);
    if (w->rows != c->n_ctx || w->cols != c->n_embd)
        return rbe_fail(l->d, RBE_ERR_MISMATCH, "%s: weight 'wpe.weight' is %u x %u, the "
                        "configuration wants %u x %u", m->path, w->rows, w->cols, c->n_ctx,
                        c->n_embd);
    for (size_t r = 0; r < w->rows; r++)
        rbe_weight_decode_row(w, r, l->next + r * w->cols);
    m->wpe = l->next;
    l->next += padded((size_t)w->rows * w->cols);
    return RBE_OK;
}

static enum rbe_status load_layer(struct loader *l, uint32_t i)
{
    struct rbe_gpt2 *m = l->m;
    const struct rbe_gpt2_config *c = &m->config;
    struct rbe_layer *layer = &m->layers[i];
    const struct {
        const char *name;
        const float **out;
    } norms[] = {{"ln_1.weight", &layer->ln1_gain}, {"ln_1.bias", &layer->ln1_bias},
                 {"ln_2.weight", &layer->ln2_gain}, {"ln_2.bias", &layer->ln2_bias}};
    enum rbe_status err = RBE_OK;
    char name[NAME_SIZE];
    uint32_t rows, cols;

    for (size_t k = 0; !err && k < sizeof norms / sizeof norms[0]; k++) {
        snprintf(name, sizeof name, "h.%u.%s", i, norms[k].name);
        err = take_tensor(l, name, c->n_embd, 0, norms[k].out);
    }
    for (unsigned k = 0; !err && k < RBE_LINEARS; k++) {
        linear_shape(c, (enum rbe_linear)k, &rows, &cols);
        snprintf(name, sizeof name, "h.%u.%s.bias", i, linear_names[k]);
        if ((err = take_tensor(l, name, rows, 0, &layer->bias[k])))
            break;
        snprintf(name, sizeof name, "h.%u.%s.weight", i, linear_names[k]);
        if (m->container)
            err = container_weight(l, name, rows, cols, &layer->weight[k]);
        else
            err = plain_weight(l, 1 + RBE_LINEARS * (size_t)i + k, name, rows, cols, true,
                               &layer->weight[k]);
    }
    return err;
}

static size_t layer_bytes(const struct rbe_gpt2 *m)
{
    size_t n = m->wte->bytes;

    for (uint32_t i = 0; i < m->config.n_layer; i++)
        for (int k = 0; k < RBE_LINEARS; k++)
            n += m->layers[i].weight[k]->bytes;
    return n;
}

static enum rbe_status load(struct rbe_gpt2 *m, const struct rbe_safetensors *file,
                            struct rbe_diag *d)
{
    const struct rbe_gpt2_config *c = &m->config;
    struct loader l = {.m = m, .file = file, .d = d};
    const size_t count = 1 + RBE_LINEARS * (size_t)c->n_layer;
    const bool plain = !m->container;
    enum rbe_status err = RBE_OK;

    /* A damaged configuration must not make us ask for memory the file cannot fill. */
    if (plain && rbe_gpt2_config_params(c) > rbe_safetensors_file_bytes(file))
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: %zu bytes are too few for the %llu "
                        "parameters of the configuration", m->path,
                        rbe_safetensors_file_bytes(file),
                        (unsigned long long)rbe_gpt2_config_params(c));
    if (plain && (err = check_extra(&l)))
        return err;
    const size_t floats = arena_floats(c, plain);
    m->layers = calloc(c->n_layer, sizeof *m->layers);
    m->arena = aligned_alloc(64, floats * sizeof(float));
    if (plain) {
        m->own_weights = calloc(count, sizeof *m->own_weights);
        m->own_parts = calloc(count, sizeof *m->own_parts);
        l.scratch = malloc(largest_matrix(c) * sizeof(float));
    }
    if (!m->layers || !m->arena ||
        (plain && (!m->own_weights || !m->own_parts || !l.scratch))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: %zu MB of memory are not to be had", m->path,
                       floats * sizeof(float) / 1000000);
        goto out;
    }
    l.next = m->arena;
    if (plain)
        err = plain_weight(&l, 0, "wte.weight", c->vocab, c->n_embd, false, &m->wte);
    else
        err = container_weight(&l, "wte.weight", c->vocab, c->n_embd, &m->wte);
    if (err || (err = load_positions(&l)) ||
        (err = take_tensor(&l, "ln_f.weight", c->n_embd, 0, &m->lnf_gain)) ||
        (err = take_tensor(&l, "ln_f.bias", c->n_embd, 0, &m->lnf_bias)))
        goto out;
    for (uint32_t i = 0; !err && i < c->n_layer; i++)
        err = load_layer(&l, i);
    if (!err)
        m->bytes_per_token = layer_bytes(m);
out:
    free(l.scratch);
    return err;
}

/* The configuration of a plain checkpoint: config.json beside it. */
static enum rbe_status read_config(struct rbe_gpt2 *m, struct rbe_diag *d)
{
    char *dir = strdup(m->path), *path = NULL, *text = NULL;
    enum rbe_status err = RBE_ERR_NOMEM;
    size_t size;

    if (dir) {
        char *slash = strrchr(dir, '/');
        if (slash)
            slash[1] = 0;
        path = rbe_path_join(slash ? dir : ".", "config.json");
    }
    if (!path)
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", m->path);
    else if (!(err = rbe_read_file(&text, &size, path, d)))
        err = rbe_gpt2_config_parse(&m->config, text, size, path, d);
    free(text);
    free(path);
    free(dir);
    return err;
}

/* The model file: the path itself, or the one in the folder. */
static char *model_file(const char *path)
{
    struct stat st;

    if (!stat(path, &st) && S_ISDIR(st.st_mode))
        return rbe_path_join(path, "model.safetensors");
    return strdup(path);
}

/* Opens the file and finds the configuration: all that can be known before loading. */
static enum rbe_status open_head(struct rbe_gpt2 *m, struct rbe_safetensors **file,
                                 struct rbe_diag *d)
{
    enum rbe_status err = rbe_safetensors_open(file, m->path, d);

    if (err)
        return err;
    m->file_bytes = rbe_safetensors_file_bytes(*file);
    const char *label = rbe_safetensors_meta(*file, "synthetic");
    if (label && !(m->label = strdup(label)))
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", m->path);
    if (!rbe_container_is(*file))
        return read_config(m, d);
    const char *config = rbe_safetensors_meta(*file, "rbe.config");
    if (!config)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: rbe.config is missing", m->path);
    return rbe_gpt2_config_parse(&m->config, config, strlen(config), m->path, d);
}

enum rbe_status rbe_gpt2_open(struct rbe_gpt2 **out, const char *path, struct rbe_diag *d)
{
    struct rbe_safetensors *file = NULL;
    enum rbe_status err;

    *out = NULL;
    struct rbe_gpt2 *m = calloc(1, sizeof *m);
    if (!m || !(m->path = model_file(path)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    else if (!(err = open_head(m, &file, d))) {
        if (!rbe_container_is(file)) {
            err = load(m, file, d);
        } else {
            rbe_safetensors_close(&file);       /* the container maps it itself */
            err = rbe_container_open(&m->container, m->path, false, d);
            if (!err)
                err = load(m, rbe_container_file(m->container), d);
        }
    }
    rbe_safetensors_close(&file);
    if (err)
        rbe_gpt2_close(&m);
    *out = m;
    return err;
}

enum rbe_status rbe_gpt2_open_bytes(size_t *bytes, const char *path, struct rbe_diag *d)
{
    struct rbe_gpt2 m = {.path = model_file(path)};
    struct rbe_safetensors *file = NULL;
    enum rbe_status err;

    *bytes = 0;
    if (!m.path)
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    else if (!(err = open_head(&m, &file, d))) {
        const bool plain = !rbe_container_is(file);
        *bytes = m.file_bytes + arena_floats(&m.config, plain) * sizeof(float) +
                 (plain ? largest_matrix(&m.config) * sizeof(float) : 0);
    }
    rbe_safetensors_close(&file);
    free(m.label);
    free(m.path);
    return err;
}

void rbe_gpt2_close(struct rbe_gpt2 **pm)
{
    struct rbe_gpt2 *m = *pm;

    if (!m)
        return;
    rbe_container_close(&m->container);
    free(m->layers);
    free(m->own_weights);
    free(m->own_parts);
    free(m->arena);
    free(m->label);
    free(m->path);
    free(m);
    *pm = NULL;
}

const struct rbe_gpt2_config *rbe_gpt2_config(const struct rbe_gpt2 *m)
{
    return &m->config;
}

const char *rbe_gpt2_path(const struct rbe_gpt2 *m)
{
    return m->path;
}

size_t rbe_gpt2_file_bytes(const struct rbe_gpt2 *m)
{
    return m->file_bytes;
}

bool rbe_gpt2_is_rbe(const struct rbe_gpt2 *m)
{
    return m->container;
}

const char *rbe_gpt2_sha256(struct rbe_gpt2 *m)
{
    if (!m->sha256[0])
        rbe_sha256_file(m->sha256, m->path, NULL);
    return m->sha256;
}

const char *rbe_gpt2_label(const struct rbe_gpt2 *m)
{
    return m->label;
}

size_t rbe_gpt2_bytes_per_token(const struct rbe_gpt2 *m)
{
    return m->bytes_per_token;
}

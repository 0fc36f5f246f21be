/*
 * source.c - opens a model's weight file and finds the architecture's tensors in it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "rbe/encode.h"

/* --- the architecture --------------------------------------------------------------------- */

static const struct rbe_arch *arch_of(const struct rbe_source *s)
{
    return rbe_arch_at(s->config.arch);
}

const char *rbe_source_path(const struct rbe_source *s)
{
    return s->gguf ? rbe_gguf_path(s->gguf) : rbe_safetensors_path(s->file);
}

size_t rbe_source_file_bytes(const struct rbe_source *s)
{
    return s->gguf ? rbe_gguf_file_bytes(s->gguf) : rbe_safetensors_file_bytes(s->file);
}

uint64_t rbe_source_stamp(const struct rbe_source *s)
{
    return s->gguf ? rbe_gguf_stamp(s->gguf) : rbe_safetensors_stamp(s->file);
}

size_t rbe_source_count(const struct rbe_model_config *c)
{
    return rbe_arch_count(c);
}

/* A name of the list, with its layer. */
static void name_it(char to[64], const char *listed, int layer)
{
    const char *number = strstr(listed, "%u");

    if (number)
        snprintf(to, 64, "%.*s%d%s", (int)(number - listed), listed, layer, number + 2);
    else
        snprintf(to, 64, "%s", listed);
}

struct rbe_source_tensor rbe_source_tensor(const struct rbe_model_config *c, size_t i)
{
    struct rbe_source_tensor t = {.layer = -1};
    const struct rbe_arch_tensor *const a = rbe_arch_find(c, i, &t.layer);
    const struct rbe_arch_tensor *const first = rbe_arch_first(rbe_arch_at(c->arch), a);

    name_it(t.name, a->name, t.layer);
    name_it(t.weight_name, first->name, t.layer);
    if (a->gguf)
        name_it(t.gguf_name, a->gguf, t.layer);
    t.role = a->role;
    t.tensor_class = a->tensor_class;
    t.matrix = rbe_class_is_matrix(a->tensor_class);
    t.transposed = a->form == RBE_TURNED;
    t.paired = a->form == RBE_PAIRED;
    t.dims = a->form == RBE_VECTOR ? 1 : 2;
    for (const struct rbe_arch_tensor *b = first; b < a; b++) {
        rbe_arch_shape(b, c, &t.rows, &t.cols);
        t.row0 += t.rows;
    }
    rbe_arch_shape(a, c, &t.rows, &t.cols);
    return t;
}

/* --- what the file holds ------------------------------------------------------------------ */

/* With or without the prefix. */
static const struct rbe_tensor *find_tensor(const struct rbe_source *s, const char *name)
{
    char full[96];
    const struct rbe_tensor *t = rbe_safetensors_find(s->file, name);

    if (t)
        return t;
    snprintf(full, sizeof full, "%s%s", arch_of(s)->prefix, name);
    return rbe_safetensors_find(s->file, full);
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

static enum rbe_status find_in_gguf(struct rbe_source_tensor *t, const struct rbe_source *s,
                                    struct rbe_diag *d)
{
    const char *path = rbe_source_path(s), *name = t->gguf_name;
    const struct rbe_gguf_tensor *f = *name ? rbe_gguf_find(s->gguf, name) : NULL;

    t->gguf = f;
    if (!f)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is missing", path,
                        *name ? name : t->name);
    if (f->dims > t->dims || f->rows != t->rows || f->cols != t->cols)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' is %llu x %llu, the "
                        "configuration wants %u x %u", path, name, (unsigned long long)f->rows,
                        (unsigned long long)f->cols, t->rows, t->cols);
    return RBE_OK;
}

/* What the architecture did not ask for has no place. */
static enum rbe_status check_gguf_others(const struct rbe_source *s, struct rbe_diag *d)
{
    const size_t n = rbe_gguf_count(s->gguf);
    const struct rbe_gguf_tensor *const first = rbe_gguf_at(s->gguf, 0);
    bool *asked = calloc(n, sizeof *asked);
    enum rbe_status err = RBE_OK;

    if (!asked)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < s->count; i++)
        asked[s->tensors[i].gguf - first] = true;
    for (size_t i = 0; i < n && !err; i++)
        if (!asked[i])
            err = rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' has no place in a %s of %u "
                           "layers", rbe_source_path(s), first[i].name, arch_of(s)->title,
                           s->config.n_layer);
    free(asked);
    return err;
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
    const struct rbe_tensor *f = t->tensor = find_tensor(s, t->name);
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

static bool same_tensor(const struct rbe_tensor *a, const struct rbe_tensor *b)
{
    return a && a->dtype == b->dtype && a->dims == b->dims && a->bytes == b->bytes &&
           !memcmp(a->shape, b->shape, sizeof a->shape) && !memcmp(a->data, b->data, a->bytes);
}

/* t has the values of the tensor in that role. */
static enum rbe_status check_same(const struct rbe_source *s, enum rbe_role role,
                                  const struct rbe_tensor *t, struct rbe_diag *d)
{
    const struct rbe_source_tensor *other = rbe_source_of_role(s, role, -1);
    const struct rbe_arch *a = arch_of(s);

    if (same_tensor(other->tensor, t))
        return RBE_OK;
    return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' differs from '%s': %s's output layer "
                    "is tied", rbe_safetensors_path(s->file), rbe_arch_bare(a, t->name),
                    other->name, a->title);
}

/* Whether a tensor that the architecture has not asked for may be there. */
static enum rbe_status check_other(const struct rbe_source *s, const struct rbe_tensor *t,
                                   struct rbe_diag *d)
{
    const struct rbe_arch *a = arch_of(s);
    const char *path = rbe_safetensors_path(s->file), *name = rbe_arch_bare(a, t->name);
    const struct rbe_arch_spare *spare = a->spares;
    int layer;

    if (s->container && rbe_container_owns(s->container, t))
        return RBE_OK;
    for (; !s->container && spare->name; spare++)
        if (rbe_arch_is_name(spare->name, name, s->config.n_layer, &layer))
            return spare->role == RBE_ROLE_NONE ? RBE_OK : check_same(s, spare->role, t, d);
    if (rbe_source_find(s, name))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is there twice, with and without "
                        "'%s', or encoded and not", path, t->name, a->prefix);
    return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' has no place in a %s of %u layers",
                    path, t->name, a->title, s->config.n_layer);
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
            err = rbe_fail(d, RBE_ERR_MISMATCH, "%s: weight '%s' has no place in a %s of %u "
                           "layers", rbe_safetensors_path(s->file), w->name,
                           arch_of(s)->title, s->config.n_layer);
    }
    free(asked);
    return err;
}

/* Frequencies are divided by them: what is not above 0 makes angles of no meaning. */
static enum rbe_status check_factors(const struct rbe_source *s, struct rbe_diag *d)
{
    const struct rbe_source_tensor *t = rbe_source_of_role(s, RBE_ROLE_ROPE_FACTORS, -1);
    enum rbe_status err;
    float *x;

    if (!t)
        return RBE_OK;
    if ((err = rbe_source_read(&x, s, t, d)))
        return err;
    for (uint32_t i = 0; i < t->cols && !err; i++)
        if (!(x[i] > 0))
            err = rbe_fail(d, RBE_ERR_NUMERIC, "%s: tensor '%s': element %u is %g, not above 0",
                           rbe_source_path(s), t->name, i, (double)x[i]);
    free(x);
    return err;
}

enum rbe_status rbe_source_find_all(struct rbe_source *s, struct rbe_diag *d)
{
    const size_t n = rbe_source_count(&s->config);
    enum rbe_status err = RBE_OK;

    if (s->file && rbe_container_is(s->file)) {
        if (rbe_safetensors_meta(s->file, RBE_SHARD_KEY))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: part of a conversion in shards: rbe merge "
                            "joins the parts", rbe_source_path(s));
        if ((err = rbe_container_take(&s->container, &s->file, false, d)))
            return err;
    }
    if (!(s->tensors = calloc(n, sizeof *s->tensors)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (s->count = 0; s->count < n && !err; s->count++) {
        struct rbe_source_tensor *t = &s->tensors[s->count];
        *t = rbe_source_tensor(&s->config, s->count);
        if (s->container && t->dims == 2)
            err = find_encoded(t, s, d);
        if (!err && !t->weight)
            err = s->gguf ? find_in_gguf(t, s, d) : find_stored(t, s, d);
    }
    if (err || (err = s->gguf ? check_gguf_others(s, d) : check_others(s, d)))
        return err;
    return check_factors(s, d);
}

/* --- opening ------------------------------------------------------------------------------ */

/* Which tensors that are no matter of the configuration the file has. */
static void find_options(struct rbe_source *s)
{
    for (const struct rbe_arch_tensor *t = arch_of(s)->tensors; t->name; t++)
        if (t->options && t->options != 1U << RBE_OPTION_UNTIED && find_tensor(s, t->name))
            s->config.options |= t->options;
}

/* The configuration as a config.json. */
static enum rbe_status print_config(struct rbe_source *s, struct rbe_diag *d)
{
    size_t size;
    FILE *f = open_memstream(&s->config_json, &size);

    if (f)
        rbe_model_config_print(f, &s->config);
    if (f && !fclose(f))
        return RBE_OK;
    return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", rbe_source_path(s));
}

/* The text of the configuration: of a container, or the config.json beside a checkpoint. */
static enum rbe_status read_config(struct rbe_source *s, struct rbe_diag *d)
{
    const char *path = rbe_safetensors_path(s->file), *slash = strrchr(path, '/');
    const char *inside = rbe_safetensors_meta(s->file, "rbe.config");
    char *folder = NULL, *config = NULL;
    enum rbe_status err = RBE_ERR_NOMEM;
    size_t size;

    if (rbe_container_is(s->file))
        return inside ? rbe_model_config_parse(&s->config, inside, strlen(inside), path, d)
                      : rbe_fail(d, RBE_ERR_FORMAT, "%s: rbe.config is missing", path);
    if (!(folder = slash ? strndup(path, (size_t)(slash + 1 - path)) : strdup(".")) ||
        !(config = rbe_path_join(folder, "config.json")))
        rbe_fail(d, err, "%s: out of memory", path);
    else if (!(err = rbe_read_file(&s->config_json, &size, config, d))) {
        /* A byte order mark is no part of the text. */
        if (!strncmp(s->config_json, "\xef\xbb\xbf", 3))
            memmove(s->config_json, s->config_json + 3, (size -= 3) + 1);
        err = rbe_model_config_parse(&s->config, s->config_json, size, config, d);
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
    if (rbe_gguf_is(path)) {
        if (!(err = rbe_gguf_open(&s->gguf, path, d)) &&
            !(err = rbe_model_config_gguf(&s->config, s->gguf, d)))
            err = print_config(s, d);
        goto out;
    }
    if ((err = rbe_safetensors_locate(&weights, path, d)) ||
        (err = rbe_safetensors_open(&s->file, weights, d)) || (err = read_config(s, d)))
        goto out;
    find_options(s);
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
    if (s->file && rbe_container_is(s->file))
        err = rbe_fail(d, RBE_ERR_ARG, "%s: is an RBE model already; a checkpoint is needed",
                       rbe_safetensors_path(s->file));
    else if (!(err = rbe_source_find_all(s, d)))
        err = s->gguf ? rbe_gguf_sha256(s->sha256, s->gguf)
                      : rbe_safetensors_sha256(s->sha256, s->file);
    if (err)
        rbe_source_close(out);
    return err;
}

enum rbe_status rbe_source_open_encoded(struct rbe_source **out, const char *path, bool verify,
                                        struct rbe_diag *d)
{
    enum rbe_status err = rbe_source_open_head(out, path, d);

    if (err)
        return err;
    struct rbe_source *s = *out;
    if (!s->file || !rbe_container_is(s->file))
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: not an RBE model file", rbe_source_path(s));
    else
        err = rbe_source_find_all(s, d);
    for (size_t i = 0; verify && !err && i < s->count; i++)
        if (s->tensors[i].weight)
            err = rbe_container_check(s->container, s->tensors[i].weight, d);
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
    rbe_gguf_close(&s->gguf);
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

const struct rbe_source_tensor *rbe_source_of_role(const struct rbe_source *s,
                                                   enum rbe_role role, int layer)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->tensors[i].role == role && s->tensors[i].layer == layer)
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

/* Row r of t is this one in GGUF, where the values of a pair stand side by side. */
static uint64_t gguf_row(const struct rbe_source_tensor *t, uint32_t head, uint32_t r)
{
    const uint32_t at = r % head;

    return t->paired ? r - at + 2 * (at % (head / 2)) + at / (head / 2) : r;
}

uint32_t rbe_source_row_of_gguf(const struct rbe_source_tensor *t, uint32_t head, uint32_t r)
{
    const uint32_t at = r % head;

    return t->paired ? r - at + at / 2 + at % 2 * (head / 2) : r;
}

static enum rbe_status read_gguf(float *to, const struct rbe_source *s,
                                 const struct rbe_source_tensor *t, struct rbe_diag *d)
{
    const uint32_t step = t->paired ? 1 : t->rows;
    struct rbe_diag why = {""};
    enum rbe_status err = RBE_OK;

    for (uint32_t r = 0; r < t->rows && !err; r += step)
        err = rbe_gguf_decode(to + (size_t)r * t->cols, t->gguf, gguf_row(t, s->config.head, r),
                              step, &why);
    return err ? rbe_fail(d, err, "%s: %s", rbe_source_path(s), why.text) : RBE_OK;
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
    if (t->gguf) {
        const enum rbe_status err = read_gguf(to, s, t, d);
        rbe_map_forget(t->gguf->data, t->gguf->bytes);
        return err;
    }
    const enum rbe_status err =
        rbe_tensor_to_f32(t->tensor, t->transposed ? scratch : to, &why);
    rbe_map_forget(t->tensor->data, t->tensor->bytes);
    if (err)
        return rbe_fail(d, err, "%s: %s", rbe_safetensors_path(s->file), why.text);
    if (t->transposed)
        transpose(to, scratch, t->cols, t->rows);
    return RBE_OK;
}

enum rbe_status rbe_source_read_as_stored(float *to, float *scratch, const struct rbe_source *s,
                                          const struct rbe_source_tensor *t,
                                          struct rbe_diag *d)
{
    struct rbe_source_tensor plain = *t;

    plain.transposed = false;       /* as it lies in a checkpoint */
    const bool turn = t->transposed && t->weight;
    const enum rbe_status err = rbe_source_read_to(turn ? scratch : to, NULL, s, &plain, d);
    if (!err && turn)
        transpose(to, scratch, t->rows, t->cols);
    return err;
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

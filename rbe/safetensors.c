/*
 * safetensors.c - reads safetensors files through a mapping and writes them by rename.
 *
 * SPDX-License-Identifier: MIT
 *
 * Nothing of the header is believed: the JSON is parsed by jansson, which refuses duplicate
 * keys, embedded NULs and deep nesting, and every number of it is then held against the
 * file's size.  Tensors sorted by offset must tile the data exactly, so that neither an
 * overlap nor a hole can pass.
 */
#include "rbe/safetensors.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/f16.h"
#include "rbe/file.h"
#include "rbe/json.h"

/* The limit of the format's own reference implementation. */
enum { MAX_HEADER = 100 * 1000 * 1000 };

static const struct {
    const char *name;
    size_t size;
} dtypes[RBE_DT_COUNT] = {
    [RBE_DT_F32] = {"F32", 4}, [RBE_DT_F16] = {"F16", 2}, [RBE_DT_BF16] = {"BF16", 2},
    [RBE_DT_U8] = {"U8", 1},   [RBE_DT_I8] = {"I8", 1},   [RBE_DT_I16] = {"I16", 2},
    [RBE_DT_I32] = {"I32", 4}, [RBE_DT_I64] = {"I64", 8}, [RBE_DT_F64] = {"F64", 8},
    [RBE_DT_BOOL] = {"BOOL", 1},
};

struct rbe_safetensors {
    struct rbe_map map;
    char *path;
    json_t *root;               /* owns names and metadata */
    const json_t *meta;
    struct rbe_tensor *tensors; /* in file order */
    const struct rbe_tensor **by_name;
    size_t count;
};

const char *rbe_dtype_name(enum rbe_dtype t)
{
    return (unsigned)t < RBE_DT_COUNT ? dtypes[t].name : "unknown";
}

size_t rbe_dtype_size(enum rbe_dtype t)
{
    return (unsigned)t < RBE_DT_COUNT ? dtypes[t].size : 0;
}

/* Names stand in one-line messages and in tables. */
static bool printable(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 127)
            return false;
    return true;
}

/* A JSON integer >= 0. */
static bool get_size(const json_t *j, uint64_t *out)
{
    if (!json_is_integer(j) || json_integer_value(j) < 0)
        return false;
    *out = (uint64_t)json_integer_value(j);
    return true;
}

static enum rbe_status read_tensor(struct rbe_tensor *t, const char *path, const char *name,
                                   const json_t *j, const uint8_t *data, uint64_t data_bytes,
                                   struct rbe_diag *d)
{
    const json_t *shape = json_object_get(j, "shape");
    const json_t *offsets = json_object_get(j, "data_offsets");
    const char *dtype = json_string_value(json_object_get(j, "dtype"));
    uint64_t begin, end, bytes;
    int type = 0;

    *t = (struct rbe_tensor){.name = name, .count = 1};
    if (!printable(name))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: a tensor's name is empty or not printable",
                        path);
    if (!json_is_object(j) || json_object_size(j) != 3 || !dtype)
        return rbe_fail(d, RBE_ERR_FORMAT,
                        "%s: tensor '%s': want dtype, shape and data_offsets", path, name);
    while (type < RBE_DT_COUNT && strcmp(dtype, dtypes[type].name))
        type++;
    if (type == RBE_DT_COUNT)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s': dtype is not supported", path,
                        name);
    t->dtype = (enum rbe_dtype)type;
    if (!json_is_array(shape) || json_array_size(shape) > RBE_ST_MAX_DIMS)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s': shape is not a list of up to %d",
                        path, name, RBE_ST_MAX_DIMS);
    t->dims = (unsigned)json_array_size(shape);
    for (unsigned i = 0; i < t->dims; i++)
        if (!get_size(json_array_get(shape, i), &t->shape[i]) ||
            __builtin_mul_overflow(t->count, t->shape[i], &t->count))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s': impossible shape", path, name);
    if (__builtin_mul_overflow(t->count, dtypes[type].size, &bytes))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s': impossible shape", path, name);
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !get_size(json_array_get(offsets, 0), &begin) ||
        !get_size(json_array_get(offsets, 1), &end) || begin > end)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s': malformed data_offsets", path,
                        name);
    if (end > data_bytes)
        return rbe_fail(d, RBE_ERR_FORMAT,
                        "%s: tensor '%s' ends at byte %llu of %llu: truncated or damaged", path,
                        name, (unsigned long long)end, (unsigned long long)data_bytes);
    if (end - begin != bytes)
        return rbe_fail(d, RBE_ERR_FORMAT,
                        "%s: tensor '%s': %llu bytes where its shape and dtype make %llu", path,
                        name, (unsigned long long)(end - begin), (unsigned long long)bytes);
    t->data = data + begin;
    t->bytes = (size_t)bytes;
    return RBE_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct rbe_tensor *x = a, *y = b;
    const char *p = x->data, *q = y->data;

    if (p != q)
        return p < q ? -1 : 1;
    /* Empty tensors come before the one that starts where they do. */
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    const struct rbe_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static enum rbe_status check_tiling(const struct rbe_safetensors *s, const uint8_t *data,
                                    size_t data_bytes, struct rbe_diag *d)
{
    const uint8_t *end = data;

    for (size_t i = 0; i < s->count; i++) {
        const struct rbe_tensor *t = &s->tensors[i];
        const uint8_t *begin = t->data;
        if (begin != end)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' %s", s->path, t->name,
                            begin < end ? "overlaps the one before it"
                                        : "leaves a hole before it");
        end = begin + t->bytes;
    }
    if (end != data + data_bytes)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %zu bytes after the last tensor", s->path,
                        (size_t)(data + data_bytes - end));
    return RBE_OK;
}

static enum rbe_status check_meta(const struct rbe_safetensors *s, struct rbe_diag *d)
{
    const char *key;
    json_t *value;

    if (!s->meta)
        return RBE_OK;
    if (!json_is_object(s->meta))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: __metadata__ is not an object", s->path);
    json_object_foreach((json_t *)(uintptr_t)s->meta, key, value)
        if (!json_is_string(value))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: __metadata__ holds more than strings",
                            s->path);
    return RBE_OK;
}

static enum rbe_status read_header(struct rbe_safetensors *s, struct rbe_diag *d)
{
    const struct rbe_map *m = &s->map;
    enum rbe_status err;
    json_error_t je;
    uint64_t n = 0;

    if (m->size < 8)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %zu bytes are no safetensors file", s->path,
                        m->size);
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)m->bytes[i] << 8 * i;
    if (n < 2 || n > MAX_HEADER || n > m->size - 8)
        return rbe_fail(d, RBE_ERR_FORMAT,
                        "%s: header length %llu does not fit the file: truncated, or no "
                        "safetensors file", s->path, (unsigned long long)n);
    if ((err = rbe_json_load(&s->root, (const char *)m->bytes + 8, (size_t)n,
                             JSON_REJECT_DUPLICATES, &je, s->path, d)))
        return err == RBE_ERR_NOMEM ? err
               : rbe_fail(d, err, "%s: header is not valid JSON at byte %d", s->path,
                          8 + (je.position < 0 ? 0 : je.position));
    if (!json_is_object(s->root))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: header is not a JSON object", s->path);
    s->meta = json_object_get(s->root, "__metadata__");
    if ((err = check_meta(s, d)))
        return err;
    const size_t max = json_object_size(s->root);
    s->tensors = calloc(max ? max : 1, sizeof *s->tensors);
    s->by_name = calloc(max ? max : 1, sizeof *s->by_name);
    if (!s->tensors || !s->by_name)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", s->path);

    const uint8_t *data = m->bytes + 8 + n;
    const size_t data_bytes = m->size - 8 - (size_t)n;
    const char *name;
    json_t *j;
    json_object_foreach(s->root, name, j) {
        if (j == s->meta)
            continue;
        if ((err = read_tensor(&s->tensors[s->count], s->path, name, j, data, data_bytes, d)))
            return err;
        s->count++;
    }
    qsort(s->tensors, s->count, sizeof *s->tensors, by_offset);
    for (size_t i = 0; i < s->count; i++)
        s->by_name[i] = &s->tensors[i];
    qsort(s->by_name, s->count, sizeof *s->by_name, by_name);
    return check_tiling(s, data, data_bytes, d);
}

enum rbe_status rbe_safetensors_open(struct rbe_safetensors **out, const char *path,
                                     struct rbe_diag *d)
{
    enum rbe_status err;

    *out = NULL;
    struct rbe_safetensors *s = calloc(1, sizeof *s);
    if (!s || !(s->path = strdup(path))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    if ((err = rbe_map_open(&s->map, path, d)))
        goto out;
    err = read_header(s, d);
out:
    if (err)
        rbe_safetensors_close(&s);
    *out = s;
    return err;
}

void rbe_safetensors_close(struct rbe_safetensors **pp)
{
    struct rbe_safetensors *s = *pp;

    if (!s)
        return;
    json_decref(s->root);
    rbe_map_close(&s->map);
    free(s->tensors);
    free(s->by_name);
    free(s->path);
    free(s);
    *pp = NULL;
}

size_t rbe_safetensors_count(const struct rbe_safetensors *s)
{
    return s->count;
}

const struct rbe_tensor *rbe_safetensors_at(const struct rbe_safetensors *s, size_t i)
{
    return i < s->count ? &s->tensors[i] : NULL;
}

const struct rbe_tensor *rbe_safetensors_find(const struct rbe_safetensors *s,
                                              const char *name)
{
    size_t lo = 0, hi = s->count;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const int c = strcmp(name, s->by_name[mid]->name);
        if (!c)
            return s->by_name[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

const char *rbe_safetensors_meta(const struct rbe_safetensors *s, const char *key)
{
    return json_string_value(json_object_get(s->meta, key));
}

size_t rbe_safetensors_file_bytes(const struct rbe_safetensors *s)
{
    return s->map.size;
}

const char *rbe_safetensors_path(const struct rbe_safetensors *s)
{
    return s->path;
}

/* Element i of t, which may lie at any address. */
static float element(const struct rbe_tensor *t, size_t i)
{
    const uint8_t *p = t->data;
    uint16_t h;
    float f;

    if (t->dtype == RBE_DT_F32) {
        memcpy(&f, p + 4 * i, sizeof f);
        return f;
    }
    memcpy(&h, p + 2 * i, sizeof h);
    return t->dtype == RBE_DT_F16 ? rbe_f16_to_f32(h) : rbe_f32_from_bits((uint32_t)h << 16);
}

enum rbe_status rbe_tensor_to_f32(const struct rbe_tensor *t, float *out, struct rbe_diag *d)
{
    if (t->dtype != RBE_DT_F32 && t->dtype != RBE_DT_F16 && t->dtype != RBE_DT_BF16)
        return rbe_fail(d, RBE_ERR_FORMAT, "tensor '%s': %s where F32, F16 or BF16 is needed",
                        t->name, rbe_dtype_name(t->dtype));
    for (size_t i = 0; i < t->count; i++) {
        out[i] = element(t, i);
        if (!isfinite(out[i]))
            return rbe_fail(d, RBE_ERR_NUMERIC, "tensor '%s': element %zu is %s", t->name, i,
                            isnan(out[i]) ? "NaN" : "infinite");
    }
    return RBE_OK;
}

/* The header as JSON text (free() it), and each tensor's bytes. */
static enum rbe_status make_header(char **out, const char *path,
                                   const struct rbe_tensor_out *tensors, size_t count,
                                   const char *const *meta, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    uint64_t at = 0;

    *out = NULL;
    rbe_json_watch();
    const unsigned shortages = rbe_shortages();
    json_t *root = json_object();
    bool ok = root;
    if (meta && *meta) {
        json_t *m = json_object();
        for (; *meta; meta += 2)
            ok = ok && !json_object_set_new(m, meta[0], json_string(meta[1]));
        ok = !json_object_set_new(root, "__metadata__", m) && ok;
    }
    for (size_t i = 0; ok && i < count; i++) {
        const struct rbe_tensor_out *t = &tensors[i];
        uint64_t bytes = rbe_dtype_size(t->dtype), end = 0;
        bool fits = printable(t->name) && t->dims <= RBE_ST_MAX_DIMS && bytes;
        json_t *shape = json_array();
        for (unsigned k = 0; fits && k < t->dims; k++) {
            fits = !__builtin_mul_overflow(bytes, t->shape[k], &bytes) && bytes <= INT64_MAX;
            ok = !json_array_append_new(shape, json_integer((json_int_t)t->shape[k])) && ok;
        }
        fits = fits && !__builtin_add_overflow(at, bytes, &end) && end <= INT64_MAX &&
               strcmp(t->name, "__metadata__") && !json_object_get(root, t->name);
        if (!fits) {
            json_decref(shape);
            err = rbe_fail(d, RBE_ERR_ARG, "%s: tensor '%s' cannot be written: name, shape or "
                           "dtype", path, t->name);
            goto out;
        }
        json_t *j = json_pack("{s:s, s:o, s:[I, I]}", "dtype", rbe_dtype_name(t->dtype),
                              "shape", shape, "data_offsets", (json_int_t)at, (json_int_t)end);
        ok = ok && j && !json_object_set_new(root, t->name, j);
        at = end;
    }
    if (ok)
        *out = json_dumps(root, JSON_COMPACT);
    if (rbe_shortages() != shortages) {
        free(*out);
        *out = NULL;
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    } else if (!*out) {
        err = rbe_fail(d, RBE_ERR_ARG, "%s: names or metadata are not valid UTF-8", path);
    }
out:
    json_decref(root);
    return err;
}

static size_t out_bytes(const struct rbe_tensor_out *t)
{
    size_t n = rbe_dtype_size(t->dtype);

    for (unsigned k = 0; k < t->dims; k++)
        n *= (size_t)t->shape[k];
    return n;
}

enum rbe_status rbe_safetensors_write(const char *path, const struct rbe_tensor_out *tensors,
                                      size_t count, const char *const *meta,
                                      struct rbe_diag *d)
{
    struct rbe_outfile o = {0};
    enum rbe_status err;
    uint8_t length[8];
    char *header;

    if ((err = make_header(&header, path, tensors, count, meta, d)))
        return err;
    const size_t used = strlen(header), padded = (8 + used + 63) / 64 * 64 - 8;
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(padded >> 8 * i);
    if (padded > MAX_HEADER) {
        err = rbe_fail(d, RBE_ERR_LIMIT, "%s: header of %zu bytes passes the format's limit",
                       path, padded);
        goto out;
    }
    if ((err = rbe_outfile_open(&o, path, d)))
        goto out;
    /* Errors stick to the stream; commit reports them. */
    fwrite(length, 1, sizeof length, o.f);
    fwrite(header, 1, used, o.f);
    for (size_t i = used; i < padded; i++)
        fputc(' ', o.f);
    for (size_t i = 0; i < count; i++) {
        const size_t n = out_bytes(&tensors[i]);
        if (n && fwrite(tensors[i].data, 1, n, o.f) != n)
            break;
    }
    err = rbe_outfile_commit(&o, d);
out:
    rbe_outfile_discard(&o);
    free(header);
    return err;
}

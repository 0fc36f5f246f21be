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
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/json.h"
#include "kernels/f16.h"

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
    struct rbe_safetensors **shards;    /* of an index, by name; else NULL */
    size_t shard_count;
};

const char *rbe_dtype_name(enum rbe_dtype t)
{
    return (unsigned)t < RBE_DT_COUNT ? dtypes[t].name : "unknown";
}

size_t rbe_dtype_size(enum rbe_dtype t)
{
    return (unsigned)t < RBE_DT_COUNT ? dtypes[t].size : 0;
}

const char *rbe_foreign_file(const void *bytes, size_t size)
{
    static const struct {
        const char *start, *what;
    } kinds[] = {{"version https://git-lfs", "a git-LFS pointer, not the file itself: git lfs "
                                             "pull fetches it"},
                 {"PK\3\4", "a zip archive, as PyTorch writes: save the model as safetensors"},
                 {"\x80\2", "a Python pickle, as PyTorch wrote: save the model as safetensors"},
                 {"GGUF", "a GGUF file"},
                 {"\x89HDF", "an HDF5 file, as TensorFlow writes: save the model as "
                             "safetensors"},
                 {"\x1f\x8b", "compressed by gzip"},
                 {"<!doctype html", "an HTML page, not the file itself: a download went wrong"},
                 {"<html", "an HTML page, not the file itself: a download went wrong"},
                 {"<?xml", "an XML page, not the file itself: a download went wrong"},
                 {"{", "JSON text"}};
    const char *s = bytes, *const end = s + size;

    if (size >= 3 && !memcmp(s, "\xef\xbb\xbf", 3))
        s += 3;
    while (s < end && strchr(" \t\r\n", *s) && *s)
        s++;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const size_t n = strlen(kinds[i].start);
        if ((size_t)(end - s) >= n && !strncasecmp(s, kinds[i].start, n))
            return kinds[i].what;
    }
    return NULL;
}

enum rbe_status rbe_safetensors_locate(char **out, const char *path, struct rbe_diag *d)
{
    static const char *const ours[] = {"model.safetensors", "model.safetensors.index.json"};
    static const char *const others[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                         "tf_model.h5", "flax_model.msgpack",
                                         "model.ckpt.index", "rust_model.ot"};
    struct stat st;

    *out = NULL;
    if (stat(path, &st) < 0)
        return rbe_fail_errno(d, "%s", path);
    if (!S_ISDIR(st.st_mode)) {
        *out = strdup(path);
        return *out ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    }
    for (size_t i = 0; i < sizeof ours / sizeof *ours + sizeof others / sizeof *others; i++) {
        const bool our = i < sizeof ours / sizeof *ours;
        const char *name = our ? ours[i] : others[i - sizeof ours / sizeof *ours];
        char *file = rbe_path_join(path, name);
        if (!file)
            return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        const bool there = !access(file, F_OK);
        if (there && our) {
            *out = file;
            return RBE_OK;
        }
        free(file);
        if (there)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: holds %s, which is not read, and no "
                            "model.safetensors: save the model as safetensors", path, name);
    }
    return rbe_fail(d, RBE_ERR_IO, "%s: no model.safetensors in this folder", path);
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
    if (!printable(dtype))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s': dtype is not printable", path,
                        name);
    t->dtype = (enum rbe_dtype)type;
    t->dtype_name = dtype;
    if (!json_is_array(shape) || json_array_size(shape) > RBE_ST_MAX_DIMS)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s': shape is not a list of up to %d",
                        path, name, RBE_ST_MAX_DIMS);
    t->dims = (unsigned)json_array_size(shape);
    for (unsigned i = 0; i < t->dims; i++)
        if (!get_size(json_array_get(shape, i), &t->shape[i]) ||
            __builtin_mul_overflow(t->count, t->shape[i], &t->count))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s': impossible shape", path, name);
    if (__builtin_mul_overflow(t->count, rbe_dtype_size(t->dtype), &bytes))
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
    if (t->dtype == RBE_DT_OTHER)
        bytes = end - begin;
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

static void index_names(struct rbe_safetensors *s)
{
    for (size_t i = 0; i < s->count; i++)
        s->by_name[i] = &s->tensors[i];
    qsort(s->by_name, s->count, sizeof *s->by_name, by_name);
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
    const bool fits = n >= 2 && n <= MAX_HEADER && n <= m->size - 8;
    const char *what = fits ? NULL : rbe_foreign_file(m->bytes, m->size);
    if (what)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: is %s", s->path, what);
    if (!fits)
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
    index_names(s);
    return check_tiling(s, data, data_bytes, d);
}

/* --- shards ------------------------------------------------------------------------------- */

static bool ends_in(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);

    return n >= m && !strcmp(s + n - m, end);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* The shard of this name, opened when it is the first to ask; NULL with the reason in *err. */
static struct rbe_safetensors *get_shard(struct rbe_safetensors *s, const char *name,
                                         enum rbe_status *err, struct rbe_diag *d)
{
    for (size_t i = 0; i < s->shard_count; i++)
        if (!strcmp(base_name(s->shards[i]->path), name))
            return s->shards[i];
    if (!printable(name) || strchr(name, '/') || !ends_in(name, ".safetensors")) {
        *err = rbe_fail(d, RBE_ERR_FORMAT, "%s: weight_map names something other than "
                        "safetensors files beside it", s->path);
        return NULL;
    }
    const size_t folder = (size_t)(base_name(s->path) - s->path);
    char *path = malloc(folder + strlen(name) + 1);
    struct rbe_safetensors **grown =
        realloc(s->shards, (s->shard_count + 1) * sizeof *s->shards);
    s->shards = grown ? grown : s->shards;
    if (!path || !grown) {
        *err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", s->path);
        free(path);
        return NULL;
    }
    memcpy(path, s->path, folder);
    strcpy(path + folder, name);
    *err = rbe_safetensors_open(&s->shards[s->shard_count], path, d);
    free(path);
    return *err ? NULL : s->shards[s->shard_count++];
}

static int by_path(const void *a, const void *b)
{
    struct rbe_safetensors *const *x = a, *const *y = b;
    return strcmp((*x)->path, (*y)->path);
}

/* Every tensor of every shard is where the index says. */
static enum rbe_status check_places(const struct rbe_safetensors *s, const json_t *places,
                                    struct rbe_diag *d)
{
    for (size_t i = 0; i < s->shard_count; i++) {
        const char *shard = base_name(s->shards[i]->path);
        for (size_t k = 0; k < s->shards[i]->count; k++) {
            const char *tensor = s->shards[i]->tensors[k].name;
            const char *place = json_string_value(json_object_get(places, tensor));
            if (!place)
                return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' of %s is not in the "
                                "index", s->path, tensor, shard);
            if (strcmp(place, shard) != 0)
                return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' is in %s and in %s",
                                s->path, tensor, place, shard);
        }
    }
    return RBE_OK;
}

static enum rbe_status read_index(struct rbe_safetensors *s, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    const char *tensor;
    json_t *value;

    json_error_t je;

    err = rbe_json_load(&s->root, (const char *)s->map.bytes, s->map.size,
                        JSON_REJECT_DUPLICATES, &je, s->path, d);
    if (err == RBE_ERR_NOMEM)
        return err;
    if (err) {
        const char *what = s->map.size && *s->map.bytes != '{'
                               ? rbe_foreign_file(s->map.bytes, s->map.size) : NULL;
        return what ? rbe_fail(d, RBE_ERR_FORMAT, "%s: is %s", s->path, what)
                    : rbe_fail(d, RBE_ERR_FORMAT, "%s: not valid JSON at line %d, or with a "
                               "key twice", s->path, je.line);
    }
    const json_t *places = json_object_get(s->root, "weight_map");
    if (!json_object_size(places))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: no weight_map in it: no index of shards",
                        s->path);
    json_object_foreach((json_t *)(uintptr_t)places, tensor, value) {
        const char *name = json_string_value(value);
        if (!name || !printable(tensor))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: weight_map holds more than names of "
                            "tensors and files", s->path);
        const struct rbe_safetensors *shard = get_shard(s, name, &err, d);
        if (!shard)
            return err;
        if (!rbe_safetensors_find(shard, tensor))
            return rbe_fail(d, RBE_ERR_MISMATCH, "%s: tensor '%s' is not in %s", s->path,
                            tensor, name);
    }
    qsort(s->shards, s->shard_count, sizeof *s->shards, by_path);
    if ((err = check_places(s, places, d)))
        return err;
    s->tensors = calloc(json_object_size(places), sizeof *s->tensors);
    s->by_name = calloc(json_object_size(places), sizeof *s->by_name);
    if (!s->tensors || !s->by_name)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", s->path);
    for (size_t i = 0; i < s->shard_count; i++)
        for (size_t k = 0; k < s->shards[i]->count; k++)
            s->tensors[s->count++] = s->shards[i]->tensors[k];
    index_names(s);
    return RBE_OK;
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
    err = ends_in(path, ".index.json") ? read_index(s, d) : read_header(s, d);
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
    for (size_t i = 0; i < s->shard_count; i++)
        rbe_safetensors_close(&s->shards[i]);
    free(s->shards);
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
    const char *value = json_string_value(json_object_get(s->meta, key));

    for (size_t i = 0; !value && i < s->shard_count; i++)
        value = rbe_safetensors_meta(s->shards[i], key);
    return value;
}

size_t rbe_safetensors_shards(const struct rbe_safetensors *s)
{
    return s->shard_count;
}

size_t rbe_safetensors_file_bytes(const struct rbe_safetensors *s)
{
    size_t n = s->map.size;

    for (size_t i = 0; i < s->shard_count; i++)
        n += s->shards[i]->map.size;
    return n;
}

uint64_t rbe_safetensors_stamp(const struct rbe_safetensors *s)
{
    uint64_t stamp = s->map.stamp;

    for (size_t i = 0; i < s->shard_count; i++)
        stamp = XXH3_64bits_withSeed(&s->shards[i]->map.stamp, sizeof stamp, stamp);
    return stamp;
}

/* A file that was hashed need not stay in memory. */
static enum rbe_status hash_map(char hex[65], const struct rbe_map *m)
{
    const enum rbe_status err = rbe_sha256(hex, m->bytes, m->size);

    rbe_map_forget(m->bytes, m->size);
    return err;
}

enum rbe_status rbe_safetensors_sha256(char hex[65], const struct rbe_safetensors *s)
{
    size_t room = 1, at = 0;
    enum rbe_status err;

    if (!s->shard_count)
        return hash_map(hex, &s->map);
    for (size_t i = 0; i <= s->shard_count; i++)
        room += 64 + 3 + strlen(base_name(i ? s->shards[i - 1]->path : s->path));
    char *lines = malloc(room);
    if (!lines)
        return RBE_ERR_NOMEM;
    for (size_t i = 0; i <= s->shard_count; i++) {
        const struct rbe_safetensors *f = i ? s->shards[i - 1] : s;
        if ((err = hash_map(hex, &f->map)))
            goto out;
        at += (size_t)snprintf(lines + at, room - at, "%s  %s\n", hex, base_name(f->path));
    }
    err = rbe_sha256(hex, lines, at);
out:
    free(lines);
    return err;
}

const char *rbe_safetensors_path(const struct rbe_safetensors *s)
{
    return s->path;
}

bool rbe_tensor_is_float(const struct rbe_tensor *t)
{
    return t->dtype == RBE_DT_F32 || t->dtype == RBE_DT_F16 || t->dtype == RBE_DT_BF16 ||
           t->dtype == RBE_DT_F64;
}

/* Element i of t, which may lie at any address. */
static float element(const struct rbe_tensor *t, size_t i)
{
    const uint8_t *p = t->data;
    uint16_t h;
    double wide;
    float f;

    if (t->dtype == RBE_DT_F32) {
        memcpy(&f, p + 4 * i, sizeof f);
        return f;
    }
    if (t->dtype == RBE_DT_F64) {
        memcpy(&wide, p + 8 * i, sizeof wide);
        return (float)wide;
    }
    memcpy(&h, p + 2 * i, sizeof h);
    return t->dtype == RBE_DT_F16 ? rbe_f16_to_f32(h) : rbe_f32_from_bits((uint32_t)h << 16);
}

enum rbe_status rbe_tensor_to_f32(const struct rbe_tensor *t, float *out, struct rbe_diag *d)
{
    if (!rbe_tensor_is_float(t))
        return rbe_fail(d, RBE_ERR_FORMAT, "tensor '%s': %s where F32, F16, BF16 or F64 is "
                        "needed", t->name, t->dtype_name);
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

enum rbe_status rbe_safetensors_write_by(const char *path, const struct rbe_tensor_out *tensors,
                                         size_t count, const char *const *meta,
                                         rbe_tensor_read_fn *read, struct rbe_diag *d)
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
        const void *data = tensors[i].data;
        if (read && (err = read(&data, &tensors[i], d)))
            goto out;
        if (n && fwrite(data, 1, n, o.f) != n)
            break;
    }
    err = rbe_outfile_commit(&o, d);
out:
    rbe_outfile_discard(&o);
    free(header);
    return err;
}

enum rbe_status rbe_safetensors_write(const char *path, const struct rbe_tensor_out *tensors,
                                      size_t count, const char *const *meta,
                                      struct rbe_diag *d)
{
    return rbe_safetensors_write_by(path, tensors, count, meta, NULL, d);
}

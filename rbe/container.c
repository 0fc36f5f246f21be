/*
 * container.c - reading and writing RBE model files, everything checked before use.
 *
 * SPDX-License-Identifier: MIT
 *
 * The order of the checks: fields first, because checksums only tell damage from intent and a
 * hostile file has correct ones; then the header's checksum; then those of the tensors.
 */
#include "rbe/container.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/json.h"
#include "kernels/f16.h"

enum {
    MAX_SIDE = 1 << 24,         /* rows, columns: products of two stay far from overflow */
    MAX_PARTS = 1024,
    MAX_NAME = sizeof((struct rbe_weight *)0)->name - 1,
};

#define VERSION "2"
#define CHECKSUMS "rbe.checksums"
#define HEADER_SUM "rbe.header_xxh3"
#define KEYS "rbe.keys"
#define SHARED "shares tensors with another weight"

int rbe_no_verify;

/* A fuzzer cannot make checksums match: its build takes any, and reaches what stands behind. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#define CHECKSUMS_COUNT 0
#else
#define CHECKSUMS_COUNT 1
#endif

struct rbe_container {
    struct rbe_safetensors *file;
    struct rbe_weight *weights;
    size_t count;
    bool *used;                 /* [tensors] belongs to a weight */
    const struct rbe_tensor *sums;
};

/* NAME.codes, or NAME.<part>.codes past the first part. */
static void part_name(char *out, size_t size, const char *weight, size_t part,
                      const char *what)
{
    if (part)
        snprintf(out, size, "%s.%zu.%s", weight, part, what);
    else
        snprintf(out, size, "%s.%s", weight, what);
}

enum { PART_NAME = MAX_NAME + 32 };

static size_t alignment_for(size_t bytes)
{
    const size_t low = bytes & -bytes;
    return low > 64 ? 64 : low;
}

/* --- checksums -------------------------------------------------------------------------- */

static void hash_text(XXH3_state_t *x, const char *s)
{
    XXH3_64bits_update(x, s, strlen(s) + 1);
}

static void hash_number(XXH3_state_t *x, uint64_t v)
{
    uint8_t b[8];

    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> 8 * i);
    XXH3_64bits_update(x, b, sizeof b);
}

static void hash_tensor(XXH3_state_t *x, const char *name, enum rbe_dtype type, unsigned dims,
                        const uint64_t *shape)
{
    hash_text(x, name);
    hash_number(x, type);
    hash_number(x, dims);
    for (unsigned i = 0; i < dims; i++)
        hash_number(x, shape[i]);
}

/* Summed over all entries: their order does not matter. */
static uint64_t meta_sum(const char *key, const char *value)
{
    const uint64_t k = XXH3_64bits(key, strlen(key));
    return XXH3_64bits_withSeed(value, strlen(value), k);
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* --- reading ---------------------------------------------------------------------------- */

bool rbe_container_is(const struct rbe_safetensors *s)
{
    return rbe_safetensors_meta(s, "rbe.version") != NULL;
}

const struct rbe_safetensors *rbe_container_file(const struct rbe_container *c)
{
    return c->file;
}

bool rbe_container_owns(const struct rbe_container *c, const struct rbe_tensor *t)
{
    return t == c->sums || c->used[t - rbe_safetensors_at(c->file, 0)];
}

size_t rbe_container_weight_count(const struct rbe_container *c)
{
    return c->count;
}

const struct rbe_weight *rbe_container_weight_at(const struct rbe_container *c, size_t i)
{
    return i < c->count ? &c->weights[i] : NULL;
}

const struct rbe_weight *rbe_container_weight(const struct rbe_container *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (!strcmp(c->weights[i].name, name))
            return &c->weights[i];
    return NULL;
}

static enum rbe_status bad(const struct rbe_container *c, const char *name, struct rbe_diag *d,
                           const char *what)
{
    return rbe_fail(d, RBE_ERR_FORMAT, "%s: weight '%s': %s", rbe_safetensors_path(c->file),
                    name, what);
}

/* The tensor NAME[.part].what, claimed for this weight; NULL when absent.  False when another
 * weight has it already. */
static bool claim(const struct rbe_tensor **out, struct rbe_container *c, const char *weight,
                  size_t part, const char *what)
{
    char name[PART_NAME];

    part_name(name, sizeof name, weight, part, what);
    *out = rbe_safetensors_find(c->file, name);
    if (!*out)
        return true;
    bool *used = &c->used[*out - rbe_safetensors_at(c->file, 0)];
    const bool fresh = !*used;
    *used = true;
    return fresh;
}

static bool aligned(const struct rbe_tensor *t)
{
    return (uintptr_t)t->data % alignment_for(t->bytes) == 0;
}

static bool finite_f16(const uint16_t *v, size_t n)
{
    uint16_t worst = 0;

    for (size_t i = 0; i < n; i++)
        worst |= (v[i] & 0x7C00) == 0x7C00;
    return !worst;
}

/* An f16 tensor of exactly `bytes` into *to; with bytes 0 it must be absent. */
static enum rbe_status read_scale(const uint16_t **to, struct rbe_container *c,
                                  const char *weight, size_t part, const char *what,
                                  size_t bytes, bool optional, struct rbe_diag *d)
{
    const struct rbe_tensor *t;

    *to = NULL;
    if (!claim(&t, c, weight, part, what))
        return bad(c, weight, d, SHARED);
    if (!t)
        return bytes && !optional ? bad(c, weight, d, "scales are missing") : RBE_OK;
    if (!bytes)
        return bad(c, weight, d, "has scales that its codec does not use");
    if (t->dtype != RBE_DT_F16 || t->bytes != bytes || !aligned(t))
        return bad(c, weight, d, "scales have the wrong type, size or alignment");
    if (!finite_f16(t->data, bytes / 2))
        return bad(c, weight, d, "a scale is NaN or infinite");
    *to = t->data;
    return RBE_OK;
}

/* An integer field, `none` when absent and not required. */
static bool get_u32(const json_t *j, const char *key, bool required, uint32_t *out)
{
    const json_t *v = json_object_get(j, key);

    *out = 0;
    if (!v)
        return !required;
    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        json_integer_value(v) > UINT32_MAX)
        return false;
    *out = (uint32_t)json_integer_value(v);
    return true;
}

static enum rbe_status read_part(struct rbe_container *c, struct rbe_weight *w, size_t i,
                                 uint64_t *row, const json_t *j, struct rbe_diag *d)
{
    const char *codec = json_string_value(json_object_get(j, "codec"));
    struct rbe_part *p = &w->parts[i];
    enum rbe_status err;

    if (!codec || !get_u32(j, "rows", true, &p->m.rows) ||
        !get_u32(j, "block", false, &p->m.block) || !get_u32(j, "aux", false, &p->m.aux))
        return bad(c, w->name, d, "malformed part");
    p->m.format = rbe_format_by_name(codec);
    if (p->m.format == RBE_FORMAT_COUNT)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: weight '%s': unknown codec '%.32s'",
                        rbe_safetensors_path(c->file), w->name, codec);
    p->row0 = (uint32_t)*row;
    p->m.cols = w->cols;
    *row += p->m.rows;
    if (*row > w->rows)
        return bad(c, w->name, d, "parts have more rows than the matrix");
    const struct rbe_matrix_size size =
        rbe_matrix_size(p->m.format, p->m.rows, p->m.cols, p->m.block, p->m.aux);
    if (!size.codes)
        return bad(c, w->name, d, "shape or block impossible for its codec");

    const struct rbe_tensor *t;
    if (!claim(&t, c, w->name, i, "codes"))
        return bad(c, w->name, d, SHARED);
    if (!t)
        return bad(c, w->name, d, "codes are missing");
    if (t->dtype != RBE_DT_U8 || t->bytes != size.codes)
        return bad(c, w->name, d, "codes have the wrong type or size");
    if (!aligned(t))
        return bad(c, w->name, d, "codes are not aligned");
    p->m.codes = t->data;
    p->m.code_bytes = t->bytes;
    if ((err = read_scale(&p->m.scale, c, w->name, i, "scale", size.scale, false, d)))
        return err;
    err = read_scale(&p->m.col_scale, c, w->name, i, "col_scale", size.col_scale,
                     rbe_format_facts(p->m.format)->col_scale, d);
    w->bytes += size.codes + size.scale + (p->m.col_scale ? size.col_scale : 0);
    return err;
}

static bool read_rotation(struct rbe_weight *w, const json_t *j)
{
    const json_t *seed = json_object_get(j, "sign_seed");
    char *end;

    if (!get_u32(j, "hadamard", false, &w->hadamard))
        return false;
    if (w->hadamard && (w->hadamard & (w->hadamard - 1) || w->cols % w->hadamard))
        return false;
    if (!seed)
        return true;
    const char *s = json_string_value(seed);
    if (!s || !*s || strspn(s, "0123456789") != strlen(s) || strlen(s) > 20)
        return false;
    errno = 0;
    w->sign_seed = strtoull(s, &end, 10);
    return !*end && !errno;
}

static enum rbe_status read_weight(struct rbe_container *c, struct rbe_weight *w,
                                   const char *name, const char *meta, struct rbe_diag *d)
{
    json_t *j;
    enum rbe_status err = rbe_json_load(&j, meta, strlen(meta), JSON_REJECT_DUPLICATES, NULL,
                                        rbe_safetensors_path(c->file), d);
    const json_t *parts = json_object_get(j, "parts");
    uint64_t row = 0;

    if (err == RBE_ERR_NOMEM)
        return err;
    err = RBE_OK;
    snprintf(w->name, sizeof w->name, "%s", name);
    if (!j || !get_u32(j, "rows", true, &w->rows) || !get_u32(j, "cols", true, &w->cols) ||
        !w->rows || !w->cols || w->rows > MAX_SIDE || w->cols > MAX_SIDE) {
        err = bad(c, name, d, "malformed parameters, or an impossible shape");
        goto out;
    }
    if (!read_rotation(w, j)) {
        err = bad(c, name, d, "impossible rotation");
        goto out;
    }
    const size_t n = json_array_size(parts);
    if (!n || n > MAX_PARTS) {
        err = bad(c, name, d, "has no list of parts, or too many");
        goto out;
    }
    if (!(w->parts = calloc(n, sizeof *w->parts))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    w->part_count = n;
    for (size_t i = 0; i < n && !err; i++)
        err = read_part(c, w, i, &row, json_array_get(parts, i), d);
    if (!err && row != w->rows)
        err = bad(c, name, d, "parts do not cover every row");
out:
    json_decref(j);
    return err;
}

/* Finds the weights: tensors NAME.codes with parameters under NAME. */
static enum rbe_status read_weights(struct rbe_container *c, struct rbe_diag *d)
{
    const size_t n = rbe_safetensors_count(c->file);
    enum rbe_status err = RBE_OK;

    c->weights = calloc(n, sizeof *c->weights);
    if (!c->weights)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n && !err; i++) {
        const char *tensor = rbe_safetensors_at(c->file, i)->name;
        const size_t len = strlen(tensor);
        char name[MAX_NAME + 1];

        if (len < 7 || strcmp(tensor + len - 6, ".codes") != 0 || len - 6 > MAX_NAME)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(len - 6), tensor);
        const char *meta = rbe_safetensors_meta(c->file, name);
        if (!meta)
            continue;
        if (c->used[i])
            return bad(c, name, d, SHARED);
        err = read_weight(c, &c->weights[c->count++], name, meta, d);
    }
    /* Codes that belong to no weight: parameters were lost. */
    for (size_t i = 0; i < n && !err; i++) {
        const char *tensor = rbe_safetensors_at(c->file, i)->name;
        const size_t len = strlen(tensor);

        if (!c->used[i] && len > 6 && !strcmp(tensor + len - 6, ".codes"))
            err = rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' has no parameters",
                           rbe_safetensors_path(c->file), tensor);
    }
    return err;
}

/* Names, types, shapes and metadata against the header's checksum. */
static enum rbe_status check_header(const struct rbe_container *c,
                                    const struct rbe_tensor *sums, struct rbe_diag *d)
{
    const char *path = rbe_safetensors_path(c->file);
    const char *want = rbe_safetensors_meta(c->file, HEADER_SUM);
    const char *keys = rbe_safetensors_meta(c->file, KEYS);
    enum rbe_status err = RBE_OK;
    char got[17], *list = NULL, *save, *key;
    uint64_t meta;

    XXH3_state_t *x = XXH3_createState();
    if (!x || !keys || !(list = strdup(keys))) {
        err = keys ? rbe_fail(d, RBE_ERR_NOMEM, "out of memory")
                   : rbe_fail(d, RBE_ERR_FORMAT, "%s: '" KEYS "' is missing", path);
        goto out;
    }
    XXH3_64bits_reset(x);
    for (size_t i = 0; i < rbe_safetensors_count(c->file); i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(c->file, i);
        hash_tensor(x, t->name, t->dtype, t->dims, t->shape);
    }
    meta = meta_sum(KEYS, keys);
    for (key = strtok_r(list, " ", &save); key; key = strtok_r(NULL, " ", &save)) {
        const char *value = rbe_safetensors_meta(c->file, key);
        meta += meta_sum(key, value ? value : "");
    }
    for (size_t i = 0; i < c->count; i++)
        meta += meta_sum(c->weights[i].name,
                         rbe_safetensors_meta(c->file, c->weights[i].name));
    hash_number(x, meta);
    XXH3_64bits_update(x, sums->data, sums->bytes);
    snprintf(got, sizeof got, "%016" PRIx64, (uint64_t)XXH3_64bits_digest(x));
    if (CHECKSUMS_COUNT && (!want || strcmp(want, got) != 0))
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: the header's checksum does not match: damaged",
                       path);
out:
    XXH3_freeState(x);
    free(list);
    return err;
}

static bool is_codes(const struct rbe_container *c, size_t i)
{
    const char *name = rbe_safetensors_at(c->file, i)->name;
    const size_t len = strlen(name);

    return c->used[i] && !strcmp(name + len - 6, ".codes");
}

/* Against its checksum; they stand in file order, their own tensor left out. */
static enum rbe_status check_tensor(const struct rbe_container *c, const struct rbe_tensor *t,
                                    struct rbe_diag *d)
{
    const size_t i = (size_t)(t - rbe_safetensors_at(c->file, 0)) - (t > c->sums);

    if (!CHECKSUMS_COUNT ||
        XXH3_64bits(t->data, t->bytes) == get_u64((const uint8_t *)c->sums->data + 8 * i))
        return RBE_OK;
    return rbe_fail(d, RBE_ERR_FORMAT,
                    "%s: tensor '%s': the checksum does not match: damaged",
                    rbe_safetensors_path(c->file), t->name);
}

static enum rbe_status check_tensors(const struct rbe_container *c, bool verify,
                                     struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; i < rbe_safetensors_count(c->file) && !err; i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(c->file, i);
        if (t != c->sums && (verify || !is_codes(c, i)))
            err = check_tensor(c, t, d);
        /* All of a large file is not to stay in memory because it was looked at once. */
        if (verify)
            rbe_map_forget(t->data, t->bytes);
    }
    return err;
}

enum rbe_status rbe_container_check(const struct rbe_container *c, const struct rbe_weight *w,
                                    struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    char name[PART_NAME];

    for (size_t i = 0; i < w->part_count && !err; i++) {
        part_name(name, sizeof name, w->name, i, "codes");
        err = check_tensor(c, rbe_safetensors_find(c->file, name), d);
    }
    return err;
}

static enum rbe_status read_container(struct rbe_container *c, bool verify, struct rbe_diag *d)
{
    const char *path = rbe_safetensors_path(c->file);
    const char *version = rbe_safetensors_meta(c->file, "rbe.version");
    const size_t n = rbe_safetensors_count(c->file);
    enum rbe_status err;

    if (!version)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: not an RBE model file", path);
    if (strcmp(version, VERSION) != 0)
        return rbe_fail(d, RBE_ERR_FORMAT,
                        "%s: format version '%.16s' is not known; this program reads " VERSION
                        ": convert the checkpoint again",
                        path, version);
    for (size_t i = 0; i < n; i++)
        if (!rbe_safetensors_at(c->file, i)->bytes)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is empty", path,
                            rbe_safetensors_at(c->file, i)->name);
    const struct rbe_tensor *sums = c->sums = rbe_safetensors_find(c->file, CHECKSUMS);
    if (!sums || sums->dtype != RBE_DT_U8 || sums->bytes != (n - 1) * 8)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: checksums are missing or too few", path);
    if (!(c->used = calloc(n, sizeof *c->used)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if ((err = read_weights(c, d)))
        return err;
    if ((err = check_header(c, sums, d)))
        return err;
    return check_tensors(c, verify, d);
}

enum rbe_status rbe_container_take(struct rbe_container **out, struct rbe_safetensors **file,
                                   bool verify, struct rbe_diag *d)
{
    struct rbe_container *c = calloc(1, sizeof *c);
    enum rbe_status err;

    *out = NULL;
    if (!c) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", rbe_safetensors_path(*file));
        rbe_safetensors_close(file);
        return err;
    }
    c->file = *file;
    if ((err = read_container(c, verify, d))) {
        rbe_container_close(&c);
        *file = NULL;
    }
    *out = c;
    return err;
}

enum rbe_status rbe_container_open(struct rbe_container **out, const char *path, bool verify,
                                   struct rbe_diag *d)
{
    struct rbe_safetensors *file;
    const enum rbe_status err = rbe_safetensors_open(&file, path, d);

    *out = NULL;
    return err ? err : rbe_container_take(out, &file, verify, d);
}

void rbe_container_close(struct rbe_container **pc)
{
    struct rbe_container *c = *pc;

    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++)
        free(c->weights[i].parts);
    free(c->weights);
    free(c->used);
    rbe_safetensors_close(&c->file);
    free(c);
    *pc = NULL;
}

/* --- writing ---------------------------------------------------------------------------- */

struct rbe_container_builder {
    struct rbe_tensor_out *tensors;     /* names are owned */
    size_t tensor_count, tensor_room;
    char **meta;                        /* key, value, ...: owned */
    size_t meta_count, meta_room;       /* counted in strings */
    char *keys;                         /* of rbe_container_add_meta, space-separated */
};

static enum rbe_status no_memory(struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

enum rbe_status rbe_container_begin(struct rbe_container_builder **out, struct rbe_diag *d)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return no_memory(d);
    const enum rbe_status err = rbe_container_add_meta(*out, "rbe.version", VERSION, d);
    if (err)
        rbe_container_end(out);
    return err;
}

void rbe_container_end(struct rbe_container_builder **pb)
{
    struct rbe_container_builder *b = *pb;

    if (!b)
        return;
    for (size_t i = 0; i < b->tensor_count; i++)
        free((char *)(uintptr_t)b->tensors[i].name);
    for (size_t i = 0; i < b->meta_count; i++)
        free(b->meta[i]);
    free(b->tensors);
    free(b->meta);
    free(b->keys);
    free(b);
    *pb = NULL;
}

static enum rbe_status push_meta(struct rbe_container_builder *b, const char *key,
                                 const char *value, struct rbe_diag *d)
{
    if (b->meta_count + 3 > b->meta_room) {
        const size_t room = b->meta_room * 2 + 16;
        char **grown = realloc(b->meta, room * sizeof *grown);
        if (!grown)
            return no_memory(d);
        b->meta = grown;
        b->meta_room = room;
    }
    char *k = strdup(key), *v = strdup(value);
    if (!k || !v) {
        free(k);
        free(v);
        return no_memory(d);
    }
    b->meta[b->meta_count++] = k;
    b->meta[b->meta_count++] = v;
    b->meta[b->meta_count] = NULL;
    return RBE_OK;
}

enum rbe_status rbe_container_add_meta(struct rbe_container_builder *b, const char *key,
                                       const char *value, struct rbe_diag *d)
{
    const size_t old = b->keys ? strlen(b->keys) : 0;

    if (!*key || strchr(key, ' '))
        return rbe_fail(d, RBE_ERR_ARG, "'%s' is no metadata key", key);
    for (size_t i = 0; i < b->meta_count; i += 2)
        if (!strcmp(b->meta[i], key))
            return rbe_fail(d, RBE_ERR_ARG, "metadata key '%s' is given twice", key);
    char *keys = realloc(b->keys, old + strlen(key) + 2);
    if (!keys)
        return no_memory(d);
    b->keys = keys;
    sprintf(keys + old, "%s%s", old ? " " : "", key);
    return push_meta(b, key, value, d);
}

enum rbe_status rbe_container_add_tensor(struct rbe_container_builder *b, const char *name,
                                         enum rbe_dtype dtype, unsigned dims,
                                         const uint64_t *shape, const void *data,
                                         struct rbe_diag *d)
{
    if (dims > RBE_ST_MAX_DIMS)
        return rbe_fail(d, RBE_ERR_ARG, "tensor '%s': too many dimensions", name);
    for (unsigned i = 0; i < dims; i++)
        if (!shape[i])
            return rbe_fail(d, RBE_ERR_ARG, "tensor '%s' is empty", name);
    for (size_t i = 0; i < b->tensor_count; i++)
        if (!strcmp(b->tensors[i].name, name))
            return rbe_fail(d, RBE_ERR_ARG, "tensor '%s' is given twice", name);
    if (b->tensor_count == b->tensor_room) {
        const size_t room = b->tensor_room * 2 + 16;
        struct rbe_tensor_out *grown = realloc(b->tensors, room * sizeof *grown);
        if (!grown)
            return no_memory(d);
        b->tensors = grown;
        b->tensor_room = room;
    }
    struct rbe_tensor_out *t = &b->tensors[b->tensor_count];
    *t = (struct rbe_tensor_out){.name = strdup(name), .dtype = dtype, .dims = dims,
                                 .data = data};
    if (!t->name)
        return no_memory(d);
    for (unsigned i = 0; i < dims; i++)
        t->shape[i] = shape[i];
    b->tensor_count++;
    return RBE_OK;
}

static enum rbe_status add_bytes(struct rbe_container_builder *b, const char *weight,
                                 size_t part, const char *what, enum rbe_dtype type,
                                 size_t count, const void *data, struct rbe_diag *d)
{
    const uint64_t shape[1] = {count};
    char name[PART_NAME];

    part_name(name, sizeof name, weight, part, what);
    return rbe_container_add_tensor(b, name, type, 1, shape, data, d);
}

/* A weight's parameters as JSON text, to be freed; NULL when out of memory. */
static char *describe(const struct rbe_weight *w)
{
    json_t *j = json_pack("{s:I, s:I}", "rows", (json_int_t)w->rows, "cols",
                          (json_int_t)w->cols);
    json_t *parts = json_array();
    bool ok = j && parts;
    char seed[24];

    if (w->hadamard) {
        snprintf(seed, sizeof seed, "%" PRIu64, w->sign_seed);
        ok = ok && !json_object_set_new(j, "hadamard", json_integer(w->hadamard)) &&
             !json_object_set_new(j, "sign_seed", json_string(seed));
    }
    for (size_t i = 0; i < w->part_count; i++) {
        const struct rbe_matrix *m = &w->parts[i].m;
        json_t *p = json_pack("{s:I, s:s}", "rows", (json_int_t)m->rows, "codec",
                              rbe_format_name(m->format));
        if (m->block)
            ok = ok && !json_object_set_new(p, "block", json_integer(m->block));
        if (m->aux)
            ok = ok && !json_object_set_new(p, "aux", json_integer(m->aux));
        ok = !json_array_append_new(parts, p) && ok;
    }
    ok = !json_object_set_new(j, "parts", parts) && ok;
    char *text = ok ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text;
}

enum rbe_status rbe_container_add_weight(struct rbe_container_builder *b,
                                         const struct rbe_weight *w, struct rbe_diag *d)
{
    enum rbe_status err;

    if (!w->name[0] || !w->part_count || w->part_count > MAX_PARTS)
        return rbe_fail(d, RBE_ERR_ARG, "weight '%s' has no name, no parts or too many",
                        w->name);
    char *text = describe(w);
    if (!text)
        return no_memory(d);
    err = push_meta(b, w->name, text, d);
    free(text);
    for (size_t i = 0; i < w->part_count && !err; i++) {
        const struct rbe_matrix *m = &w->parts[i].m;
        const struct rbe_matrix_size s =
            rbe_matrix_size(m->format, m->rows, m->cols, m->block, m->aux);

        if (!s.codes || s.codes != m->code_bytes)
            return rbe_fail(d, RBE_ERR_ARG, "weight '%s': impossible part %zu", w->name, i);
        err = add_bytes(b, w->name, i, "codes", RBE_DT_U8, s.codes, m->codes, d);
        if (!err && s.scale)
            err = add_bytes(b, w->name, i, "scale", RBE_DT_F16, s.scale / 2, m->scale, d);
        if (!err && m->col_scale)
            err = add_bytes(b, w->name, i, "col_scale", RBE_DT_F16, s.col_scale / 2,
                            m->col_scale, d);
    }
    return err;
}

static size_t out_bytes(const struct rbe_tensor_out *t)
{
    size_t n = rbe_dtype_size(t->dtype);

    for (unsigned i = 0; i < t->dims; i++)
        n *= (size_t)t->shape[i];
    return n;
}

static size_t digits(uint64_t v)
{
    size_t n = 1;

    while (v /= 10)
        n++;
    return n;
}

/* Length of s as a JSON string, quotes counted; SIZE_MAX when out of memory. */
static size_t quoted_length(const char *s)
{
    json_t *j = json_string(s);
    char *text = j ? json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    const size_t n = text ? strlen(text) : SIZE_MAX;

    free(text);
    json_decref(j);
    return n;
}

/* As written: "NAME":{"dtype":"U8","shape":[N],"data_offsets":[A,B]}, */
static size_t entry_length(const struct rbe_tensor_out *t, size_t at)
{
    size_t n = strlen("\"\":{\"dtype\":\"\",\"shape\":[],\"data_offsets\":[,]},") +
               strlen(t->name) + strlen(rbe_dtype_name(t->dtype)) + digits(at) +
               digits(at + out_bytes(t));

    for (unsigned i = 0; i < t->dims; i++)
        n += digits(t->shape[i]) + (i > 0);
    return n;
}

size_t rbe_container_file_bytes(const struct rbe_container_builder *b)
{
    const struct rbe_tensor_out sums = {.name = CHECKSUMS, .dtype = RBE_DT_U8, .dims = 2,
                                        .shape = {b->tensor_count, 8}};
    /* {"__metadata__":{...},...}: each entry brings its comma, the last has none. */
    size_t header = strlen("{\"__metadata__\":{},}") - 2, at = 0;

    for (size_t i = 0; i < b->meta_count; i++)
        header += quoted_length(b->meta[i]) + 1;
    header += strlen("\"" KEYS "\":,") + quoted_length(b->keys) +
              strlen("\"" HEADER_SUM "\":\"0123456789abcdef\",");
    for (size_t align = 64; align; align /= 2)
        for (size_t i = 0; i < b->tensor_count; i++) {
            const struct rbe_tensor_out *t = &b->tensors[i];
            if (alignment_for(out_bytes(t)) == align) {
                header += entry_length(t, at);
                at += out_bytes(t);
            }
        }
    header += entry_length(&sums, at);
    return (8 + header + 63) / 64 * 64 + at + out_bytes(&sums);
}

/* Checksums of all tensors but the last one, into the last one's memory, and the header's. */
static enum rbe_status sum_up(const struct rbe_container_builder *b,
                              const struct rbe_tensor_out *tensors, uint8_t *sums, char hex[17],
                              struct rbe_diag *d)
{
    const size_t n = b->tensor_count;
    XXH3_state_t *x = XXH3_createState();

    if (!x)
        return no_memory(d);
    XXH3_64bits_reset(x);
    for (size_t i = 0; i <= n; i++) {
        const struct rbe_tensor_out *t = &tensors[i];
        hash_tensor(x, t->name, t->dtype, t->dims, t->shape);
        if (i < n)
            put_u64(sums + 8 * i, XXH3_64bits(t->data, out_bytes(t)));
    }
    uint64_t meta = meta_sum(KEYS, b->keys);
    for (size_t i = 0; i < b->meta_count; i += 2)
        meta += meta_sum(b->meta[i], b->meta[i + 1]);
    hash_number(x, meta);
    XXH3_64bits_update(x, sums, 8 * n);
    snprintf(hex, 17, "%016" PRIx64, (uint64_t)XXH3_64bits_digest(x));
    XXH3_freeState(x);
    return RBE_OK;
}

enum rbe_status rbe_container_write(struct rbe_container_builder *b, const char *path,
                                    struct rbe_diag *d)
{
    const size_t n = b->tensor_count, old_meta = b->meta_count;
    enum rbe_status err;
    char hex[17];

    if (!n)
        return rbe_fail(d, RBE_ERR_ARG, "%s: nothing to write", path);
    struct rbe_tensor_out *sorted = calloc(n + 1, sizeof *sorted);
    uint8_t *sums = calloc(n, 8);
    if (!sorted || !sums) {
        err = no_memory(d);
        goto out;
    }
    /* Largest alignment first, otherwise in the order given: no gaps, all aligned. */
    size_t at = 0;
    for (size_t align = 64; align; align /= 2)
        for (size_t i = 0; i < n; i++)
            if (alignment_for(out_bytes(&b->tensors[i])) == align)
                sorted[at++] = b->tensors[i];
    sorted[n] = (struct rbe_tensor_out){.name = CHECKSUMS, .dtype = RBE_DT_U8, .dims = 2,
                                        .shape = {n, 8}, .data = sums};
    if ((err = sum_up(b, sorted, sums, hex, d)) || (err = push_meta(b, KEYS, b->keys, d)) ||
        (err = push_meta(b, HEADER_SUM, hex, d)))
        goto out;
    err = rbe_safetensors_write(path, sorted, n + 1, (const char *const *)b->meta, d);
out:
    while (b->meta_count > old_meta)
        free(b->meta[--b->meta_count]);
    if (b->meta)
        b->meta[b->meta_count] = NULL;
    free(sorted);
    free(sums);
    return err;
}

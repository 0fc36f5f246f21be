/*
 * gguf.c - reads GGUF files through a mapping.
 *
 * SPDX-License-Identifier: MIT
 *
 * Nothing of the header is believed.  A cursor goes through it once: every length is held
 * against the bytes that are left before it moves on.  Lists grow with what was really read,
 * never by a count that the file states.
 */
#include "rbe/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/utf8.h"
#include "rbe/safetensors.h"

enum {
    DEFAULT_ALIGNMENT = 32,
    MAX_DEPTH = 8,              /* of arrays in arrays */
    LEAST_VALUE = 8 + 1 + 4 + 1,            /* key, type, value */
    LEAST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8,   /* name, dimensions, type, offset */
};

static const struct {
    const char *name;
    uint32_t weights, bytes;    /* of a block; 0: not read */
} types[] = {
#define RBE_GGUF_TYPE(NAME, name, id, weights, bytes) [id] = {#NAME, weights, bytes},
#define RBE_GGUF_OTHER(NAME, id) [id] = {#NAME, 0, 0},
#include "rbe/gguf_types.def"
#undef RBE_GGUF_TYPE
#undef RBE_GGUF_OTHER
};

static const struct {
    const char *name;
    size_t size;                /* 0: it says itself */
} kinds[RBE_GV_COUNT] = {
    [RBE_GV_U8] = {"u8", 1},         [RBE_GV_I8] = {"i8", 1},   [RBE_GV_U16] = {"u16", 2},
    [RBE_GV_I16] = {"i16", 2},       [RBE_GV_U32] = {"u32", 4}, [RBE_GV_I32] = {"i32", 4},
    [RBE_GV_F32] = {"f32", 4},       [RBE_GV_BOOL] = {"bool", 1},
    [RBE_GV_STRING] = {"string", 0}, [RBE_GV_ARRAY] = {"array", 0},
    [RBE_GV_U64] = {"u64", 8},       [RBE_GV_I64] = {"i64", 8}, [RBE_GV_F64] = {"f64", 8},
};

struct rbe_gguf {
    struct rbe_map map;
    char *path;
    unsigned version;
    uint32_t alignment;
    uint64_t data;              /* where the tensors begin */
    struct rbe_gguf_value *values;
    struct rbe_gguf_tensor *tensors;
    size_t value_count, value_room, tensor_count, tensor_room;
    const struct rbe_gguf_value **by_key;
    const struct rbe_gguf_tensor **by_name;
};

const char *rbe_gguf_type_name(uint32_t type)
{
    return type < sizeof types / sizeof *types ? types[type].name : NULL;
}

uint64_t rbe_gguf_row_bytes(uint32_t type, uint64_t cols)
{
    uint64_t bytes;

    if (type >= sizeof types / sizeof *types || !types[type].weights ||
        cols % types[type].weights ||
        __builtin_mul_overflow(cols / types[type].weights, types[type].bytes, &bytes))
        return 0;
    return bytes;
}

const char *rbe_gguf_kind_name(enum rbe_gguf_kind kind)
{
    return (unsigned)kind < RBE_GV_COUNT ? kinds[kind].name : "unknown";
}

/* --- what the header is made of ----------------------------------------------------------- */

struct cursor {
    const uint8_t *at, *end;
};

static size_t left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

static uint64_t little(const uint8_t *p, size_t size)
{
    uint64_t x = 0;

    for (size_t i = size; i-- > 0;)
        x = x << 8 | p[i];
    return x;
}

/* False when the file ends before. */
static bool take(uint64_t *out, struct cursor *c, size_t size)
{
    if (left(c) < size)
        return false;
    *out = little(c->at, size);
    c->at += size;
    return true;
}

/* A length and so many bytes. */
static bool take_text(struct rbe_gguf_text *out, struct cursor *c)
{
    uint64_t n;

    if (!take(&n, c, 8) || n > left(c))
        return false;
    *out = (struct rbe_gguf_text){(const char *)c->at, (size_t)n};
    c->at += n;
    return true;
}

static bool are_bools(const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (p[i] > 1)
            return false;
    return true;
}

static const char too_long[] = "is longer than the file";

/* The value of v->kind at the cursor; NULL, or what is wrong with it. */
static const char *take_value(struct rbe_gguf_value *v, struct cursor *c, unsigned depth)
{
    const size_t size = kinds[v->kind].size;
    uint64_t element;

    if (v->kind == RBE_GV_STRING) {
        struct rbe_gguf_text t;
        if (!take_text(&t, c))
            return too_long;
        v->data = (const uint8_t *)t.s;
        v->bytes = t.n;
        return NULL;
    }
    if (v->kind != RBE_GV_ARRAY) {
        if (left(c) < size)
            return too_long;
        v->data = c->at;
        v->bytes = size;
        c->at += size;
        return v->kind != RBE_GV_BOOL || are_bools(v->data, 1) ? NULL
                                                               : "is neither true nor false";
    }
    if (!take(&element, c, 4) || !take(&v->count, c, 8))
        return too_long;
    if (element >= RBE_GV_COUNT)
        return "is an array of an unknown type";
    if (depth == MAX_DEPTH)
        return "has too many arrays in each other";
    v->element = (enum rbe_gguf_kind)element;
    v->data = c->at;
    const size_t each = kinds[element].size;
    /* A text takes 8 bytes at least, an array more. */
    if (v->count > left(c) / (each ? each : 8))
        return too_long;
    if (each)
        c->at += v->count * each;
    for (uint64_t i = 0; !each && i < v->count; i++) {
        struct rbe_gguf_value item = {.kind = v->element};
        const char *bad = take_value(&item, c, depth + 1);
        if (bad)
            return bad;
    }
    v->bytes = (size_t)(c->at - v->data);
    return element != RBE_GV_BOOL || are_bools(v->data, v->count) ? NULL
                                                                  : "is neither true nor false";
}

/* Keys and names stand in one-line messages and in tables: their length and characters. */
static bool printable(const struct rbe_gguf_text *t, size_t most)
{
    uint32_t code;

    for (size_t i = 0, n; i < t->n; i += n)
        if (!(n = rbe_utf8_char(t->s + i, t->n - i, &code)) || code < ' ' ||
            (code >= 127 && code < 160))
            return false;
    return t->n && t->n <= most;
}

/* The list with room for one more, or NULL when out of memory (it stays as it is). */
static void *grow(void *list, size_t *room, size_t count, size_t size)
{
    const size_t more = *room ? 2 * *room : 32;

    if (count < *room)
        return list;
    void *p = realloc(list, more * size);
    if (p)
        *room = more;
    return p;
}

/* --- the header --------------------------------------------------------------------------- */

static enum rbe_status nomem(const struct rbe_gguf *g, struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", g->path);
}

static enum rbe_status truncated(const struct rbe_gguf *g, const char *what,
                                 struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_FORMAT, "%s: ends within %s: truncated or damaged", g->path,
                    what);
}

static enum rbe_status read_value(struct rbe_gguf *g, struct cursor *c, struct rbe_diag *d)
{
    struct rbe_gguf_text key;
    uint64_t kind;
    char *copy;

    if (!take_text(&key, c))
        return truncated(g, "the key of a metadata", d);
    if (!printable(&key, RBE_GGUF_MAX_KEY))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: a metadata's key is empty, too long or not "
                        "printable", g->path);
    struct rbe_gguf_value *v = grow(g->values, &g->value_room, g->value_count, sizeof *v);
    if (!v)
        return nomem(g, d);
    g->values = v;
    if (!(copy = strndup(key.s, key.n)))
        return nomem(g, d);
    v += g->value_count++;
    *v = (struct rbe_gguf_value){.key = copy};
    if (!take(&kind, c, 4))
        return truncated(g, "a metadata", d);
    if (kind >= RBE_GV_COUNT)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: metadata '%s' is of an unknown type, %llu",
                        g->path, copy, (unsigned long long)kind);
    v->kind = (enum rbe_gguf_kind)kind;
    const char *bad = take_value(v, c, 0);
    if (bad)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: metadata '%s' %s", g->path, copy, bad);
    return RBE_OK;
}

/* Sets rows, cols and bytes from type and dimensions. */
static enum rbe_status measure(struct rbe_gguf_tensor *t, uint32_t type, const char *path,
                               struct rbe_diag *d)
{
    const char *type_name = rbe_gguf_type_name(type);
    uint64_t count, bytes;

    if (!type_name)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is of an unknown type, %lu", path,
                        t->name, (unsigned long)type);
    if (!types[type].weights)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is of type %s, which is not read",
                        path, t->name, type_name);
    t->type = (enum rbe_gguf_type)type;
    t->cols = t->ne[0];
    t->rows = 1;
    bool fits = t->cols;
    for (unsigned i = 1; i < RBE_GGUF_MAX_DIMS; i++)
        fits = fits && t->ne[i] && !__builtin_mul_overflow(t->rows, t->ne[i], &t->rows);
    if (!fits || __builtin_mul_overflow(t->rows, t->cols, &count) || count > INT64_MAX / 4)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s': impossible dimensions", path,
                        t->name);
    if (t->cols % types[type].weights)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s': rows of %llu are not whole blocks "
                        "of %lu, as %s has them", path, t->name, (unsigned long long)t->cols,
                        (unsigned long)types[type].weights, type_name);
    /* No type takes more than 4 bytes a weight. */
    bytes = rbe_gguf_row_bytes(type, t->cols) * t->rows;
    t->bytes = (size_t)bytes;
    return RBE_OK;
}

/* `offset` is from the start of the data, as the file has it. */
static enum rbe_status read_tensor(struct rbe_gguf *g, struct cursor *c, struct rbe_diag *d)
{
    struct rbe_gguf_text name;
    uint64_t dims, type;
    char *copy;

    if (!take_text(&name, c))
        return truncated(g, "a tensor's name", d);
    if (!printable(&name, RBE_GGUF_MAX_NAME))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: a tensor's name is empty, longer than %d bytes "
                        "or not printable", g->path, RBE_GGUF_MAX_NAME);
    struct rbe_gguf_tensor *t = grow(g->tensors, &g->tensor_room, g->tensor_count, sizeof *t);
    if (!t)
        return nomem(g, d);
    g->tensors = t;
    if (!(copy = strndup(name.s, name.n)))
        return nomem(g, d);
    t += g->tensor_count++;
    *t = (struct rbe_gguf_tensor){.name = copy, .ne = {1, 1, 1, 1}};
    if (!take(&dims, c, 4))
        return truncated(g, "a tensor's description", d);
    if (!dims || dims > RBE_GGUF_MAX_DIMS)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' has %llu dimensions, not 1 to %d",
                        g->path, copy, (unsigned long long)dims, RBE_GGUF_MAX_DIMS);
    t->dims = (unsigned)dims;
    for (unsigned i = 0; i < t->dims; i++)
        if (!take(&t->ne[i], c, 8))
            return truncated(g, "a tensor's description", d);
    if (!take(&type, c, 4) || !take(&t->offset, c, 8))
        return truncated(g, "a tensor's description", d);
    return measure(t, (uint32_t)type, g->path, d);
}

static int by_key(const void *a, const void *b)
{
    const struct rbe_gguf_value *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static int by_name(const void *a, const void *b)
{
    const struct rbe_gguf_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int by_offset(const void *a, const void *b)
{
    const struct rbe_gguf_tensor *const *x = a, *const *y = b;
    return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

static enum rbe_status index_values(struct rbe_gguf *g, struct rbe_diag *d)
{
    g->by_key = calloc(g->value_count ? g->value_count : 1, sizeof *g->by_key);
    if (!g->by_key)
        return nomem(g, d);
    for (size_t i = 0; i < g->value_count; i++)
        g->by_key[i] = &g->values[i];
    qsort(g->by_key, g->value_count, sizeof *g->by_key, by_key);
    for (size_t i = 1; i < g->value_count; i++)
        if (!strcmp(g->by_key[i - 1]->key, g->by_key[i]->key))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: metadata '%s' is there twice", g->path,
                            g->by_key[i]->key);
    return RBE_OK;
}

/* What of the metadata concerns the file itself. */
static enum rbe_status use_values(struct rbe_gguf *g, struct rbe_diag *d)
{
    enum rbe_status err;
    uint32_t parts;

    g->alignment = DEFAULT_ALIGNMENT;
    if (rbe_gguf_value(g, "general.alignment") &&
        (err = rbe_gguf_u32(&g->alignment, g, "general.alignment", d)))
        return err;
    if (!g->alignment || g->alignment & (g->alignment - 1))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: alignment %lu is no power of two", g->path,
                        (unsigned long)g->alignment);
    if (!rbe_gguf_value(g, "split.count"))
        return RBE_OK;
    if ((err = rbe_gguf_u32(&parts, g, "split.count", d)))
        return err;
    if (parts > 1)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: one of %lu files that a model was split into, "
                        "which are not read: join them first", g->path, (unsigned long)parts);
    return RBE_OK;
}

/* offset up to the next multiple of the alignment; the file's size is far from overflow. */
static uint64_t aligned(const struct rbe_gguf *g, uint64_t offset)
{
    return (offset + g->alignment - 1) & ~(uint64_t)(g->alignment - 1);
}

/* Every tensor lies in the file, behind the one before it. */
static enum rbe_status place_tensors(struct rbe_gguf *g, uint64_t file_bytes,
                                     struct rbe_diag *d)
{
    uint64_t end = g->data;

    g->by_name = calloc(g->tensor_count ? g->tensor_count : 1, sizeof *g->by_name);
    if (!g->by_name)
        return nomem(g, d);
    for (size_t i = 0; i < g->tensor_count; i++) {
        struct rbe_gguf_tensor *t = &g->tensors[i];
        if (t->offset % g->alignment)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is not aligned to %lu bytes",
                            g->path, t->name, (unsigned long)g->alignment);
        if (g->data > file_bytes || t->offset > file_bytes - g->data ||
            t->bytes > file_bytes - g->data - t->offset)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' ends past the %llu bytes of "
                            "the file: truncated or damaged", g->path, t->name,
                            (unsigned long long)file_bytes);
        t->offset += g->data;
        g->by_name[i] = t;
    }
    qsort(g->by_name, g->tensor_count, sizeof *g->by_name, by_offset);
    for (size_t i = 0; i < g->tensor_count; i++) {
        const struct rbe_gguf_tensor *t = g->by_name[i];
        if (t->offset != end)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' %s", g->path, t->name,
                            t->offset < end ? "overlaps the one before it"
                                            : "leaves a hole before it");
        end = aligned(g, t->offset + t->bytes);
    }
    if (file_bytes > end)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %llu bytes after the last tensor", g->path,
                        (unsigned long long)(file_bytes - end));
    qsort(g->by_name, g->tensor_count, sizeof *g->by_name, by_name);
    for (size_t i = 1; i < g->tensor_count; i++)
        if (!strcmp(g->by_name[i - 1]->name, g->by_name[i]->name))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%s' is there twice", g->path,
                            g->by_name[i]->name);
    return RBE_OK;
}

static enum rbe_status check_start(struct rbe_gguf *g, struct cursor *c, struct rbe_diag *d)
{
    const char *what;
    uint64_t magic, version;

    if (left(c) < 4 || memcmp(c->at, "GGUF", 4) != 0) {
        what = rbe_foreign_file(c->at, left(c));
        return what ? rbe_fail(d, RBE_ERR_FORMAT, "%s: is %s", g->path, what)
                    : rbe_fail(d, RBE_ERR_FORMAT, "%s: is no GGUF file", g->path);
    }
    if (!take(&magic, c, 4) || !take(&version, c, 4))
        return truncated(g, "its first fields", d);
    if (version && !(version & 0xFFFF))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: a big-endian GGUF file, which is not read",
                        g->path);
    if (version != 2 && version != 3)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: GGUF of version %llu, where 2 and 3 are read",
                        g->path, (unsigned long long)version);
    g->version = (unsigned)version;
    return RBE_OK;
}

static enum rbe_status read_header(struct rbe_gguf *g, const uint8_t *bytes, size_t size,
                                   uint64_t file_bytes, struct rbe_diag *d)
{
    uint64_t tensors, values;
    enum rbe_status err;

    if (!size)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: is empty", g->path);
    struct cursor c = {bytes, bytes + size};
    if ((err = check_start(g, &c, d)))
        return err;
    if (!take(&tensors, &c, 8) || !take(&values, &c, 8))
        return truncated(g, "its first fields", d);
    if (values > left(&c) / LEAST_VALUE || tensors > left(&c) / LEAST_TENSOR)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %llu tensors and %llu metadata do not fit into "
                        "the file: truncated or damaged", g->path, (unsigned long long)tensors,
                        (unsigned long long)values);
    while (g->value_count < values)
        if ((err = read_value(g, &c, d)))
            return err;
    if ((err = index_values(g, d)) || (err = use_values(g, d)))
        return err;
    while (g->tensor_count < tensors)
        if ((err = read_tensor(g, &c, d)))
            return err;
    g->data = aligned(g, (uint64_t)(c.at - bytes));
    return place_tensors(g, file_bytes, d);
}

static enum rbe_status start(struct rbe_gguf **out, const char *name, struct rbe_diag *d)
{
    *out = calloc(1, sizeof **out);
    if (*out && ((*out)->path = strdup(name)))
        return RBE_OK;
    rbe_gguf_close(out);
    return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", name);
}

enum rbe_status rbe_gguf_open(struct rbe_gguf **out, const char *path, struct rbe_diag *d)
{
    enum rbe_status err;

    if ((err = start(out, path, d)))
        return err;
    struct rbe_gguf *g = *out;
    if (!(err = rbe_map_open(&g->map, path, d)))
        err = read_header(g, g->map.bytes, g->map.size, g->map.size, d);
    if (err)
        rbe_gguf_close(out);
    else
        for (size_t i = 0; i < g->tensor_count; i++)
            g->tensors[i].data = g->map.bytes + g->tensors[i].offset;
    return err;
}

enum rbe_status rbe_gguf_open_header(struct rbe_gguf **out, const void *bytes, size_t size,
                                     uint64_t file_bytes, const char *name, struct rbe_diag *d)
{
    enum rbe_status err;

    if ((err = start(out, name, d)))
        return err;
    if ((err = read_header(*out, bytes, size, file_bytes, d)))
        rbe_gguf_close(out);
    return err;
}

void rbe_gguf_close(struct rbe_gguf **pp)
{
    struct rbe_gguf *g = *pp;

    if (!g)
        return;
    for (size_t i = 0; i < g->value_count; i++)
        free((char *)(uintptr_t)g->values[i].key);
    for (size_t i = 0; i < g->tensor_count; i++)
        free((char *)(uintptr_t)g->tensors[i].name);
    rbe_map_close(&g->map);
    free(g->values);
    free(g->tensors);
    free(g->by_key);
    free(g->by_name);
    free(g->path);
    free(g);
    *pp = NULL;
}

bool rbe_gguf_is(const char *path)
{
    const size_t n = strlen(path);
    struct rbe_map m;

    if (rbe_map_open(&m, path, NULL))
        return false;
    const bool is = (m.size >= 4 && !memcmp(m.bytes, "GGUF", 4)) ||
                    (n > 5 && !strcmp(path + n - 5, ".gguf"));
    rbe_map_close(&m);
    return is;
}

const char *rbe_gguf_path(const struct rbe_gguf *g)
{
    return g->path;
}

unsigned rbe_gguf_version(const struct rbe_gguf *g)
{
    return g->version;
}

uint32_t rbe_gguf_alignment(const struct rbe_gguf *g)
{
    return g->alignment;
}

size_t rbe_gguf_file_bytes(const struct rbe_gguf *g)
{
    return g->map.size;
}

uint64_t rbe_gguf_stamp(const struct rbe_gguf *g)
{
    return g->map.stamp;
}

enum rbe_status rbe_gguf_sha256(char hex[65], const struct rbe_gguf *g)
{
    const enum rbe_status err = rbe_sha256(hex, g->map.bytes, g->map.size);

    rbe_map_forget(g->map.bytes, g->map.size);      /* need not stay in memory */
    return err;
}

/* --- tensors and metadata by name --------------------------------------------------------- */

size_t rbe_gguf_count(const struct rbe_gguf *g)
{
    return g->tensor_count;
}

const struct rbe_gguf_tensor *rbe_gguf_at(const struct rbe_gguf *g, size_t i)
{
    return i < g->tensor_count ? &g->tensors[i] : NULL;
}

const struct rbe_gguf_tensor *rbe_gguf_find(const struct rbe_gguf *g, const char *name)
{
    const struct rbe_gguf_tensor wanted = {.name = name}, *const key = &wanted;
    const struct rbe_gguf_tensor **at =
        bsearch(&key, g->by_name, g->tensor_count, sizeof *g->by_name, by_name);

    return at ? *at : NULL;
}

size_t rbe_gguf_value_count(const struct rbe_gguf *g)
{
    return g->value_count;
}

const struct rbe_gguf_value *rbe_gguf_value_at(const struct rbe_gguf *g, size_t i)
{
    return i < g->value_count ? &g->values[i] : NULL;
}

const struct rbe_gguf_value *rbe_gguf_value(const struct rbe_gguf *g, const char *name)
{
    const struct rbe_gguf_value wanted = {.key = name}, *const key = &wanted;
    const struct rbe_gguf_value **at =
        bsearch(&key, g->by_key, g->value_count, sizeof *g->by_key, by_key);

    return at ? *at : NULL;
}

void rbe_gguf_next(struct rbe_gguf_value *item, const struct rbe_gguf_value *array)
{
    /* Nothing can be wrong: the array was read once. */
    struct cursor c = {item->data ? item->data + item->bytes : array->data,
                       array->data + array->bytes};

    *item = (struct rbe_gguf_value){.kind = array->element};
    take_value(item, &c, 0);
}

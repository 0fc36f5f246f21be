/*
 * gguf_values.c - the metadata of GGUF files as numbers, texts and lists.
 *
 * SPDX-License-Identifier: MIT
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rbe/gguf.h"

static uint64_t little(const uint8_t *p, size_t size)
{
    uint64_t x = 0;

    for (size_t i = size; i-- > 0;)
        x = x << 8 | p[i];
    return x;
}

/* The 64 bits of a whole number, two's complement; false when v is none. */
static bool whole(uint64_t *bits, bool *negative, const struct rbe_gguf_value *v)
{
    bool is_signed = false;

    switch (v->kind) {
    case RBE_GV_I8:
    case RBE_GV_I16:
    case RBE_GV_I32:
    case RBE_GV_I64:
        is_signed = true;
        break;
    case RBE_GV_U8:
    case RBE_GV_U16:
    case RBE_GV_U32:
    case RBE_GV_U64:
        break;
    default:
        return false;
    }
    *bits = little(v->data, v->bytes);
    *negative = is_signed && *bits >> (8 * v->bytes - 1);
    if (*negative && v->bytes < 8)
        *bits |= ~(uint64_t)0 << 8 * v->bytes;
    return true;
}

bool rbe_gguf_as_u64(uint64_t *out, const struct rbe_gguf_value *v)
{
    bool negative;

    return whole(out, &negative, v) && !negative;
}

bool rbe_gguf_as_i64(int64_t *out, const struct rbe_gguf_value *v)
{
    uint64_t bits;
    bool negative;

    if (!whole(&bits, &negative, v) || (!negative && bits > INT64_MAX))
        return false;
    *out = (int64_t)bits;
    return true;
}

bool rbe_gguf_as_real(double *out, const struct rbe_gguf_value *v)
{
    uint64_t bits;
    bool negative;
    float f;

    if (v->kind == RBE_GV_F32) {
        const uint32_t u = (uint32_t)little(v->data, 4);
        memcpy(&f, &u, sizeof f);
        *out = f;
    } else if (v->kind == RBE_GV_F64) {
        bits = little(v->data, 8);
        memcpy(out, &bits, sizeof *out);
    } else {
        if (!whole(&bits, &negative, v))
            return false;
        *out = negative ? (double)(int64_t)bits : (double)bits;
    }
    return true;
}

/* The value of that key, or why there is none of the wanted kind. */
static enum rbe_status want(const struct rbe_gguf_value **out, const struct rbe_gguf *g,
                            const char *key, struct rbe_diag *d)
{
    *out = rbe_gguf_value(g, key);
    return *out ? RBE_OK : rbe_fail(d, RBE_ERR_FORMAT, "%s: metadata '%s' is missing",
                                    rbe_gguf_path(g), key);
}

/* v is not what was wanted. */
static enum rbe_status unfit(const struct rbe_gguf *g, const struct rbe_gguf_value *v,
                             const char *wanted, struct rbe_diag *d)
{
    const bool array = v->kind == RBE_GV_ARRAY;

    return rbe_fail(d, RBE_ERR_FORMAT, "%s: metadata '%s' (%s%s) is not %s", rbe_gguf_path(g),
                    v->key, array ? "array of " : "",
                    rbe_gguf_kind_name(array ? v->element : v->kind), wanted);
}

enum rbe_status rbe_gguf_u32(uint32_t *out, const struct rbe_gguf *g, const char *key,
                             struct rbe_diag *d)
{
    const struct rbe_gguf_value *v;
    enum rbe_status err;
    uint64_t x;

    if ((err = want(&v, g, key, d)))
        return err;
    if (!rbe_gguf_as_u64(&x, v) || x > UINT32_MAX)
        return unfit(g, v, "a whole number from 0 to 2^32 - 1", d);
    *out = (uint32_t)x;
    return RBE_OK;
}

enum rbe_status rbe_gguf_bool(bool *out, const struct rbe_gguf *g, const char *key,
                              struct rbe_diag *d)
{
    const struct rbe_gguf_value *v;
    const enum rbe_status err = want(&v, g, key, d);

    if (err || v->kind != RBE_GV_BOOL)
        return err ? err : unfit(g, v, "true or false", d);
    *out = *v->data;
    return RBE_OK;
}

enum rbe_status rbe_gguf_string(char **out, const struct rbe_gguf *g, const char *key,
                                struct rbe_diag *d)
{
    const struct rbe_gguf_value *v;
    const enum rbe_status err = want(&v, g, key, d);

    *out = NULL;
    if (err)
        return err;
    if (v->kind != RBE_GV_STRING || memchr(v->data, 0, v->bytes))
        return unfit(g, v, "a text without NUL", d);
    *out = strndup((const char *)v->data, v->bytes);
    return *out ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", rbe_gguf_path(g));
}

/* Puts v into list[i]; false when it does not fit. */
typedef bool put_fn(void *list, size_t i, const struct rbe_gguf_value *v);

static bool put_text(void *list, size_t i, const struct rbe_gguf_value *v)
{
    ((struct rbe_gguf_text *)list)[i] = (struct rbe_gguf_text){(const char *)v->data, v->bytes};
    return v->kind == RBE_GV_STRING;
}

static bool put_i32(void *list, size_t i, const struct rbe_gguf_value *v)
{
    int64_t x;

    if (!rbe_gguf_as_i64(&x, v) || x < INT32_MIN || x > INT32_MAX)
        return false;
    ((int32_t *)list)[i] = (int32_t)x;
    return true;
}

/* The elements of an array, `size` bytes each, fresh; NULL with the reason in *err. */
static void *read_array(enum rbe_status *err, size_t *count, size_t size, put_fn *put,
                        const char *wanted, const struct rbe_gguf *g, const char *key,
                        struct rbe_diag *d)
{
    struct rbe_gguf_value item = {0};
    const struct rbe_gguf_value *v;

    if ((*err = want(&v, g, key, d)))
        return NULL;
    if (v->kind != RBE_GV_ARRAY) {
        *err = unfit(g, v, wanted, d);
        return NULL;
    }
    *count = v->count;
    /* The file holds so many elements, of a byte or more. */
    void *list = calloc(*count ? *count : 1, size);
    if (!list)
        *err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", rbe_gguf_path(g));
    for (size_t i = 0; !*err && i < *count; i++) {
        rbe_gguf_next(&item, v);
        if (!put(list, i, &item))
            *err = unfit(g, v, wanted, d);
    }
    if (!*err)
        return list;
    free(list);
    return NULL;
}

enum rbe_status rbe_gguf_strings(struct rbe_gguf_text **out, size_t *count,
                                 const struct rbe_gguf *g, const char *key, struct rbe_diag *d)
{
    enum rbe_status err;

    *out = read_array(&err, count, sizeof **out, put_text, "an array of texts", g, key, d);
    return err;
}

enum rbe_status rbe_gguf_i32s(int32_t **out, size_t *count, const struct rbe_gguf *g,
                              const char *key, struct rbe_diag *d)
{
    enum rbe_status err;

    *out = read_array(&err, count, sizeof **out, put_i32,
                      "an array of whole numbers that i32 holds", g, key, d);
    return err;
}

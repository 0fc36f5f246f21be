/*
 * gguf_write.c - writes GGUF files by rename.
 *
 * SPDX-License-Identifier: MIT
 *
 * The header is built in memory and read by the reader before a byte is written: so whatever
 * the reader refuses cannot be written, and no rule stands here a second time.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "kernels/f16.h"
#include "rbe/gguf.h"

enum { VERSION = 3, ALIGNMENT = 32, CHUNK = 65536 /* weights that are turned at once */ };

/* Bytes that grow; a stream of stdio whose errors stick. */
struct buffer {
    FILE *f;
    char *bytes;
    size_t size;
};

struct rbe_gguf_out {
    struct buffer values;
    struct rbe_gguf_tensor_out *tensors;
    size_t value_count, tensor_count;
    bool short_of_memory;
};

static bool buffer_open(struct buffer *b)
{
    b->f = open_memstream(&b->bytes, &b->size);
    return b->f;
}

/* What was put is in `bytes` then; false when it was too much for the memory. */
static bool buffer_close(struct buffer *b)
{
    const bool bad = !b->f || ferror(b->f);
    const bool lost = b->f && fclose(b->f);

    b->f = NULL;
    return !bad && !lost;
}

static void put(FILE *f, uint64_t x, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        putc((int)(x >> 8 * i & 255), f);
}

static void put_text(FILE *f, const char *s, size_t n)
{
    put(f, n, 8);
    fwrite(s, 1, n, f);
}

static void pad(FILE *f, uint64_t at)
{
    for (; at % ALIGNMENT; at++)
        putc(0, f);
}

/* --- metadata and tensors ----------------------------------------------------------------- */

enum rbe_status rbe_gguf_begin(struct rbe_gguf_out **out, struct rbe_diag *d)
{
    *out = calloc(1, sizeof **out);
    if (*out && buffer_open(&(*out)->values))
        return RBE_OK;
    rbe_gguf_end(out);
    return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

/* The start of a metadata; its value comes next. */
static FILE *add(struct rbe_gguf_out *o, const char *key, enum rbe_gguf_kind kind)
{
    o->value_count++;
    put_text(o->values.f, key, strlen(key));
    put(o->values.f, kind, 4);
    return o->values.f;
}

static FILE *add_array(struct rbe_gguf_out *o, const char *key, enum rbe_gguf_kind element,
                       size_t count)
{
    FILE *f = add(o, key, RBE_GV_ARRAY);

    put(f, element, 4);
    put(f, count, 8);
    return f;
}

void rbe_gguf_add_u32(struct rbe_gguf_out *o, const char *key, uint32_t x)
{
    put(add(o, key, RBE_GV_U32), x, 4);
}

void rbe_gguf_add_f32(struct rbe_gguf_out *o, const char *key, float x)
{
    put(add(o, key, RBE_GV_F32), rbe_bits_from_f32(x), 4);
}

void rbe_gguf_add_bool(struct rbe_gguf_out *o, const char *key, bool x)
{
    put(add(o, key, RBE_GV_BOOL), x, 1);
}

void rbe_gguf_add_string(struct rbe_gguf_out *o, const char *key, const char *s)
{
    put_text(add(o, key, RBE_GV_STRING), s, strlen(s));
}

void rbe_gguf_add_strings(struct rbe_gguf_out *o, const char *key,
                          const struct rbe_gguf_text *s, size_t count)
{
    FILE *f = add_array(o, key, RBE_GV_STRING, count);

    for (size_t i = 0; i < count; i++)
        put_text(f, s[i].s, s[i].n);
}

void rbe_gguf_add_i32s(struct rbe_gguf_out *o, const char *key, const int32_t *x, size_t count)
{
    FILE *f = add_array(o, key, RBE_GV_I32, count);

    for (size_t i = 0; i < count; i++)
        put(f, (uint32_t)x[i], 4);
}

void rbe_gguf_add_value(struct rbe_gguf_out *o, const struct rbe_gguf_value *v)
{
    if (v->kind == RBE_GV_ARRAY)
        add_array(o, v->key, v->element, v->count);
    else
        add(o, v->key, v->kind);
    if (v->kind == RBE_GV_STRING)
        put(o->values.f, v->bytes, 8);
    fwrite(v->data, 1, v->bytes, o->values.f);
}

void rbe_gguf_add_tensor(struct rbe_gguf_out *o, const struct rbe_gguf_tensor_out *t)
{
    struct rbe_gguf_tensor_out *p =
        realloc(o->tensors, (o->tensor_count + 1) * sizeof *o->tensors);
    char *name = strdup(t->name);

    o->tensors = p ? p : o->tensors;
    if (!p || !name) {
        o->short_of_memory = true;
        free(name);
        return;
    }
    p += o->tensor_count++;
    *p = *t;
    p->name = name;
}

/* --- the file ----------------------------------------------------------------------------- */

/* Header with its padding, and how long the file will be; its rules are those of the reader. */
static enum rbe_status make_header(struct buffer *to, uint64_t *file_bytes,
                                   const struct rbe_gguf_out *o, struct rbe_diag *d)
{
    uint64_t at = 0;

    if (!buffer_open(to))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    fwrite("GGUF", 1, 4, to->f);
    put(to->f, VERSION, 4);
    put(to->f, o->tensor_count, 8);
    put(to->f, o->value_count, 8);
    fwrite(o->values.bytes, 1, o->values.size, to->f);
    for (size_t i = 0; i < o->tensor_count; i++) {
        const struct rbe_gguf_tensor_out *t = &o->tensors[i];
        uint64_t bytes = t->type == RBE_GT_F32 ? 4 : 2;
        bool fits = t->type == RBE_GT_F32 || t->type == RBE_GT_F16;
        fits = fits && t->dims && t->dims <= RBE_GGUF_MAX_DIMS;
        for (unsigned k = 0; fits && k < t->dims; k++)
            fits = !__builtin_mul_overflow(bytes, t->ne[k], &bytes) && bytes < INT64_MAX / 2;
        if (!fits || at > INT64_MAX / 2)
            return rbe_fail(d, RBE_ERR_ARG, "tensor '%s' cannot be written: type or dimensions",
                            t->name);
        put_text(to->f, t->name, strlen(t->name));
        put(to->f, t->dims, 4);
        for (unsigned k = 0; k < t->dims; k++)
            put(to->f, t->ne[k], 8);
        put(to->f, t->type, 4);
        put(to->f, at, 8);
        at += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    fflush(to->f);
    pad(to->f, to->size);
    if (!buffer_close(to))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    *file_bytes = to->size + at;
    return RBE_OK;
}

static enum rbe_status check_header(const struct buffer *header, uint64_t file_bytes,
                                    struct rbe_diag *d)
{
    struct rbe_gguf *g;
    enum rbe_status err = rbe_gguf_open_header(&g, header->bytes, header->size, file_bytes,
                                               "cannot be written", d);

    if (!err && rbe_gguf_alignment(g) != ALIGNMENT)
        err = rbe_fail(d, RBE_ERR_ARG, "cannot be written: alignment %lu where %d is written",
                       (unsigned long)rbe_gguf_alignment(g), ALIGNMENT);
    rbe_gguf_close(&g);
    return err == RBE_ERR_FORMAT ? RBE_ERR_ARG : err;
}

/* n weights from `first` on, as the file has them. */
static enum rbe_status write_weights(FILE *f, const float *x, uint64_t n, uint64_t first,
                                     const struct rbe_gguf_tensor_out *t, struct rbe_diag *d)
{
    const bool wide = t->type == RBE_GT_F32;
    uint8_t bytes[4096];
    size_t used = 0;

    for (uint64_t i = 0; i < n; i++) {
        const uint32_t h = rbe_f16_from_f32(x[i]), u = wide ? rbe_bits_from_f32(x[i]) : h;
        if (!isfinite(x[i]))
            return rbe_fail(d, RBE_ERR_NUMERIC, "tensor '%s': element %llu is %s", t->name,
                            (unsigned long long)(first + i), isnan(x[i]) ? "NaN" : "infinite");
        if (!wide && (h & 0x7C00) == 0x7C00)
            return rbe_fail(d, RBE_ERR_NUMERIC, "tensor '%s': element %llu, %g, is too large "
                            "for F16", t->name, (unsigned long long)(first + i), (double)x[i]);
        for (int k = 0; k < (wide ? 32 : 16); k += 8)
            bytes[used++] = (uint8_t)(u >> k);
        if (used == sizeof bytes || i + 1 == n) {
            fwrite(bytes, 1, used, f);
            used = 0;
        }
    }
    return RBE_OK;
}

static enum rbe_status write_tensor(FILE *f, const struct rbe_gguf_tensor_out *t,
                                    struct rbe_diag *d)
{
    const uint64_t cols = t->ne[0], most = cols < CHUNK ? CHUNK / cols : 1;
    enum rbe_status err = RBE_OK;
    float *chunk = NULL;
    uint64_t rows = 1;

    for (unsigned k = 1; k < t->dims; k++)
        rows *= t->ne[k];
    if (t->read && !(chunk = calloc(most < rows ? most : rows, cols * sizeof *chunk)))
        return rbe_fail(d, RBE_ERR_NOMEM, "tensor '%s': out of memory", t->name);
    for (uint64_t row = 0, n; !err && row < rows; row += n) {
        n = rows - row < most ? rows - row : most;
        if (rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
        else if (t->read)
            err = t->read(chunk, t, row, n, d);
        if (!err)
            err = write_weights(f, t->read ? chunk : (const float *)t->user + row * cols,
                                n * cols, row * cols, t, d);
    }
    free(chunk);
    if (!err)
        pad(f, rows * cols * (t->type == RBE_GT_F32 ? 4 : 2));
    return err;
}

enum rbe_status rbe_gguf_write(struct rbe_gguf_out *o, const char *path, struct rbe_diag *d)
{
    struct buffer header = {0};
    struct rbe_outfile file = {0};
    struct rbe_diag why = {""};
    uint64_t file_bytes = 0;
    enum rbe_status err;

    if (o->short_of_memory || fflush(o->values.f) || ferror(o->values.f)) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    if ((err = make_header(&header, &file_bytes, o, &why)) ||
        (err = check_header(&header, file_bytes, &why))) {
        rbe_fail(d, err, "%s: %s", path, why.text);
        goto out;
    }
    if ((err = rbe_outfile_open(&file, path, d)))
        goto out;
    /* Errors stick to the stream; commit reports them. */
    fwrite(header.bytes, 1, header.size, file.f);
    for (size_t i = 0; i < o->tensor_count; i++)
        if ((err = write_tensor(file.f, &o->tensors[i], &why))) {
            rbe_fail(d, err, "%s: %s", path, why.text);
            goto out;
        }
    err = rbe_outfile_commit(&file, d);
out:
    rbe_outfile_discard(&file);
    buffer_close(&header);
    free(header.bytes);
    return err;
}

void rbe_gguf_end(struct rbe_gguf_out **pp)
{
    struct rbe_gguf_out *o = *pp;

    if (!o)
        return;
    for (size_t i = 0; i < o->tensor_count; i++)
        free((char *)(uintptr_t)o->tensors[i].name);
    buffer_close(&o->values);
    free(o->values.bytes);
    free(o->tensors);
    free(o);
    *pp = NULL;
}

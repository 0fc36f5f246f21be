/*
 * fuzz_gguf.c - any bytes as a GGUF file.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "ci/fuzz/fuzz.h"
#include "rbe/gguf.h"

static size_t seen;

/* Every element that an array says it has lies within it. */
static void use_value(const struct rbe_gguf_value *v)
{
    struct rbe_gguf_value item = {0};
    uint64_t u;
    int64_t i;
    double x;

    for (size_t k = 0; k < v->bytes; k++)
        seen += v->data[k];
    for (uint64_t k = 0; v->kind == RBE_GV_ARRAY && k < v->count; k++) {
        rbe_gguf_next(&item, v);
        FUZZ_NEED(item.data >= v->data && item.data + item.bytes <= v->data + v->bytes);
        use_value(&item);
    }
    if (rbe_gguf_as_u64(&u, v) && rbe_gguf_as_i64(&i, v))
        FUZZ_NEED((uint64_t)i == u);
    FUZZ_NEED(rbe_gguf_as_real(&x, v) || v->kind == RBE_GV_BOOL || v->kind == RBE_GV_STRING ||
              v->kind == RBE_GV_ARRAY);
}

static void use_key(const struct rbe_gguf *g, const char *key, struct rbe_diag *d)
{
    struct rbe_gguf_text *texts;
    int32_t *ints;
    uint32_t u;
    size_t n;
    char *s;
    bool b;

    rbe_fuzz_said(rbe_gguf_u32(&u, g, key, d), d);
    rbe_fuzz_said(rbe_gguf_bool(&b, g, key, d), d);
    rbe_fuzz_said(rbe_gguf_string(&s, g, key, d), d);
    rbe_fuzz_said(rbe_gguf_strings(&texts, &n, g, key, d), d);
    rbe_fuzz_said(rbe_gguf_i32s(&ints, &n, g, key, d), d);
    free(s);
    free(texts);
    free(ints);
}

/* Our own writer takes the metadata of whatever was read, but for another alignment. */
static void write_again(const struct rbe_gguf *g, struct rbe_diag *d)
{
    const char *path = rbe_fuzz_path("again");
    struct rbe_gguf_out *o;
    struct rbe_gguf *again;

    FUZZ_NEED(!rbe_gguf_begin(&o, d));
    for (size_t i = 0; i < rbe_gguf_value_count(g); i++)
        rbe_gguf_add_value(o, rbe_gguf_value_at(g, i));
    FUZZ_NEED(rbe_fuzz_said(rbe_gguf_write(o, path, d), d) == (rbe_gguf_alignment(g) == 32));
    if (rbe_gguf_alignment(g) == 32) {
        FUZZ_NEED(rbe_fuzz_said(rbe_gguf_open(&again, path, d), d));
        FUZZ_NEED(rbe_gguf_value_count(again) == rbe_gguf_value_count(g));
        rbe_gguf_close(&again);
    }
    rbe_gguf_end(&o);
}

bool rbe_fuzz_gguf(const uint8_t *data, size_t size)
{
    struct rbe_gguf *g;
    struct rbe_diag d = {""};

    const char *path = rbe_fuzz_put("input", data, size);
    if (!rbe_fuzz_said(rbe_gguf_open(&g, path, &d), &d))
        return false;
    FUZZ_NEED(rbe_gguf_is(path) && rbe_gguf_file_bytes(g) == size);
    for (size_t i = 0; i < rbe_gguf_value_count(g); i++) {
        const struct rbe_gguf_value *v = rbe_gguf_value_at(g, i);
        FUZZ_NEED(rbe_gguf_value(g, v->key) == v);
        use_value(v);
        use_key(g, v->key, &d);
    }
    for (size_t i = 0; i < rbe_gguf_count(g); i++) {
        const struct rbe_gguf_tensor *t = rbe_gguf_at(g, i);
        FUZZ_NEED(rbe_gguf_find(g, t->name) == t);
        FUZZ_NEED(t->rows * rbe_gguf_row_bytes(t->type, t->cols) == t->bytes &&
                  t->bytes <= size);
        float *x = malloc(t->rows * t->cols * sizeof *x);
        rbe_fuzz_said(rbe_gguf_decode(x, t, 0, t->rows, &d), &d);
        free(x);
    }
    write_again(g, &d);
    rbe_gguf_close(&g);
    return true;
}

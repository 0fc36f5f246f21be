/*
 * coded.c - <rbe/codec.h>: the encoder, the decoder and the kernels behind one handle.
 *
 * SPDX-License-Identifier: MIT
 */
#include <rbe/codec.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "kernels/cpu.h"
#include "rbe/encode.h"

struct rbe_coded {
    struct rbe_weight w;        /* one part */
    const struct rbe_kernel *gemv, *gemm;       /* gemm may be NULL */
};

/* What the words of `how` mean. */
static enum rbe_status read_words(struct rbe_encode_options *o, const struct rbe_coding *how,
                                  struct rbe_diag *d)
{
    o->format = how->codec ? rbe_format_by_name(how->codec) : RBE_FORMAT_COUNT;
    if (o->format == RBE_FORMAT_COUNT)
        return rbe_fail(d, RBE_ERR_ARG, "unknown codec '%s'", how->codec ? how->codec : "");
    o->search = how->search ? rbe_search_by_name(how->search) : RBE_SEARCH_DEFAULT;
    if (o->search == RBE_SEARCH_COUNT)
        return rbe_fail(d, RBE_ERR_ARG, "unknown search '%s'", how->search);
    return RBE_OK;
}

enum rbe_status rbe_coded_open(struct rbe_coded **out, const float *w, uint32_t rows,
                               uint32_t cols, const struct rbe_coding *how,
                               struct rbe_pool *pool, struct rbe_diag *d)
{
    if (out)
        *out = NULL;
    if (!out || !w || !how)
        return rbe_fail_null(d);
    struct rbe_encode_options o = {.block = how->block, .aux = how->k,
                                   .hadamard = how->hadamard,
                                   .row_importance = how->importance, .moment = how->moment};
    enum rbe_status err = read_words(&o, how, d);
    struct rbe_coded *c = err ? NULL : calloc(1, sizeof *c);

    if (!err && !c)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (err || (err = rbe_encode_weight(&c->w, w, rows, cols, &o, pool, d)))
        goto out;
    c->gemv = rbe_kernel_best(RBE_GEMV, o.format, rbe_cpu_isa());
    c->gemm = rbe_kernel_best(RBE_GEMM, o.format, rbe_cpu_isa());
    *out = c;
    c = NULL;
out:
    rbe_coded_close(&c);
    return err;
}

void rbe_coded_close(struct rbe_coded **c)
{
    if (!c || !*c)
        return;
    rbe_weight_free(&(*c)->w);
    free(*c);
    *c = NULL;
}

size_t rbe_coded_bytes(const struct rbe_coded *c)
{
    return c ? c->w.bytes : 0;
}

void rbe_coded_row(const struct rbe_coded *c, uint32_t r, float *out)
{
    if (c && out)
        rbe_weight_decode_row(&c->w, r, out);
}

const char *rbe_coded_kernel(const struct rbe_coded *c)
{
    return c ? c->gemv->name : NULL;
}

struct multiply {
    const struct rbe_coded *c;
    const struct rbe_act *act;
    float *y;
};

static void run(void *arg, unsigned i, unsigned n)
{
    const struct multiply *p = arg;
    const struct rbe_matrix *m = &p->c->w.parts[0].m;
    const size_t step = rbe_row_step(m);
    size_t row0, row1;

    rbe_split(m->rows, step == 1 ? 16 : step, i, n, &row0, &row1);
    const struct rbe_kernel *k = p->act->count > 1 ? p->c->gemm : p->c->gemv;
    if (row0 < row1)
        k->run(m, p->act, p->y, m->rows, row0, row1);
}

enum rbe_status rbe_coded_multiply(const struct rbe_coded *c, const float *x, size_t count,
                                   float *y, struct rbe_pool *pool, struct rbe_diag *d)
{
    if (!c || (count && (!x || !y)))
        return rbe_fail_null(d);
    const struct rbe_matrix *m = &c->w.parts[0].m;
    const size_t batch = c->gemm ? count : 1, cols = m->cols;
    const size_t bytes = (rbe_act_bytes(batch, cols) + 63) / 64 * 64;
    void *mem = aligned_alloc(64, bytes ? bytes : 64);
    float *turned = c->w.hadamard ? malloc(batch * cols * sizeof *turned) : NULL;
    struct rbe_act act;

    if (!mem || (c->w.hadamard && !turned)) {
        free(mem);
        free(turned);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    rbe_act_init(&act, mem, batch, cols);
    for (size_t t = 0; t < count; t += batch) {
        const float *from = x + t * cols;
        if (turned) {
            memcpy(turned, from, batch * cols * sizeof *turned);
            rbe_rotate(turned, cols, batch, cols, c->w.hadamard, c->w.sign_seed);
            from = turned;
        }
        rbe_act_prepare(&act, m, from, cols, batch);
        struct multiply p = {c, &act, y + t * m->rows};
        rbe_pool_run(pool, run, &p);
    }
    free(mem);
    free(turned);
    return RBE_OK;
}

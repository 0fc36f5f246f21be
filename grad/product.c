/*
 * product.c - dnnl_sgemm, or oneDNN's matmul over rounded copies.
 *
 * SPDX-License-Identifier: MIT
 *
 * Inputs are rounded piece by piece into buffers that stay in the second-level cache.  A
 * primitive is made once for each shape and kept, for making one compiles code.
 */
#include "grad/product.h"

#include <stdlib.h>

#include "kernels/cpu.h"
#include "kernels/vector.h"
#include "model/dense.h"

static void in_f32(size_t m, size_t n, size_t k, float alpha, struct rbe_factor a,
                   struct rbe_factor b, float beta, float *c, size_t ldc)
{
    rbe_sgemm(a.t, b.t, m, n, k, alpha, a.v, a.ld, b.v, b.ld, beta, c, ldc);
}

#if defined(RBE_HAVE_DNNL)

#include "model/dnnl.h"

/* Values in a rounded piece; along the sum when the first factor is transposed, and when it
 * is not; primitives kept. */
enum { PIECE = 1 << 18, SUM_T = 512, SUM_N = 2048, KEPT = 256 };

struct key {
    size_t m, n, k, ldb, ldc;
    bool ta, tb, add;
};

struct kept {
    struct key key;
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, c, scratch;
};

struct rbe_product {
    bool bf16;
    const struct rbe_vector *v;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    uint16_t *a, *b;            /* [PIECE] */
    void *scratch;
    size_t scratch_bytes, count;
    struct kept kept[KEPT];
};

bool rbe_product_has_bf16(void)
{
    return rbe_dense_fast() && (rbe_cpu_isa() & RBE_ISA_AVX512) &&
           __builtin_cpu_supports("avx512bf16");
}

size_t rbe_product_bytes(bool bf16)
{
    return sizeof(struct rbe_product) + (bf16 ? 2 * PIECE * sizeof(uint16_t) : 0);
}

static void drop(struct kept *k)
{
    rbe_dnnl.primitive_destroy(k->primitive);
    rbe_dnnl.memory_destroy(k->a);
    rbe_dnnl.memory_destroy(k->b);
    rbe_dnnl.memory_destroy(k->c);
    rbe_dnnl.memory_destroy(k->scratch);
    *k = (struct kept){0};
}

void rbe_product_close(struct rbe_product **pp)
{
    struct rbe_product *p = *pp;

    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++)
        drop(&p->kept[i]);
    /* Without bf16 there are none, and the library may not be there. */
    if (p->stream)
        rbe_dnnl.stream_destroy(p->stream);
    if (p->engine)
        rbe_dnnl.engine_destroy(p->engine);
    free(p->a);
    free(p->b);
    free(p->scratch);
    free(p);
    *pp = NULL;
}

enum rbe_status rbe_product_open(struct rbe_product **out, bool bf16, struct rbe_diag *d)
{
    *out = NULL;
    if (bf16 && !rbe_product_has_bf16())
        return rbe_fail(d, RBE_ERR_ARG, "this CPU has no bf16 products");
    struct rbe_product *p = calloc(1, sizeof *p);
    if (!p)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    p->bf16 = bf16;
    p->v = rbe_vector_best(rbe_cpu_isa());
    if (bf16 && (!(p->a = aligned_alloc(64, PIECE * sizeof *p->a)) ||
                 !(p->b = aligned_alloc(64, PIECE * sizeof *p->b)) ||
                 rbe_dnnl.engine_create(&p->engine, dnnl_cpu, 0) ||
                 rbe_dnnl.stream_create(&p->stream, p->engine, dnnl_stream_default_flags))) {
        rbe_product_close(&p);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    *out = p;
    return RBE_OK;
}

static bool describe(dnnl_memory_desc_t *md, size_t rows, size_t cols, size_t ld, bool turned,
                     dnnl_data_type_t type)
{
    dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)cols};
    dnnl_dims_t strides = {(dnnl_dim_t)ld, 1};

    if (turned) {
        strides[0] = 1;
        strides[1] = (dnnl_dim_t)ld;
    }
    return !rbe_dnnl.memory_desc_init_by_strides(md, 2, dims, type, strides);
}

/* Makes the primitive and its memory objects; false: the library cannot. */
static bool make(struct rbe_product *p, struct kept *k)
{
    const struct key *y = &k->key;
    dnnl_memory_desc_t a, b, c;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_desc_t pd = NULL;
    const dnnl_memory_desc_t *scratch;
    bool ok = false;

    if (!describe(&a, y->m, y->k, y->ta ? y->m : y->k, y->ta, dnnl_bf16) ||
        !describe(&b, y->k, y->n, y->ldb, y->tb, dnnl_bf16) ||
        !describe(&c, y->m, y->n, y->ldc, false, dnnl_f32) ||
        rbe_dnnl.matmul_desc_init(&desc, &a, &b, NULL, &c) ||
        rbe_dnnl.primitive_attr_create(&attr) ||
        rbe_dnnl.post_ops_create(&ops) || (y->add && rbe_dnnl.post_ops_append_sum(ops, 1)) ||
        rbe_dnnl.primitive_attr_set_post_ops(attr, ops) ||
        rbe_dnnl.primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) ||
        rbe_dnnl.primitive_desc_create(&pd, &desc, attr, p->engine, NULL))
        goto out;
    scratch = rbe_dnnl.primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    const size_t bytes = (rbe_dnnl.memory_desc_get_size(scratch) + 63) / 64 * 64;
    if (bytes > p->scratch_bytes) {
        void *more = aligned_alloc(64, bytes);
        if (!more)
            goto out;
        free(p->scratch);
        p->scratch = more;
        p->scratch_bytes = bytes;
    }
    ok = !rbe_dnnl.primitive_create(&k->primitive, pd) &&
         !rbe_dnnl.memory_create(&k->a, &a, p->engine, DNNL_MEMORY_NONE) &&
         !rbe_dnnl.memory_create(&k->b, &b, p->engine, DNNL_MEMORY_NONE) &&
         !rbe_dnnl.memory_create(&k->c, &c, p->engine, DNNL_MEMORY_NONE) &&
         !rbe_dnnl.memory_create(&k->scratch, scratch, p->engine, DNNL_MEMORY_NONE);
out:
    rbe_dnnl.primitive_desc_destroy(pd);
    rbe_dnnl.post_ops_destroy(ops);
    rbe_dnnl.primitive_attr_destroy(attr);
    return ok;
}

static bool same_key(const struct key *a, const struct key *b)
{
    return a->m == b->m && a->n == b->n && a->k == b->k && a->ldb == b->ldb &&
           a->ldc == b->ldc && a->ta == b->ta && a->tb == b->tb && a->add == b->add;
}

/* The primitive for a key, made at its first use; NULL: the library cannot. */
static struct kept *find(struct rbe_product *p, const struct key *key)
{
    for (size_t i = 0; i < p->count; i++)
        if (same_key(&p->kept[i].key, key))
            return &p->kept[i];
    if (p->count == KEPT) {
        for (size_t i = 0; i < p->count; i++)
            drop(&p->kept[i]);
        p->count = 0;
    }
    struct kept *k = &p->kept[p->count];
    k->key = *key;
    if (!make(p, k)) {
        drop(k);
        return NULL;
    }
    p->count++;
    return k;
}

/* to [rows][cols] = scale * from [rows][ld], rounded. */
static void round_to(const struct rbe_product *p, uint16_t *to, const float *from, size_t rows,
                     size_t cols, size_t ld, float scale)
{
    for (size_t i = 0; i < rows; i++)
        p->v->round_bf16(to + i * cols, from + i * ld, cols, scale);
}

/* A piece that fits the buffers; false: the library cannot, and c is as it was. */
static bool piece(struct rbe_product *p, size_t m, size_t n, size_t k, float alpha,
                  struct rbe_factor a, struct rbe_factor b, float beta, float *c, size_t ldc)
{
    struct key key = {m, n, k, b.t ? k : n, ldc, a.t, b.t, beta != 0};
    const uint16_t *second = p->b;

    if (b.bf16) {
        key.ldb = b.ld;
        second = b.bf16;
    }
    struct kept *f = find(p, &key);
    if (!f)
        return false;
    round_to(p, p->a, a.v, a.t ? k : m, a.t ? m : k, a.ld, alpha);
    if (!b.bf16)
        round_to(p, p->b, b.v, b.t ? n : k, b.t ? k : n, b.ld, 1);
    if (rbe_dnnl.memory_set_data_handle(f->a, p->a) ||
        rbe_dnnl.memory_set_data_handle(f->b, (void *)(uintptr_t)second) ||
        rbe_dnnl.memory_set_data_handle(f->c, c) ||
        rbe_dnnl.memory_set_data_handle(f->scratch, p->scratch))
        return false;
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, f->a}, {DNNL_ARG_WEIGHTS, f->b},
                                    {DNNL_ARG_DST, f->c}, {DNNL_ARG_SCRATCHPAD, f->scratch}};
    return !rbe_dnnl.primitive_execute(f->primitive, p->stream, 4, args);
}

/* Advances a factor to element (row, col) of what it stands for. */
static struct rbe_factor from(struct rbe_factor f, size_t row, size_t col)
{
    const size_t at = f.t ? col * f.ld + row : row * f.ld + col;

    f.v += at;
    if (f.bf16)
        f.bf16 += at;
    return f;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void by_bf16(struct rbe_product *p, size_t m, size_t n, size_t k, float alpha,
                    struct rbe_factor a, struct rbe_factor b, float beta, float *c, size_t ldc)
{
    size_t sum = least(k, a.t ? SUM_T : SUM_N);

    if (!b.bf16)
        sum = least(sum, PIECE / n);
    const size_t rows = least(m, PIECE / sum);
    for (size_t i = 0; i < m; i += rows)
        for (size_t l = 0; l < k; l += sum)
            if (!piece(p, least(rows, m - i), n, least(sum, k - l), alpha, from(a, i, l),
                       from(b, l, 0), l ? 1 : beta, c + i * ldc, ldc))
                in_f32(least(rows, m - i), n, least(sum, k - l), alpha, from(a, i, l),
                       from(b, l, 0), l ? 1 : beta, c + i * ldc, ldc);
}

#else

struct rbe_product {
    bool bf16;
};

bool rbe_product_has_bf16(void)
{
    return false;
}

size_t rbe_product_bytes(bool bf16)
{
    (void)bf16;
    return sizeof(struct rbe_product);
}

enum rbe_status rbe_product_open(struct rbe_product **out, bool bf16, struct rbe_diag *d)
{
    *out = NULL;
    if (bf16)
        return rbe_fail(d, RBE_ERR_ARG, "built without bf16 products");
    *out = calloc(1, sizeof **out);
    return *out ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

void rbe_product_close(struct rbe_product **p)
{
    free(*p);
    *p = NULL;
}

#endif

void rbe_product_run(struct rbe_product *p, size_t m, size_t n, size_t k, float alpha,
                     struct rbe_factor a, struct rbe_factor b, float beta, float *c, size_t ldc)
{
#if defined(RBE_HAVE_DNNL)
    if (p->bf16 && m && n && n <= PIECE && k && rbe_dense_here()) {
        by_bf16(p, m, n, k, alpha, a, b, beta, c, ldc);
        return;
    }
#else
    (void)p;
#endif
    in_f32(m, n, k, alpha, a, b, beta, c, ldc);
}

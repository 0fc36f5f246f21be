/*
 * product.c - dnnl_sgemm, or products of rounded copies (kernels/bf16.h).
 *
 * SPDX-License-Identifier: MIT
 *
 * Inputs are rounded piece by piece into buffers that stay in the second-level cache.
 */
#include "grad/product.h"

#include <stdlib.h>
#include <string.h>

#include "model/dense.h"

/* Numbers in a rounded piece, of which A's rows have a gap so that they do not all lie in the
 * same lines of the cache; the longest sum; columns of a B that is not packed. */
enum { PIECE = 1 << 18, GAP = RBE_BF16_STEP, SUM = 1536, COLUMNS = 4096 };

struct rbe_product {
    const struct rbe_bf16 *bf16;        /* NULL: f32 */
    uint16_t *a, *b;                    /* [PIECE] */
};

bool rbe_product_has_bf16(void)
{
    return rbe_bf16_best() != NULL;
}

size_t rbe_product_bytes(bool bf16)
{
    return sizeof(struct rbe_product) + (bf16 ? 2 * PIECE * sizeof(uint16_t) : 0);
}

enum rbe_status rbe_product_open(struct rbe_product **out, bool bf16, struct rbe_diag *d)
{
    *out = NULL;
    if (bf16 && !rbe_product_has_bf16())
        return rbe_fail(d, RBE_ERR_ARG, "this CPU has no bf16 products");
    struct rbe_product *p = calloc(1, sizeof *p);
    if (!p)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    p->bf16 = bf16 ? rbe_bf16_best() : NULL;
    if (bf16 && (!(p->a = aligned_alloc(64, PIECE * sizeof *p->a)) ||
                 !(p->b = aligned_alloc(64, PIECE * sizeof *p->b)))) {
        rbe_product_close(&p);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    /* Rows up to a multiple of the step are multiplied, used or not. */
    if (bf16)
        memset(p->a, 0, PIECE * sizeof *p->a);
    *out = p;
    return RBE_OK;
}

void rbe_product_close(struct rbe_product **pp)
{
    struct rbe_product *p = *pp;

    if (!p)
        return;
    free(p->a);
    free(p->b);
    free(p);
    *pp = NULL;
}

/* Where element (row, col) of what a factor stands for is stored. */
static const float *at(const struct rbe_factor *f, size_t row, size_t col)
{
    return f->v + (f->t ? col * f->ld + row : row * f->ld + col);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void by_bf16(struct rbe_product *p, size_t m, size_t n, size_t k, float alpha,
                    struct rbe_factor a, struct rbe_factor b, float beta, float *c, size_t ldc)
{
    const struct rbe_bf16 *v = p->bf16;
    const size_t wide = rbe_bf16_padded(n);
    const size_t most = b.packed ? SUM : least(SUM, PIECE / wide / GAP * GAP);

    for (size_t l = 0; l < k; l += most) {
        const size_t sum = least(most, k - l), padded = rbe_bf16_padded(sum), ld = padded + GAP;
        const size_t rows = PIECE / ld / GAP * GAP;
        const uint16_t *second =
            b.packed ? b.packed + (b.from + l) * RBE_BF16_STEP : p->b;
        const size_t panel = RBE_BF16_STEP * (b.packed ? rbe_bf16_padded(b.whole) : padded);

        if (!b.packed)
            v->panels(p->b, at(&b, l, 0), b.ld, b.t, sum, n, 0, wide / RBE_BF16_STEP);
        for (size_t i = 0; i < m; i += rows) {
            const size_t some = least(rows, m - i);
            v->rows(p->a, ld, at(&a, i, l), a.ld, a.t, some, sum, alpha);
            v->product(some, n, padded, p->a, ld, second, panel, l || beta != 0, c + i * ldc,
                       ldc);
        }
    }
}

void rbe_product_run(struct rbe_product *p, size_t m, size_t n, size_t k, float alpha,
                     struct rbe_factor a, struct rbe_factor b, float beta, float *c, size_t ldc)
{
    if (!p->bf16 || !m || !n || !k) {
        rbe_sgemm(a.t, b.t, m, n, k, alpha, a.v, a.ld, b.v, b.ld, beta, c, ldc);
        return;
    }
    /* What ends or starts between two steps is packed anew. */
    if (b.from % RBE_BF16_STEP ||
        ((b.from + k) % RBE_BF16_STEP && b.from + k < b.whole))
        b.packed = NULL;
    if (b.packed || n <= COLUMNS) {
        by_bf16(p, m, n, k, alpha, a, b, beta, c, ldc);
        return;
    }
    for (size_t j = 0; j < n; j += COLUMNS) {
        struct rbe_factor some = b;
        some.v = at(&b, 0, j);
        by_bf16(p, m, least(COLUMNS, n - j), k, alpha, a, some, beta, c + j, ldc);
    }
}

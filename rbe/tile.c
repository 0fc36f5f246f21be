/*
 * tile.c - tiles of dot products (tile.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/tile.h"

#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

void rbe_tile_pack_a(struct rbe_tile *t, const float *x, size_t rows, size_t cols, size_t i0,
                     size_t k0, size_t k1)
{
    memset(t->a, 0, sizeof t->a);
    for (size_t i = i0; i < least(rows, i0 + RBE_TILE); i++)
        memcpy(t->a[i - i0], x + i * cols + k0, (k1 - k0) * sizeof *x);
}

void rbe_tile_pack_b(struct rbe_tile *t, const float *x, size_t rows, size_t cols, size_t i0,
                     size_t k0, size_t k1)
{
    const size_t n = k1 - k0;

    memset(t->b, 0, sizeof t->b);
    for (size_t i = i0; i < least(rows, i0 + RBE_TILE); i++) {
        const float *from = x + i * cols + k0;
        size_t k = 0;

        for (; k + RBE_TILE_QUAD <= n; k += RBE_TILE_QUAD)
            memcpy(t->b[k / RBE_TILE_QUAD][i - i0], from + k, RBE_TILE_QUAD * sizeof *x);
        if (k < n)
            memcpy(t->b[k / RBE_TILE_QUAD][i - i0], from + k, (n - k) * sizeof *x);
    }
}

void rbe_tile_add(struct rbe_tile *t, const struct rbe_vector *v)
{
    v->dots(&t->out[0][0], &t->a[0][0], &t->b[0][0][0], RBE_TILE, RBE_TILE, RBE_TILE_CHUNK);
}

void rbe_tile_forms(double *forms, struct rbe_tile *t, const struct rbe_vector *v,
                    const float *x, size_t rows, size_t cols, const float *h)
{
    memset(forms, 0, rows * sizeof *forms);
    for (size_t n = 0; n < cols; n += RBE_TILE) {
        const size_t n1 = least(cols, n + RBE_TILE);

        memset(t->out, 0, sizeof t->out);
        /* H is symmetric: what is right of the diagonal's tile counts twice. */
        for (size_t k = n1; k < cols; k += RBE_TILE_CHUNK) {
            const size_t k1 = least(cols, k + RBE_TILE_CHUNK);
            rbe_tile_pack_a(t, x, rows, cols, 0, k, k1);
            rbe_tile_pack_b(t, h, cols, cols, n, k, k1);
            rbe_tile_add(t, v);
        }
        for (size_t i = 0; i < RBE_TILE; i++)
            for (size_t j = 0; j < RBE_TILE; j++)
                t->out[i][j] *= 2;
        rbe_tile_pack_a(t, x, rows, cols, 0, n, n1);
        rbe_tile_pack_b(t, h, cols, cols, n, n, n1);
        rbe_tile_add(t, v);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < n1 - n; j++)
                forms[i] += (double)x[i * cols + n + j] * t->out[i][j];
    }
}

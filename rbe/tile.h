/*
 * tile.h - tiles of dot products, and the quadratic forms of many rows by them.
 *
 * SPDX-License-Identifier: MIT
 *
 * A tile is 64 x 64 dot products, each over its whole length in the same order: threads may
 * share tiles as they like, and every ISA gives the same bits.
 */
#ifndef RBE_RBE_TILE_H
#define RBE_RBE_TILE_H

#include <stddef.h>

#include "kernels/vector.h"

enum {
    RBE_TILE = 64,
    RBE_TILE_CHUNK = 256,       /* two panels of 64 KiB stay in the second-level cache */
    RBE_TILE_QUAD = 4,          /* values that lie together in b */
};

struct rbe_tile {
    float a[RBE_TILE][RBE_TILE_CHUNK];
    /* b[j] has its values k to k + 3 at [k / 4][j]. */
    float b[RBE_TILE_CHUNK / RBE_TILE_QUAD][RBE_TILE][RBE_TILE_QUAD];
    double out[RBE_TILE][RBE_TILE];     /* out[i][j]: a[i] times b[j] */
};

/* Rows i0 to i0 + RBE_TILE and columns k0 to k1 of x [rows][cols], at most RBE_TILE_CHUNK of
 * them; zeros where there are none. */
void rbe_tile_pack_a(struct rbe_tile *t, const float *x, size_t rows, size_t cols, size_t i0,
                     size_t k0, size_t k1);
void rbe_tile_pack_b(struct rbe_tile *t, const float *x, size_t rows, size_t cols, size_t i0,
                     size_t k0, size_t k1);
/* out += a b^T over a whole chunk. */
void rbe_tile_add(struct rbe_tile *t, const struct rbe_vector *v);

/* forms[i] = x[i] H x[i]^T of rows <= RBE_TILE rows of x [rows][cols]; H [cols][cols]
 * symmetric. */
void rbe_tile_forms(double *forms, struct rbe_tile *t, const struct rbe_vector *v,
                    const float *x, size_t rows, size_t cols, const float *h);

#endif

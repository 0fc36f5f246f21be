/*
 * hybrid.h - the stored layout of `hybrid`: eight basis functions and K DCT coefficients per
 * block (codecs.md 2).
 *
 * SPDX-License-Identifier: MIT
 *
 * The matrix is padded with zeros to blocks of B x B, B = 16, 32, 64, 128 or 256.
 * codes: [ceil(rows / B)][ceil(cols / B)] records of rbe_hybrid_bytes() each.  With
 * w.aux = K (0..B*B) a record is
 *
 *   f16 coefficient[8] | f16 value[K] | K indices of 2 log2(B) bits | zeros to even bytes
 *
 * the indices one little-endian bit stream, each k * B + l.  With w.aux = K |
 * RBE_HYBRID_PUBLISHED it is the published, 8-byte layout, in whole f32:
 *
 *   f32 coefficient[8] | K times { u16 k, u16 l, f32 value }
 *
 * Row i, column j of a block:
 *
 *   W = sum_m coefficient[m] * Q_m(i, j) + sum of value * D[k][i] * D[l][j]
 *
 * D is the orthonormal DCT-II, D[k][i] = sqrt((k ? 2 : 1) / B) cos(pi k (2 i + 1) / (2 B)).
 * Q_m, m < 8, are phi_m made orthonormal over the block in their order (Gram-Schmidt),
 * phi = 1, d, d^2, cos pi x, cos pi y, cos 2 pi x, cos 2 pi y, cos pi x cos pi y, where
 * x = 2 j / (B - 1) - 1, y = 2 i / (B - 1) - 1, d = sqrt(x^2 + y^2).
 * Order the entries by index: kernels are then kindest to the cache.  Unused entries: zeros.
 */
#ifndef RBE_KERNELS_FORMAT_HYBRID_H
#define RBE_KERNELS_FORMAT_HYBRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/f16.h"
#include "kernels/kernel.h"

enum { RBE_HYBRID_BASIS = 8 };

#define RBE_HYBRID_PUBLISHED RBE_AUX_PUBLISHED

/* What depends on B alone; the same for encoder, decoder and kernels. */
struct rbe_hybrid_tables {
    unsigned block, log2_block;
    const float *dct;                       /* D [B][B] */
    const float *dct_columns;               /* its transpose: [i][k] */
    const float *distance;                  /* d at (i, j): [j < B / 2][i]; symmetric in j */
    float x[RBE_HYBRID_MAX_BLOCK];          /* coordinate of column or row */
    float x2[RBE_HYBRID_MAX_BLOCK];         /* x^2 */
    float cos1[RBE_HYBRID_MAX_BLOCK];       /* cos pi x */
    float cos2[RBE_HYBRID_MAX_BLOCK];       /* cos 2 pi x */
    /* Q_m = sum over n <= m of gram[m][n] * phi_n; zero above the diagonal. */
    float gram[RBE_HYBRID_BASIS][RBE_HYBRID_BASIS];
};

/* NULL unless B is one of the five.  Built at first use, then constant; any thread. */
const struct rbe_hybrid_tables *rbe_hybrid_tables(unsigned block);

/* phi_m at row i, column j. */
float rbe_hybrid_phi(const struct rbe_hybrid_tables *t, unsigned m, unsigned i, unsigned j);

static inline size_t rbe_hybrid_blocks(size_t n, size_t block)
{
    return (n + block - 1) / block;
}

/* log2(B), or 0 for a B the format does not have. */
static inline unsigned rbe_hybrid_log2(unsigned block)
{
    return block == 16    ? 4
           : block == 32  ? 5
           : block == 64  ? 6
           : block == 128 ? 7
           : block == 256 ? 8
                          : 0;
}

static inline uint32_t rbe_hybrid_k(uint32_t aux)
{
    return rbe_aux_k(aux);
}

/* Bytes of one block's record; B one of the five. */
static inline size_t rbe_hybrid_bytes(unsigned block, uint32_t aux)
{
    const size_t k = rbe_hybrid_k(aux);

    if (aux & RBE_HYBRID_PUBLISHED)
        return 8 * sizeof(float) + k * 8;
    return 8 * 2 + k * 2 + (k * 2 * rbe_hybrid_log2(block) + 15) / 16 * 2;
}

/* One entry of a record: coefficient (k, l) of the block's DCT. */
struct rbe_hybrid_entry {
    unsigned k, l;
    float value;
};

static inline struct rbe_hybrid_entry rbe_hybrid_get(const void *record, unsigned log2_block,
                                                     uint32_t aux, size_t e)
{
    const unsigned char *p = record;
    struct rbe_hybrid_entry out;

    if (aux & RBE_HYBRID_PUBLISHED) {
        uint16_t kl[2];
        memcpy(kl, p + 32 + e * 8, sizeof kl);
        memcpy(&out.value, p + 36 + e * 8, sizeof out.value);
        /* A hostile file must not lead outside the block. */
        out.k = kl[0] & ((1U << log2_block) - 1);
        out.l = kl[1] & ((1U << log2_block) - 1);
        return out;
    }
    const unsigned bits = 2 * log2_block;
    const size_t at = e * bits;
    uint16_t value, word[2] = {0, 0};
    memcpy(&value, p + 16 + e * 2, sizeof value);
    const unsigned char *stream = p + 16 + (size_t)rbe_hybrid_k(aux) * 2 + at / 16 * 2;
    /* The second word exists only where the index reaches into it. */
    memcpy(word, stream, at % 16 + bits > 16 ? 4 : 2);
    const unsigned index =
        (word[0] | (uint32_t)word[1] << 16) >> at % 16 & ((1U << bits) - 1);
    out.k = index >> log2_block;
    out.l = index & ((1U << log2_block) - 1);
    out.value = rbe_f16_to_f32(value);
    return out;
}

static inline float rbe_hybrid_coefficient(const void *record, uint32_t aux, unsigned m)
{
    uint16_t h;
    float f;

    if (aux & RBE_HYBRID_PUBLISHED) {
        memcpy(&f, (const unsigned char *)record + 4 * m, sizeof f);
        return f;
    }
    memcpy(&h, (const unsigned char *)record + 2 * m, sizeof h);
    return rbe_f16_to_f32(h);
}

/* Encoder's side: into a record of zeros.  What is stored may be rounded to f16. */
void rbe_hybrid_put(void *record, unsigned log2_block, uint32_t aux, size_t e,
                    struct rbe_hybrid_entry entry);
void rbe_hybrid_put_coefficient(void *record, uint32_t aux, unsigned m, float value);

/* Weights of phi for a block: theta[n] = sum over m of coefficient[m] * gram[m][n]. */
static inline void rbe_hybrid_theta(const struct rbe_hybrid_tables *t, const void *record,
                                    uint32_t aux, float theta[RBE_HYBRID_BASIS])
{
    for (unsigned n = 0; n < RBE_HYBRID_BASIS; n++)
        theta[n] = 0;
    for (unsigned m = 0; m < RBE_HYBRID_BASIS; m++) {
        const float c = rbe_hybrid_coefficient(record, aux, m);
        for (unsigned n = 0; n <= m; n++)
            theta[n] += c * t->gram[m][n];
    }
}

#endif

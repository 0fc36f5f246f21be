/*
 * hybrid.h - the body of every kernel of `hybrid`: the separable product.
 *
 * SPDX-License-Identifier: MIT
 *
 * For a column of blocks, once: its x in the DCT domain, D x, and what the basis functions
 * make of x.  All but d factor into a part of the row and a part of the column, so four sums
 * of x and one vector (d x) serve all eight.  Then a block costs K multiply-adds, into the
 * DCT domain of its row of blocks, and B for d; one D^T a row of blocks ends it.
 *
 * Written in the operations of an ISA's simd header, which the kernel file includes first.
 * Scratch is on the stack, bounded for every shape: columns are taken a chunk at a time.
 */
#ifndef RBE_KERNELS_BODY_HYBRID_H
#define RBE_KERNELS_BODY_HYBRID_H

#include "kernels/body/unroll.h"
#include "kernels/format/hybrid.h"
#include "kernels/kernel.h"

/* Columns of gemv's chunks, a multiple of every B: 34 KiB of scratch. */
enum { HYBRID_SCRATCH = 4096 };

/* Vectors that share one decoding of a block's entries in gemm. */
enum { HYBRID_BATCH = 16 };

/* What basis functions make of x in one column of blocks: sums of x times 1, x^2, cos pi x,
 * cos 2 pi x of the column. */
enum { SUM_ONE, SUM_SQUARE, SUM_COS1, SUM_COS2, SUMS };

/* What they add to row i: [0] + [1] x2_i + [2] cos1_i + [3] cos2_i. */
static inline void hybrid_profiles(float profile[SUMS], const float theta[RBE_HYBRID_BASIS],
                                   const float sum[SUMS])
{
    profile[0] += theta[0] * sum[SUM_ONE] + theta[2] * sum[SUM_SQUARE] +
                  theta[3] * sum[SUM_COS1] + theta[5] * sum[SUM_COS2];
    profile[1] += theta[2] * sum[SUM_ONE];
    profile[2] += theta[4] * sum[SUM_ONE] + theta[7] * sum[SUM_COS1];
    profile[3] += theta[6] * sum[SUM_ONE];
}

/* Weights of phi, as rbe_hybrid_theta(). */
static inline void hybrid_theta(const struct rbe_hybrid_tables *t, const unsigned char *record,
                                uint32_t aux, float theta[RBE_HYBRID_BASIS])
{
    float c[RBE_HYBRID_BASIS];

    if (aux & RBE_HYBRID_PUBLISHED) {
        memcpy(c, record, sizeof c);
    } else {
        uint16_t h[RBE_HYBRID_BASIS];
        memcpy(h, record, sizeof h);
        half4(c, h);
        half4(c + 4, h + 4);
    }
    for (int n = 0; n < RBE_HYBRID_BASIS; n++) {
        theta[n] = 0;
        for (int m = n; m < RBE_HYBRID_BASIS; m++)
            theta[n] += c[m] * t->gram[m][n];
    }
}

/* A block's entries taken apart, at most HYBRID_ENTRIES at a time. */
enum { HYBRID_ENTRIES = 256 };

struct hybrid_entries {
    float value[HYBRID_ENTRIES];
    uint16_t index[HYBRID_ENTRIES];     /* k * B + l */
};

static inline void hybrid_entries(struct hybrid_entries *out, const unsigned char *record,
                                  unsigned log2_block, uint32_t aux, size_t first, size_t n)
{
    const size_t k = rbe_hybrid_k(aux);

    if (aux & RBE_HYBRID_PUBLISHED) {
        for (size_t e = 0; e < n; e++) {
            const struct rbe_hybrid_entry v =
                rbe_hybrid_get(record, log2_block, aux, first + e);
            out->value[e] = v.value;
            out->index[e] = (uint16_t)(v.k << log2_block | v.l);
        }
        return;
    }
    const uint16_t *value = (const uint16_t *)(const void *)record + 8;
    const uint16_t *stream = value + k;
    const unsigned bits = 2 * log2_block, mask = (1U << bits) - 1;
    size_t e = 0;
    for (; e + 4 <= n; e += 4)
        half4(out->value + e, value + first + e);
    for (; e < n; e++)
        out->value[e] = half1(value[first + e]);
    /* The last word of the stream may be the last of the buffer: none is read after it. */
    const size_t words = (k * bits + 15) / 16;
    for (e = 0; e < n && (first + e) * bits / 16 + 1 < words; e++) {
        const size_t at = (first + e) * bits, word = at / 16;
        out->index[e] =
            (uint16_t)((stream[word] | (uint32_t)stream[word + 1] << 16) >> at % 16 & mask);
    }
    for (; e < n; e++)
        out->index[e] = (uint16_t)(stream[words - 1] >> (first + e) * bits % 16 & mask);
}

/* Adds s times row [n] to out [n], n a multiple of F32_LANES. */
static inline void add_scaled(float *out, const float *row, float s, size_t n)
{
    for (size_t i = 0; i < n; i += F32_LANES)
        f32_store(out + i, f32_fma(f32_set(s), f32_load(row + i), f32_load(out + i)));
}

/* One column of blocks: spectrum [B] = D x, radial [B] = d x, and the sums. */
static inline void hybrid_column(const struct rbe_hybrid_tables *t, const float *x, size_t n,
                                 float *spectrum, float *radial, float sum[SUMS])
{
    const unsigned b = t->block;
    float full[RBE_HYBRID_MAX_BLOCK] = {0};

    memcpy(full, x, n * sizeof *x);
    memset(spectrum, 0, b * sizeof *spectrum);
    memset(radial, 0, b * sizeof *radial);
    for (int s = 0; s < SUMS; s++)
        sum[s] = 0;
    for (unsigned j = 0; j < b; j++) {
        add_scaled(spectrum, t->dct_columns + j * b, full[j], b);
        sum[SUM_ONE] += full[j];
        sum[SUM_SQUARE] += t->x2[j] * full[j];
        sum[SUM_COS1] += t->cos1[j] * full[j];
        sum[SUM_COS2] += t->cos2[j] * full[j];
    }
    for (unsigned j = 0; j < b / 2; j++)
        add_scaled(radial, t->distance + j * b, full[j] + full[b - 1 - j], b);
}

/* One row of blocks against the columns of a chunk; y: its B or fewer rows, added to. */
static inline void hybrid_row(const struct rbe_hybrid_tables *t, const unsigned char *record,
                              uint32_t aux, size_t blocks, const float *spectrum,
                              const float *radial, const float (*sum)[SUMS], float *y, size_t n)
{
    const unsigned b = t->block;
    const size_t bytes = rbe_hybrid_bytes(b, aux), k = rbe_hybrid_k(aux);
    float out[RBE_HYBRID_MAX_BLOCK] = {0}, domain[RBE_HYBRID_MAX_BLOCK] = {0};
    float profile[SUMS] = {0};

    for (size_t c = 0; c < blocks; c++, record += bytes) {
        const float *xs = spectrum + c * b;
        float theta[RBE_HYBRID_BASIS];
        struct hybrid_entries entries;

        hybrid_theta(t, record, aux, theta);
        hybrid_profiles(profile, theta, sum[c]);
        add_scaled(out, radial + c * b, theta[1], b);
        for (size_t e0 = 0; e0 < k; e0 += HYBRID_ENTRIES) {
            const size_t m = k - e0 < HYBRID_ENTRIES ? k - e0 : HYBRID_ENTRIES;
            hybrid_entries(&entries, record, t->log2_block, aux, e0, m);
            for (size_t e = 0; e < m; e++)
                domain[entries.index[e] >> t->log2_block] +=
                    entries.value[e] * xs[entries.index[e] & (b - 1)];
        }
    }
    for (unsigned i = 0; i < b; i++)
        out[i] += profile[0] + profile[1] * t->x2[i] + profile[2] * t->cos1[i] +
                  profile[3] * t->cos2[i];
    for (unsigned i = 0; i < b; i++)
        add_scaled(out, t->dct + i * b, domain[i], b);
    for (size_t i = 0; i < n; i++)
        y[i] += out[i];
}

static inline void gemv_hybrid(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                               size_t ldy, size_t row0, size_t row1)
{
    const struct rbe_hybrid_tables *t = rbe_hybrid_tables(w->block);
    const size_t b = w->block, bytes = rbe_hybrid_bytes(w->block, w->aux);
    const size_t wide = rbe_hybrid_blocks(w->cols, b);
    float spectrum[HYBRID_SCRATCH], radial[HYBRID_SCRATCH];
    float sum[HYBRID_SCRATCH / RBE_HYBRID_MIN_BLOCK][SUMS];

    (void)ldy;
    for (size_t r = row0; r < row1; r++)
        y[r] = 0;
    for (size_t n0 = 0; n0 < w->cols; n0 += HYBRID_SCRATCH) {
        const size_t left = w->cols - n0;
        const size_t blocks =
            rbe_hybrid_blocks(left < HYBRID_SCRATCH ? left : HYBRID_SCRATCH, b);
        for (size_t c = 0; c < blocks; c++)
            hybrid_column(t, a->x + n0 + c * b, left - c * b < b ? left - c * b : b,
                          spectrum + c * b, radial + c * b, sum[c]);
        for (size_t r = row0; r < row1; r += b)
            hybrid_row(t, (const unsigned char *)w->codes + (r / b * wide + n0 / b) * bytes,
                       w->aux, blocks, spectrum, radial, (const float (*)[SUMS])sum, y + r,
                       row1 - r < b ? row1 - r : b);
    }
}

/* --- sixteen vectors at once: every number above becomes a vector of them ---------------- */

/* out [16] += s * in [16]. */
static inline void add_batch(float *out, const float *in, float s)
{
    RBE_UNROLL
    for (int v = 0; v < HYBRID_BATCH; v += F32_LANES)
        f32_store(out + v, f32_fma(f32_set(s), f32_load(in + v), f32_load(out + v)));
}

enum { HYBRID_CHUNK = 512 };    /* columns of gemm's chunks: 64 KiB of scratch */

struct hybrid_batch {
    float spectrum[HYBRID_CHUNK][HYBRID_BATCH], radial[HYBRID_CHUNK][HYBRID_BATCH];
    float sum[HYBRID_CHUNK / RBE_HYBRID_MIN_BLOCK][SUMS][HYBRID_BATCH];
};

/* x: `count` vectors, n columns from here on. */
static inline void hybrid_batch_column(const struct rbe_hybrid_tables *t, const float *x,
                                       size_t stride, size_t count, size_t n,
                                       struct hybrid_batch *h, size_t c)
{
    const unsigned b = t->block;
    float full[RBE_HYBRID_MAX_BLOCK][HYBRID_BATCH], fold[HYBRID_BATCH];
    float (*spectrum)[HYBRID_BATCH] = h->spectrum + c * b, (*radial)[HYBRID_BATCH] =
                                                               h->radial + c * b;

    memset(full, 0, sizeof full);
    for (size_t v = 0; v < count; v++)
        for (size_t j = 0; j < n; j++)
            full[j][v] = x[v * stride + j];
    memset(spectrum, 0, b * sizeof *spectrum);
    memset(radial, 0, b * sizeof *radial);
    memset(h->sum[c], 0, sizeof h->sum[c]);
    for (unsigned j = 0; j < n; j++) {
        for (unsigned l = 0; l < b; l++)
            add_batch(spectrum[l], full[j], t->dct_columns[j * b + l]);
        add_batch(h->sum[c][SUM_ONE], full[j], 1);
        add_batch(h->sum[c][SUM_SQUARE], full[j], t->x2[j]);
        add_batch(h->sum[c][SUM_COS1], full[j], t->cos1[j]);
        add_batch(h->sum[c][SUM_COS2], full[j], t->cos2[j]);
    }
    for (unsigned j = 0; j < b / 2; j++) {
        for (int v = 0; v < HYBRID_BATCH; v++)
            fold[v] = full[j][v] + full[b - 1 - j][v];
        for (unsigned i = 0; i < b; i++)
            add_batch(radial[i], fold, t->distance[j * b + i]);
    }
}

static inline void hybrid_batch_row(const struct rbe_hybrid_tables *t,
                                    const unsigned char *record, uint32_t aux, size_t blocks,
                                    struct hybrid_batch *h, size_t count, float *y, size_t ldy,
                                    size_t n)
{
    const unsigned b = t->block;
    const size_t bytes = rbe_hybrid_bytes(b, aux), k = rbe_hybrid_k(aux);
    float out[RBE_HYBRID_MAX_BLOCK][HYBRID_BATCH], domain[RBE_HYBRID_MAX_BLOCK][HYBRID_BATCH];
    float profile[SUMS][HYBRID_BATCH] = {{0}};

    memset(out, 0, b * sizeof *out);
    memset(domain, 0, b * sizeof *domain);
    for (size_t c = 0; c < blocks; c++, record += bytes) {
        float (*xs)[HYBRID_BATCH] = h->spectrum + c * b, (*sum)[HYBRID_BATCH] = h->sum[c];
        float theta[RBE_HYBRID_BASIS];
        struct hybrid_entries entries;

        hybrid_theta(t, record, aux, theta);
        add_batch(profile[0], sum[SUM_ONE], theta[0]);
        add_batch(profile[0], sum[SUM_SQUARE], theta[2]);
        add_batch(profile[0], sum[SUM_COS1], theta[3]);
        add_batch(profile[0], sum[SUM_COS2], theta[5]);
        add_batch(profile[1], sum[SUM_ONE], theta[2]);
        add_batch(profile[2], sum[SUM_ONE], theta[4]);
        add_batch(profile[2], sum[SUM_COS1], theta[7]);
        add_batch(profile[3], sum[SUM_ONE], theta[6]);
        for (unsigned i = 0; i < b; i++)
            add_batch(out[i], h->radial[c * b + i], theta[1]);
        for (size_t e0 = 0; e0 < k; e0 += HYBRID_ENTRIES) {
            const size_t m = k - e0 < HYBRID_ENTRIES ? k - e0 : HYBRID_ENTRIES;
            hybrid_entries(&entries, record, t->log2_block, aux, e0, m);
            for (size_t e = 0; e < m; e++)
                add_batch(domain[entries.index[e] >> t->log2_block],
                          xs[entries.index[e] & (b - 1)], entries.value[e]);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        add_batch(out[i], profile[0], 1);
        add_batch(out[i], profile[1], t->x2[i]);
        add_batch(out[i], profile[2], t->cos1[i]);
        add_batch(out[i], profile[3], t->cos2[i]);
        for (unsigned l = 0; l < b; l++)
            add_batch(out[i], domain[l], t->dct_columns[i * b + l]);
        for (size_t v = 0; v < count; v++)
            y[v * ldy + i] += out[i][v];
    }
}

static inline void gemm_hybrid(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                               size_t ldy, size_t row0, size_t row1)
{
    const struct rbe_hybrid_tables *t = rbe_hybrid_tables(w->block);
    const size_t b = w->block, bytes = rbe_hybrid_bytes(w->block, w->aux);
    const size_t wide = rbe_hybrid_blocks(w->cols, b);
    struct hybrid_batch h;

    for (size_t v = 0; v < a->count; v += HYBRID_BATCH) {
        const size_t count = a->count - v < HYBRID_BATCH ? a->count - v : HYBRID_BATCH;
        if (count <= 2) {
            for (size_t i = 0; i < count; i++) {
                struct rbe_act one = *a;
                one.x += (v + i) * a->stride;
                gemv_hybrid(w, &one, y + (v + i) * ldy, ldy, row0, row1);
            }
            continue;
        }
        for (size_t i = 0; i < count; i++)
            for (size_t r = row0; r < row1; r++)
                y[(v + i) * ldy + r] = 0;
        for (size_t n0 = 0; n0 < w->cols; n0 += HYBRID_CHUNK) {
            const size_t left = w->cols - n0;
            const size_t blocks =
                rbe_hybrid_blocks(left < HYBRID_CHUNK ? left : HYBRID_CHUNK, b);
            for (size_t c = 0; c < blocks; c++)
                hybrid_batch_column(t, a->x + v * a->stride + n0 + c * b, a->stride, count,
                                    left - c * b < b ? left - c * b : b, &h, c);
            for (size_t r = row0; r < row1; r += b)
                hybrid_batch_row(
                    t, (const unsigned char *)w->codes + (r / b * wide + n0 / b) * bytes,
                    w->aux, blocks, &h, count, y + v * ldy + r, ldy,
                    row1 - r < b ? row1 - r : b);
        }
    }
}

#endif

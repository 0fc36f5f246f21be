/*
 * encode_hybrid.c - least squares on eight basis functions, then the largest coefficients of
 * the residual's DCT (codecs.md 2).
 *
 * SPDX-License-Identifier: MIT
 *
 * The basis is orthonormal, so its least squares are eight dot products.  The residual is
 * taken against the coefficients as stored, so their rounding is made good by the DCT.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/format/hybrid.h"
#include "rbe/encode.h"

struct hybrid_work {
    const struct rbe_encode_job *j;     /* NULL: energies only */
    const float *w;
    size_t rows, cols, across;          /* blocks in a row of blocks */
    const struct rbe_hybrid_tables *t;
    uint32_t aux;
    float *basis;                       /* [8][B * B], orthonormal */
    float *scratch;                     /* [threads][4][B * B] */
    double *energy;                     /* [threads][B * B + 1]: by rank; the last: of all */
    atomic_bool stop;
    atomic_bool large;                  /* some coefficient does not fit f16 */
};

/* out = a b for square matrices of side n, or a b^T. */
static void multiply(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float *row = out + i * n;

        memset(row, 0, n * sizeof *row);
        for (size_t k = 0; k < n; k++) {
            const float f = a[i * n + k];
            for (size_t c = 0; c < n; c++)
                row[c] += f * b[k * n + c];
        }
    }
}

/* The block at (r0, c0), zeros past the matrix's edges. */
static void gather(const struct hybrid_work *h, float *out, size_t r0, size_t c0)
{
    const size_t b = h->t->block, width = h->cols - c0 < b ? h->cols - c0 : b;

    memset(out, 0, b * b * sizeof *out);
    for (size_t i = 0; i < b && r0 + i < h->rows; i++)
        memcpy(out + i * b, h->w + (r0 + i) * h->cols + c0, width * sizeof *out);
}

/* Takes the basis' share out of x; coefficients rounded as `record` stores them, or not at
 * all when it is NULL.  False: one does not fit. */
static bool fit_basis(const struct hybrid_work *h, float *x, void *record)
{
    const size_t n = (size_t)h->t->block * h->t->block;
    float c[RBE_HYBRID_BASIS];

    for (unsigned m = 0; m < RBE_HYBRID_BASIS; m++) {
        const float *q = h->basis + m * n;
        double dot = 0;

        for (size_t i = 0; i < n; i++)
            dot += (double)q[i] * x[i];
        c[m] = (float)dot;
        if (record) {
            rbe_hybrid_put_coefficient(record, h->aux, m, c[m]);
            c[m] = rbe_hybrid_coefficient(record, h->aux, m);
        }
        if (!isfinite(c[m]))
            return false;
    }
    for (unsigned m = 0; m < RBE_HYBRID_BASIS; m++) {
        const float *q = h->basis + m * n;
        for (size_t i = 0; i < n; i++)
            x[i] -= c[m] * q[i];
    }
    return true;
}

static int falling(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The k-th largest of v [n], k from 1; v is reordered. */
static float kth_largest(float *v, size_t n, size_t k)
{
    size_t lo = 0, hi = n - 1;

    while (lo < hi) {
        const float pivot = v[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;

        for (;;) {
            while (v[i] > pivot)
                i++;
            while (v[j] < pivot)
                j--;
            if (i >= j)
                break;
            const float t = v[i];
            v[i++] = v[j];
            v[j--] = t;
        }
        /* Everything up to j is at least the pivot, everything after at most. */
        if (k - 1 <= j)
            hi = j;
        else
            lo = j + 1;
    }
    return v[k - 1];
}

/* The K largest coefficients, in the order of their indices.  False: one does not fit. */
static bool put_largest(const struct hybrid_work *h, const float *coefficient, float *size,
                        void *record)
{
    const size_t b = h->t->block, n = b * b, k = rbe_hybrid_k(h->aux);
    size_t e = 0, ties;

    if (!k)
        return true;
    for (size_t i = 0; i < n; i++)
        size[i] = fabsf(coefficient[i]);
    const float least = kth_largest(size, n, k);
    ties = k;
    for (size_t i = 0; i < n; i++)
        ties -= fabsf(coefficient[i]) > least;
    for (size_t i = 0; i < n && e < k; i++) {
        const float v = fabsf(coefficient[i]);
        if (v > least || (v == least && ties)) {
            const struct rbe_hybrid_entry entry = {(unsigned)(i / b), (unsigned)(i % b),
                                                   coefficient[i]};
            ties -= v == least;
            rbe_hybrid_put(record, h->t->log2_block, h->aux, e, entry);
            if (!isfinite(rbe_hybrid_get(record, h->t->log2_block, h->aux, e++).value))
                return false;
        }
    }
    return true;
}

/* Sorted energies of one block's coefficients, added to those of the blocks before. */
static void add_energy(double *energy, float *coefficient, size_t n)
{
    for (size_t i = 0; i < n; i++)
        coefficient[i] *= coefficient[i];
    qsort(coefficient, n, sizeof *coefficient, falling);
    for (size_t i = 0; i < n; i++)
        energy[i] += coefficient[i];
}

static void do_blocks(void *arg, unsigned part, unsigned parts)
{
    struct hybrid_work *h = arg;
    const size_t b = h->t->block, n = b * b;
    float *x = h->scratch + part * 4 * n, *half = x + n, *dct = half + n, *size = dct + n;
    const size_t down = rbe_hybrid_blocks(h->rows, b), all = down * h->across;
    size_t first, end;

    rbe_split(all, 1, part, parts, &first, &end);
    for (size_t i = first; i < end && !atomic_load(&h->stop); i++) {
        void *record =
            h->j ? (uint8_t *)h->j->codes + i * rbe_hybrid_bytes((unsigned)b, h->aux) : NULL;

        gather(h, x, i / h->across * b, i % h->across * b);
        double *energy = h->energy ? h->energy + part * (n + 1) : NULL;
        for (size_t k = 0; energy && k < n; k++)
            energy[n] += (double)x[k] * x[k];
        bool fits = fit_basis(h, x, record);
        multiply(half, h->t->dct, x, b);                /* D E */
        multiply(dct, half, h->t->dct_columns, b);      /* (D E) D^T */
        if (energy)
            add_energy(energy, dct, n);
        else
            fits = fits && put_largest(h, dct, size, record);
        if (!fits) {
            atomic_store(&h->large, true);
            atomic_store(&h->stop, true);
        }
        if (h->j && part == 0 &&
            !rbe_encode_tick(h->j, (double)(i + 1) / (double)(end - first)))
            atomic_store(&h->stop, true);
    }
}

static void hybrid_close(struct hybrid_work *h)
{
    free(h->basis);
    free(h->scratch);
    free(h->energy);
}

/* Tables and memory for blocks of side `block`. */
static enum rbe_status hybrid_open(struct hybrid_work *h, uint32_t block, unsigned threads,
                                   struct rbe_diag *d)
{
    const size_t n = (size_t)block * block;

    h->t = rbe_hybrid_tables(block);
    if (!h->t)
        return rbe_fail(d, RBE_ERR_ARG, "hybrid has no blocks of %u", block);
    h->across = rbe_hybrid_blocks(h->cols, block);
    atomic_init(&h->stop, false);
    atomic_init(&h->large, false);
    h->basis = malloc(RBE_HYBRID_BASIS * n * sizeof *h->basis);
    h->scratch = malloc(threads * 4 * n * sizeof *h->scratch);
    if (!h->basis || !h->scratch)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (unsigned m = 0; m < RBE_HYBRID_BASIS; m++)
        for (size_t i = 0; i < n; i++) {
            float sum = 0;
            for (unsigned k = 0; k <= m; k++)
                sum += h->t->gram[m][k] * rbe_hybrid_phi(h->t, k, (unsigned)(i / block),
                                                         (unsigned)(i % block));
            h->basis[m * n + i] = sum;
        }
    return RBE_OK;
}

static enum rbe_status encode(const struct rbe_encode_job *j, struct rbe_diag *d)
{
    struct hybrid_work h = {.j = j, .w = j->w, .rows = j->m->rows, .cols = j->m->cols,
                            .aux = j->m->aux};
    const unsigned threads = j->pool ? rbe_pool_threads(j->pool) : 1;
    enum rbe_status err = hybrid_open(&h, j->m->block, threads, d);

    if (!err) {
        rbe_pool_run(j->pool, do_blocks, &h);
        if (atomic_load(&h.large))
            err = rbe_fail(d, RBE_ERR_NUMERIC, "a coefficient is too large for %s",
                           h.aux & RBE_HYBRID_PUBLISHED ? "f32" : "f16");
        else if (atomic_load(&h.stop))
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    }
    hybrid_close(&h);
    return err;
}

static enum rbe_status k_for_energy(uint32_t *k, const float *w, uint32_t rows, uint32_t cols,
                                    uint32_t block, double energy, struct rbe_pool *pool,
                                    struct rbe_diag *d)
{
    const unsigned threads = pool ? rbe_pool_threads(pool) : 1;
    const size_t n = (size_t)block * block;
    struct hybrid_work h = {.w = w, .rows = rows, .cols = cols};
    enum rbe_status err;
    double left = 0;

    *k = 0;
    if ((err = hybrid_open(&h, block, threads, d)))
        goto out;
    if (!(h.energy = calloc(threads * (n + 1), sizeof *h.energy))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    rbe_pool_run(pool, do_blocks, &h);
    for (unsigned t = 1; t < threads; t++)
        for (size_t i = 0; i <= n; i++)
            h.energy[i] += h.energy[t * (n + 1) + i];
    for (size_t i = 0; i < n; i++)
        left += h.energy[i];
    while (*k < n && left > energy * h.energy[n])
        left -= h.energy[(*k)++];
out:
    hybrid_close(&h);
    return err;
}

const struct rbe_encoder rbe_encoder_hybrid = {
    .encode = encode, .k_for_energy = k_for_energy};

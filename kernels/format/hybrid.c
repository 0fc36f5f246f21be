/*
 * hybrid.c - tables, sizes and reference decoding of `hybrid` (layout in hybrid.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/format/hybrid.h"

#include <math.h>
#include <pthread.h>

#include "kernels/format/format.h"

#define PI 3.14159265358979323846

static struct rbe_hybrid_tables tables[5];
/* D, its transpose, and half of d, one after the other, for each B. */
enum { TABLE_FLOATS = 2 * 2 + 1 };      /* in units of B * B / 2 */
static float floats16[TABLE_FLOATS * 16 * 16 / 2], floats32[TABLE_FLOATS * 32 * 32 / 2],
    floats64[TABLE_FLOATS * 64 * 64 / 2], floats128[TABLE_FLOATS * 128 * 128 / 2],
    floats256[TABLE_FLOATS * 256 * 256 / 2];
static pthread_once_t once[5] = {PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT,
                                 PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT};

static double coordinate(unsigned j, unsigned block)
{
    return 2.0 * j / (block - 1) - 1;
}

static void phi(double v[RBE_HYBRID_BASIS], double x, double y)
{
    v[0] = 1;
    v[1] = sqrt(x * x + y * y);
    v[2] = x * x + y * y;
    v[3] = cos(PI * x);
    v[4] = cos(PI * y);
    v[5] = cos(2 * PI * x);
    v[6] = cos(2 * PI * y);
    v[7] = v[3] * v[4];
}

/* gram = inverse of the Cholesky factor of the products of phi, all in double. */
static void orthonormalise(struct rbe_hybrid_tables *t)
{
    enum { N = RBE_HYBRID_BASIS };
    double g[N][N] = {{0}}, inverse[N][N] = {{0}}, v[N];

    for (unsigned i = 0; i < t->block; i++)
        for (unsigned j = 0; j < t->block; j++) {
            phi(v, coordinate(j, t->block), coordinate(i, t->block));
            for (int m = 0; m < N; m++)
                for (int n = 0; n <= m; n++)
                    g[m][n] += v[m] * v[n];
        }
    for (int m = 0; m < N; m++)
        for (int n = 0; n <= m; n++) {
            for (int k = 0; k < n; k++)
                g[m][n] -= g[m][k] * g[n][k];
            g[m][n] = m == n ? sqrt(g[m][m]) : g[m][n] / g[n][n];
        }
    for (int n = 0; n < N; n++)
        for (int m = n; m < N; m++) {
            double sum = m == n;
            for (int k = n; k < m; k++)
                sum -= g[m][k] * inverse[k][n];
            inverse[m][n] = sum / g[m][m];
            t->gram[m][n] = (float)inverse[m][n];
        }
}

static void build(unsigned log2_block, float *floats)
{
    struct rbe_hybrid_tables *t = &tables[log2_block - 4];
    const unsigned b = 1U << log2_block;
    float *dct = floats, *columns = floats + b * b, *distance = floats + 2 * b * b;

    t->block = b;
    t->log2_block = log2_block;
    t->dct = dct;
    t->dct_columns = columns;
    t->distance = distance;
    for (unsigned k = 0; k < b; k++)
        for (unsigned i = 0; i < b; i++)
            columns[i * b + k] = dct[k * b + i] =
                (float)(sqrt((k ? 2.0 : 1.0) / b) * cos(PI * k * (2 * i + 1) / (2.0 * b)));
    for (unsigned j = 0; j < b; j++) {
        const double x = coordinate(j, b);
        t->x[j] = (float)x;
        t->x2[j] = (float)(x * x);
        t->cos1[j] = (float)cos(PI * x);
        t->cos2[j] = (float)cos(2 * PI * x);
    }
    for (unsigned j = 0; j < b / 2; j++)
        for (unsigned i = 0; i < b; i++)
            distance[j * b + i] = sqrtf(t->x2[j] + t->x2[i]);
    orthonormalise(t);
}

static void build16(void)
{
    build(4, floats16);
}

static void build32(void)
{
    build(5, floats32);
}

static void build64(void)
{
    build(6, floats64);
}

static void build128(void)
{
    build(7, floats128);
}

static void build256(void)
{
    build(8, floats256);
}

const struct rbe_hybrid_tables *rbe_hybrid_tables(unsigned block)
{
    static void (*const builders[5])(void) = {build16, build32, build64, build128, build256};
    const unsigned log2_block = rbe_hybrid_log2(block);

    if (!log2_block)
        return NULL;
    pthread_once(&once[log2_block - 4], builders[log2_block - 4]);
    return &tables[log2_block - 4];
}

float rbe_hybrid_phi(const struct rbe_hybrid_tables *t, unsigned m, unsigned i, unsigned j)
{
    switch (m) {
    case 0:
        return 1;
    case 1:
        return sqrtf(t->x2[j] + t->x2[i]);
    case 2:
        return t->x2[j] + t->x2[i];
    case 3:
        return t->cos1[j];
    case 4:
        return t->cos1[i];
    case 5:
        return t->cos2[j];
    case 6:
        return t->cos2[i];
    default:
        return t->cos1[j] * t->cos1[i];
    }
}

void rbe_hybrid_put(void *record, unsigned log2_block, uint32_t aux, size_t e,
                    struct rbe_hybrid_entry entry)
{
    unsigned char *p = record;

    if (aux & RBE_HYBRID_PUBLISHED) {
        const uint16_t kl[2] = {(uint16_t)entry.k, (uint16_t)entry.l};
        memcpy(p + 32 + e * 8, kl, sizeof kl);
        memcpy(p + 36 + e * 8, &entry.value, sizeof entry.value);
        return;
    }
    const unsigned bits = 2 * log2_block;
    const uint16_t value = rbe_f16_from_f32(entry.value);
    const size_t at = e * bits;
    uint16_t word[2] = {0, 0};
    unsigned char *stream = p + 16 + (size_t)rbe_hybrid_k(aux) * 2 + at / 16 * 2;
    const size_t bytes = at % 16 + bits > 16 ? 4 : 2;
    memcpy(p + 16 + e * 2, &value, sizeof value);
    memcpy(word, stream, bytes);
    const uint32_t index = (entry.k << log2_block | entry.l) << at % 16;
    word[0] |= (uint16_t)index;
    word[1] |= (uint16_t)(index >> 16);
    memcpy(stream, word, bytes);
}

void rbe_hybrid_put_coefficient(void *record, uint32_t aux, unsigned m, float value)
{
    const uint16_t h = rbe_f16_from_f32(value);

    if (aux & RBE_HYBRID_PUBLISHED)
        memcpy((unsigned char *)record + 4 * m, &value, sizeof value);
    else
        memcpy((unsigned char *)record + 2 * m, &h, sizeof h);
}

static struct rbe_matrix_size size(uint32_t rows, uint32_t cols, uint32_t block, uint32_t aux)
{
    if (rbe_hybrid_k(aux) > block * block)
        return (struct rbe_matrix_size){0};
    return (struct rbe_matrix_size){.codes = rbe_hybrid_blocks(rows, block) *
                                             rbe_hybrid_blocks(cols, block) *
                                             rbe_hybrid_bytes(block, aux)};
}

static void decode_row(const struct rbe_matrix *w, size_t r, float *out)
{
    const struct rbe_hybrid_tables *t = rbe_hybrid_tables(w->block);
    const unsigned b = w->block, i = (unsigned)(r % b);
    const size_t bytes = rbe_hybrid_bytes(b, w->aux);
    const unsigned char *record =
        (const unsigned char *)w->codes + r / b * rbe_hybrid_blocks(w->cols, b) * bytes;

    for (size_t n0 = 0; n0 < w->cols; n0 += b, record += bytes) {
        float theta[RBE_HYBRID_BASIS], row[RBE_HYBRID_MAX_BLOCK] = {0};

        rbe_hybrid_theta(t, record, w->aux, theta);
        /* Row i of the residual, still in the DCT domain along the columns. */
        for (size_t e = 0; e < rbe_hybrid_k(w->aux); e++) {
            const struct rbe_hybrid_entry v = rbe_hybrid_get(record, t->log2_block, w->aux, e);
            row[v.l] += v.value * t->dct[v.k * b + i];
        }
        for (unsigned j = 0; j < b && n0 + j < w->cols; j++) {
            float sum = 0;
            for (unsigned l = 0; l < b; l++)
                sum += row[l] * t->dct[l * b + j];
            for (unsigned m = 0; m < RBE_HYBRID_BASIS; m++)
                sum += theta[m] * rbe_hybrid_phi(t, m, i, j);
            out[n0 + j] = sum;
        }
    }
}

/* Records with K entries in the order of their indices, spread evenly over the block. */
static void fill(uint32_t block, uint32_t aux, void *to, size_t size)
{
    const size_t bytes = rbe_hybrid_bytes(block, aux), k = rbe_hybrid_k(aux);
    const unsigned log2_block = rbe_hybrid_log2(block);
    uint64_t s = 20250201;
    uint8_t *out = to;

    memset(out, 0, size);
    for (size_t at = 0; at + bytes <= size; at += bytes) {
        for (unsigned m = 0; m < RBE_HYBRID_BASIS; m++)
            rbe_hybrid_put_coefficient(out + at, aux, m,
                                       rbe_fill_unit((uint32_t)rbe_fill_next(&s)));
        for (size_t e = 0; e < k; e++) {
            const size_t cells = (size_t)block * block, low = cells * e / k;
            const size_t span = cells * (e + 1) / k - low;
            const uint64_t r = rbe_fill_next(&s);
            const unsigned cell = (unsigned)(low + r % span);
            rbe_hybrid_put(out + at, log2_block, aux, e,
                           (struct rbe_hybrid_entry){
                               .k = cell >> log2_block,
                               .l = cell & (block - 1),
                               .value = rbe_fill_unit((uint32_t)(r >> 32))});
        }
    }
}

static size_t record(uint32_t block, uint32_t aux)
{
    return rbe_hybrid_bytes(block, aux);
}

/*
 * kernels/body/hybrid.h: for each column of blocks a transform of B x B, four sums and half
 * as much again for d, once in every thread; for each block K, B for d, and 45 that weigh the
 * basis functions; for each row of blocks three sums a row and a transform back.
 */
static double work(const struct rbe_kernel *kernel, uint32_t rows, uint32_t cols,
                   uint32_t block, uint32_t aux, uint32_t count, unsigned threads)
{
    const double b = block, wide = (double)((cols + block - 1) / block);
    const double high = (double)((rows + block - 1) / block);
    const double teams = threads < high ? threads : high;

    (void)kernel;
    return count * (teams * wide * (1.5 * b * b + 4 * b) +
                    high * wide * ((double)rbe_hybrid_k(aux) + b + 45) +
                    high * (3 * b + b * b));
}

const struct rbe_format_ops rbe_format_hybrid = {
    .size = size, .decode_row = decode_row, .fill = fill, .record = record, .work = work};

/*
 * quality.c - error, rate and the guards of every quality table.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/quality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/stats.h"
#include "kernels/cpu.h"
#include "rbe/tile.h"

static const struct {
    const char *name;
    double psnr_db;
} levels[RBE_LEVEL_COUNT] = {
    [RBE_LEVEL_NONE] = {"none", -INFINITY},
    [RBE_LEVEL_LOW] = {"Low", 20},
    [RBE_LEVEL_MEDIUM] = {"Medium", 30},
    [RBE_LEVEL_HIGH] = {"High", 40},
    [RBE_LEVEL_ULTRA] = {"Ultra", 50},
};

const char *rbe_level_name(enum rbe_level l)
{
    return (unsigned)l < RBE_LEVEL_COUNT ? levels[l].name : NULL;
}

enum rbe_level rbe_level_by_name(const char *name)
{
    int l = 0;

    while (l < RBE_LEVEL_COUNT && strcmp(levels[l].name, name) != 0)
        l++;
    return (enum rbe_level)l;
}

double rbe_level_psnr_db(enum rbe_level l)
{
    return levels[l].psnr_db;
}

double rbe_rate_bound(double bits_per_weight)
{
    return exp2(-bits_per_weight);
}

void rbe_quality_fill(struct rbe_quality *q, size_t weights, size_t bytes, double sum_w2,
                      double sum_e2, double peak)
{
    const double n = (double)weights;

    *q = (struct rbe_quality){.weights = weights, .bytes = bytes, .peak = peak};
    q->bits = 8 * (double)bytes / n;
    q->ratio = 4 * n / (double)bytes;
    q->rms = sqrt(sum_w2 / n);
    q->rmse = sqrt(sum_e2 / n);
    q->relative_rmse = q->rmse == 0 ? 0 : q->rmse / q->rms;
    q->bound = rbe_rate_bound(q->bits);
    q->psnr_db = q->rmse == 0 ? INFINITY : 20 * log10(peak / q->rmse);
}

/* Sums for each row, added up in row order afterwards: any number of threads, same bits. */
struct row_sums {
    bool *lost, *noisy;         /* [rows] */
    const float *w;
    const struct rbe_weight *enc;
    const float *h;             /* moment, or NULL: the identity */
    double *w2, *e2;            /* [rows] */
    float *errors;              /* [threads][RBE_TILE][cols] */
    struct rbe_tile *tiles;     /* [threads], with a moment */
    const struct rbe_vector *v;
};

static double squares(const float *v, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)v[i] * v[i];
    return sum;
}

static void sum_rows(void *arg, unsigned part, unsigned parts)
{
    const struct row_sums *s = arg;
    const size_t rows = s->enc->rows, cols = s->enc->cols;
    float *errors = s->errors + part * (size_t)RBE_TILE * cols;

    for (size_t r0 = part * (size_t)RBE_TILE; r0 < rows; r0 += parts * (size_t)RBE_TILE) {
        const size_t count = rows - r0 < RBE_TILE ? rows - r0 : RBE_TILE;

        for (size_t r = r0; r < r0 + count; r++) {
            const float *w = s->w + r * cols;
            float *e = errors + (r - r0) * cols;
            bool has = false, kept = false;

            rbe_weight_decode_row(s->enc, r, e);
            for (size_t c = 0; c < cols; c++) {
                has = has || w[c] != 0;
                kept = kept || e[c] != 0;
                e[c] -= w[c];
            }
            s->lost[r] = has && !kept;
            s->noisy[r] = !has && kept;
            if (!s->h) {
                s->w2[r] = squares(w, cols);
                s->e2[r] = squares(e, cols);
            }
        }
        if (s->h) {
            struct rbe_tile *t = &s->tiles[part];
            rbe_tile_forms(s->w2 + r0, t, s->v, s->w + r0 * cols, count, cols, s->h);
            rbe_tile_forms(s->e2 + r0, t, s->v, errors, count, cols, s->h);
        }
    }
}

static enum rbe_status measure(double *sum_w2, double *sum_e2, size_t *lost, size_t *noisy,
                               const float *w, const struct rbe_weight *enc, const float *h,
                               struct rbe_pool *pool, struct rbe_diag *d)
{
    const unsigned threads = pool ? rbe_pool_threads(pool) : 1;
    struct row_sums s = {.w = w, .enc = enc, .h = h, .v = rbe_vector_best(rbe_cpu_isa())};
    enum rbe_status err = RBE_OK;

    *sum_w2 = *sum_e2 = 0;
    *lost = *noisy = 0;
    s.lost = malloc(enc->rows * sizeof *s.lost);
    s.noisy = malloc(enc->rows * sizeof *s.noisy);
    s.w2 = malloc(enc->rows * sizeof *s.w2);
    s.e2 = malloc(enc->rows * sizeof *s.e2);
    s.errors = malloc(threads * (size_t)RBE_TILE * enc->cols * sizeof *s.errors);
    s.tiles = h ? malloc(threads * sizeof *s.tiles) : NULL;
    if (!s.lost || !s.noisy || !s.w2 || !s.e2 || !s.errors || (h && !s.tiles)) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    rbe_pool_run(pool, sum_rows, &s);
    for (size_t r = 0; r < enc->rows; r++) {
        *sum_w2 += s.w2[r];
        *sum_e2 += s.e2[r];
        *lost += s.lost[r];
        *noisy += s.noisy[r];
    }
out:
    free(s.lost);
    free(s.noisy);
    free(s.w2);
    free(s.e2);
    free(s.tiles);
    free(s.errors);
    return err;
}

enum rbe_status rbe_quality_measure(struct rbe_quality *q, const float *w,
                                    const struct rbe_weight *enc, struct rbe_pool *pool,
                                    struct rbe_diag *d)
{
    const size_t n = (size_t)enc->rows * enc->cols;
    double w2, e2, peak = 0;
    enum rbe_status err;
    size_t lost, noisy;

    *q = (struct rbe_quality){0};
    if ((err = measure(&w2, &e2, &lost, &noisy, w, enc, NULL, pool, d)))
        return err;
    for (size_t i = 0; i < n; i++)
        peak = fabs((double)w[i]) > peak ? fabs((double)w[i]) : peak;
    rbe_quality_fill(q, n, enc->bytes, w2, e2, peak);
    q->lost_rows = lost;
    q->noisy_rows = noisy;
    return RBE_OK;
}

enum rbe_status rbe_quality_cost(double *cost, const float *w, const struct rbe_weight *enc,
                                 const float *h, struct rbe_pool *pool, struct rbe_diag *d)
{
    double w2, e2;
    size_t lost, noisy;
    const enum rbe_status err = measure(&w2, &e2, &lost, &noisy, w, enc, h, pool, d);

    *cost = err || e2 == 0 ? 0 : e2 / w2;
    return err;
}

double rbe_block_mean_error(const float *w, size_t rows, size_t cols, size_t block)
{
    double e2 = 0, w2 = 0;

    for (size_t r0 = 0; r0 < rows; r0 += block)
        for (size_t c0 = 0; c0 < cols; c0 += block) {
            const size_t r1 = rows - r0 < block ? rows : r0 + block;
            const size_t c1 = cols - c0 < block ? cols : c0 + block;
            double sum = 0, sq = 0;

            for (size_t r = r0; r < r1; r++)
                for (size_t c = c0; c < c1; c++) {
                    sum += w[r * cols + c];
                    sq += (double)w[r * cols + c] * w[r * cols + c];
                }
            const double left = sq - sum * sum / (double)((r1 - r0) * (c1 - c0));
            e2 += left > 0 ? left : 0;
            w2 += sq;
        }
    return w2 > 0 ? sqrt(e2 / w2) : 0;
}

/* Box and Muller. */
void rbe_white_gaussian(float *w, size_t n, uint64_t seed)
{
    uint64_t s = seed;
    double u[2];

    for (size_t i = 0; i < n; i += 2) {
        for (int k = 0; k < 2; k++)
            u[k] = ((double)(rbe_random_next(&s) >> 11) + 0.5) * 0x1p-53;
        const double r = sqrt(-2 * log(u[0])), a = 6.283185307179586476925 * u[1];
        w[i] = (float)(r * cos(a));
        if (i + 1 < n)
            w[i + 1] = (float)(r * sin(a));
    }
}

enum rbe_status rbe_quality_encode(struct rbe_quality *q, const float *w, uint32_t rows,
                                   uint32_t cols, const struct rbe_encode_options *o,
                                   struct rbe_pool *pool, struct rbe_diag *d)
{
    struct rbe_weight enc = {0};
    enum rbe_status err;

    *q = (struct rbe_quality){0};
    if (!(err = rbe_encode_weight(&enc, w, rows, cols, o, pool, d)))
        err = rbe_quality_measure(q, w, &enc, pool, d);
    rbe_weight_free(&enc);
    return err;
}

/*
 * encode_packed128.c - the best seed for each block: a grid over r and theta, the states of
 * the four slots by exhaustive choice, then Gauss-Newton (codecs.md 1).
 *
 * SPDX-License-Identifier: MIT
 *
 * W = scale * v(r, theta, S) + offset.  For given v the best scale and offset are a line
 * through (v, w), whose residual follows from n, sum v, v^2, w, v w; those sums add up over
 * slots, so the 256 choices of S cost a few operations each.  The sums of v are tables made
 * once; per block only sum v w is new.  Blocks above 32 x 32 search the grid on a subsample
 * with an odd step, which visits all four slots alike; S and the refinement use every weight.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/format/packed128.h"
#include "rbe/encode.h"

enum {
    GRID_R = 17,                /* r: -4 to 4 */
    GRID_THETA = 24,            /* theta: -1 to 2 pi - 1/4 */
    GRID = GRID_R * GRID_THETA,
    SLOTS = 4, STATES = 4,
    SAMPLE_SIDE = 32,
    KEPT = 3,                   /* grid points refined */
    STEPS = 8,                  /* of Gauss-Newton */
    GAIN = 2047,                /* D: a gain of 1 to 5 digits; scale does the rest */
};

/* Sums over the weights of one slot, or of all: of the weights alone, and with v. */
struct of_w {
    double n, w, ww;
};
struct of_v {
    double v, vv, vw;
};
struct sums {
    struct of_w w;                      /* of all slots */
    struct of_v v[SLOTS][STATES];
};

struct packed_work {
    const struct rbe_encode_job *j;
    unsigned block, step, side; /* subsample: every step-th row and column, side of them */
    float *grid;                /* [GRID][side][side][STATES] */
    atomic_bool stop;
};

/* Squared error of the best line through (v, w). */
static double residual(const struct of_w *w, const struct of_v *v, double *scale,
                       double *offset)
{
    const double vv = v->vv - v->v * v->v / w->n, ww = w->ww - w->w * w->w / w->n;
    const double vw = v->vw - v->v * w->w / w->n;

    /* A constant v says nothing: the mean alone. */
    const bool flat = !(vv > 1e-12 * v->vv);
    *scale = flat ? 0 : vw / vv;
    *offset = (w->w - *scale * v->v) / w->n;
    return flat ? ww : ww - vw * vw / vv;
}

static struct of_v plus(struct of_v a, const struct of_v *b)
{
    return (struct of_v){a.v + b->v, a.vv + b->vv, a.vw + b->vw};
}

static struct rbe_packed128 pack(float r, float theta, unsigned states, double scale,
                                 double offset)
{
    return (struct rbe_packed128){
        .lo = (uint64_t)rbe_bits_from_f32(r) << 32 | rbe_bits_from_f32(theta),
        .hi = states | GAIN << 8,
        .scale = (float)scale,
        .offset = (float)offset,
    };
}

static float grid_r(int g)
{
    return -4 + 0.5F * (float)(g / GRID_THETA);
}

static float grid_theta(int g)
{
    return -1 + 0.29F * (float)(g % GRID_THETA);
}

/* The clamped value of one state, as rendered. */
static float value(const struct rbe_packed128_seed *s, unsigned state, float x, float y)
{
    return rbe_packed128_clamp(rbe_packed128_basis(s, state, x, y) * s->gain, 0, 1);
}

/* A block of the matrix, `rows` x `cols` of it inside. */
struct tile {
    const float *w;
    size_t stride;
    unsigned rows, cols;
};

/* The best states for given sums, and their error. */
static double choose_states(const struct sums *u, unsigned *states, double *scale,
                            double *offset)
{
    const double inv = 1 / u->w.n;
    struct of_v chosen = {0};
    double most = -1;

    *states = 0;
    for (unsigned s0 = 0; s0 < STATES; s0++)
        for (unsigned s1 = 0; s1 < STATES; s1++) {
            const struct of_v two = plus(u->v[0][s0], &u->v[1][s1]);
            for (unsigned s2 = 0; s2 < STATES; s2++) {
                const struct of_v three = plus(two, &u->v[2][s2]);
                for (unsigned s3 = 0; s3 < STATES; s3++) {
                    const struct of_v all = plus(three, &u->v[3][s3]);
                    const double vv = all.vv - all.v * all.v * inv;
                    const double vw = all.vw - all.v * u->w.w * inv;
                    /* What the line explains, vw^2 / vv; a constant v explains nothing. */
                    if (vv > 1e-12 * all.vv && vw * vw > most * vv) {
                        most = vw * vw / vv;
                        *states = s0 | s1 << 2 | s2 << 4 | s3 << 6;
                        chosen = all;
                    }
                }
            }
        }
    return residual(&u->w, &chosen, scale, offset);
}

static void add_weight(struct sums *u, unsigned slot, const float v[STATES], double w)
{
    u->w.n++;
    u->w.w += w;
    u->w.ww += w * w;
    for (unsigned s = 0; s < STATES; s++) {
        struct of_v *to = &u->v[slot][s];
        const double x = v[s];
        to->v += x;
        to->vv += x * x;
        to->vw += x * w;
    }
}

/* All weights of the tile under (r, theta): best states, scale, offset; returns the error. */
static double fit_tile(const struct tile *t, unsigned block, float r, float theta,
                       struct rbe_packed128 *out)
{
    const struct rbe_packed128 p = pack(r, theta, 0, 1, 0);
    const struct rbe_packed128_seed seed = rbe_packed128_open(&p);
    struct sums u = {.w = {0}};
    double scale, offset;
    unsigned states;

    for (unsigned i = 0; i < t->rows; i++)
        for (unsigned j = 0; j < t->cols; j++) {
            const double w = t->w[i * t->stride + j];
            const float x = rbe_packed128_coordinate(j, block);
            const float y = rbe_packed128_coordinate(i, block);

            float v[STATES];
            for (unsigned s = 0; s < STATES; s++)
                v[s] = value(&seed, s, x, y);
            add_weight(&u, (31 * i + j) & 3, v, w);
        }
    const double e = choose_states(&u, &states, &scale, &offset);
    *out = pack(r, theta, states, scale, offset);
    return e;
}

/* Solves the 4 x 4 system a x = b by elimination with pivoting; false when singular. */
static bool solve4(double a[4][5], double x[4])
{
    for (int c = 0; c < 4; c++) {
        int p = c;
        for (int r = c + 1; r < 4; r++)
            p = fabs(a[r][c]) > fabs(a[p][c]) ? r : p;
        if (!(fabs(a[p][c]) > 1e-30))
            return false;
        for (int k = 0; k < 5; k++) {
            const double t = a[c][k];
            a[c][k] = a[p][k];
            a[p][k] = t;
        }
        for (int r = c + 1; r < 4; r++) {
            const double f = a[r][c] / a[c][c];
            for (int k = c; k < 5; k++)
                a[r][k] -= f * a[c][k];
        }
    }
    for (int c = 3; c >= 0; c--) {
        x[c] = a[c][4];
        for (int k = c + 1; k < 4; k++)
            x[c] -= a[c][k] * x[k];
        x[c] /= a[c][c];
    }
    return true;
}

/* The Gauss-Newton step in r and theta, with scale and offset free, for fixed states. */
static bool newton_step(const struct tile *t, unsigned block, const struct rbe_packed128 *p,
                        double *dr, double *dtheta)
{
    const float r = rbe_f32_from_bits((uint32_t)(p->lo >> 32));
    const float theta = rbe_f32_from_bits((uint32_t)p->lo), h = 1e-3F;
    const struct rbe_packed128 pr = pack(r + h, theta, 0, 1, 0);
    const struct rbe_packed128 pt = pack(r, theta + h, 0, 1, 0);
    const struct rbe_packed128_seed at = rbe_packed128_open(p), in_r = rbe_packed128_open(&pr),
                                    in_t = rbe_packed128_open(&pt);
    double a[4][5] = {{0}}, x[4];

    for (unsigned i = 0; i < t->rows; i++)
        for (unsigned j = 0; j < t->cols; j++) {
            const unsigned s = at.states >> 2 * ((31 * i + j) & 3) & 3;
            const float u = rbe_packed128_coordinate(j, block);
            const float y = rbe_packed128_coordinate(i, block);
            const double v = value(&at, s, u, y);
            const double g[5] = {v, 1, p->scale * (value(&in_r, s, u, y) - v) / h,
                                 p->scale * (value(&in_t, s, u, y) - v) / h,
                                 t->w[i * t->stride + j] - (p->scale * v + p->offset)};
            for (int m = 0; m < 4; m++)
                for (int k = 0; k < 5; k++)
                    a[m][k] += g[m] * g[k];
        }
    for (int m = 0; m < 4; m++)
        a[m][m] *= 1 + 1e-6;
    if (!solve4(a, x))
        return false;
    *dr = x[2];
    *dtheta = x[3];
    return isfinite(x[2]) && isfinite(x[3]);
}

static double refine(const struct tile *t, unsigned block, struct rbe_packed128 *p, double e)
{
    for (int step = 0; step < STEPS; step++) {
        double dr, dtheta, gain = 1;
        bool better = false;

        if (!newton_step(t, block, p, &dr, &dtheta))
            break;
        for (int half = 0; half < 4 && !better; half++, gain /= 4) {
            const float r = rbe_f32_from_bits((uint32_t)(p->lo >> 32)) + (float)(gain * dr);
            const float theta = rbe_f32_from_bits((uint32_t)p->lo) + (float)(gain * dtheta);
            struct rbe_packed128 q;

            if (!(fabsf(r) < 100 && fabsf(theta) < 100))
                continue;
            const double f = fit_tile(t, block, r, theta, &q);
            better = f < e * (1 - 1e-7);
            if (better) {
                e = f;
                *p = q;
            }
        }
        if (!better)
            break;
    }
    return e;
}

/* Errors of all grid points on the subsample; the best KEPT in order. */
static void search_grid(const struct packed_work *k, const struct tile *t, int best[KEPT])
{
    double error[KEPT];

    for (int b = 0; b < KEPT; b++) {
        best[b] = -1;
        error[b] = INFINITY;
    }
    for (int g = 0; g < GRID; g++) {
        struct sums u = {.w = {0}};
        double scale, offset;
        unsigned states;

        for (unsigned a = 0; a < k->side && a * k->step < t->rows; a++)
            for (unsigned c = 0; c < k->side && c * k->step < t->cols; c++) {
                const unsigned i = a * k->step, j = c * k->step;
                const double w = t->w[i * t->stride + j];
                add_weight(&u, (31 * i + j) & 3,
                           k->grid + (((size_t)g * k->side + a) * k->side + c) * STATES, w);
            }
        double e = choose_states(&u, &states, &scale, &offset);
        int at = g;
        for (int b = 0; b < KEPT; b++)
            if (e < error[b]) {
                const double f = error[b];
                const int was = best[b];
                error[b] = e, best[b] = at;
                e = f, at = was;
            }
    }
}

static void encode_tile(const struct packed_work *k, const struct tile *t,
                        struct rbe_packed128 *out)
{
    double best = INFINITY;
    int start[KEPT];

    search_grid(k, t, start);
    for (int b = 0; b < KEPT; b++) {
        struct rbe_packed128 p;
        if (start[b] < 0)
            continue;
        double e = fit_tile(t, k->block, grid_r(start[b]), grid_theta(start[b]), &p);
        e = refine(t, k->block, &p, e);
        if (e < best) {
            best = e;
            *out = p;
        }
    }
}

static void do_tiles(void *arg, unsigned part, unsigned parts)
{
    struct packed_work *k = arg;
    const struct rbe_matrix *m = k->j->m;
    const size_t across = rbe_packed128_blocks(m->cols, k->block);
    struct rbe_packed128 *codes = k->j->codes;
    size_t first, end;

    rbe_split(rbe_packed128_blocks(m->rows, k->block) * across, 1, part, parts, &first, &end);
    for (size_t i = first; i < end && !atomic_load(&k->stop); i++) {
        const size_t r0 = i / across * k->block, c0 = i % across * k->block;
        const size_t rows = m->rows - r0, cols = m->cols - c0;
        const struct tile t = {k->j->w + r0 * m->cols + c0, m->cols,
                               rows < k->block ? (unsigned)rows : k->block,
                               cols < k->block ? (unsigned)cols : k->block};

        encode_tile(k, &t, &codes[i]);
        if (part == 0 && !rbe_encode_tick(k->j, (double)(i + 1 - first) /
                                                    (double)(end - first)))
            atomic_store(&k->stop, true);
    }
}

static enum rbe_status encode(const struct rbe_encode_job *j, struct rbe_diag *d)
{
    struct packed_work k = {.j = j, .block = j->m->block};

    /* An odd step: i and j then take every residue that picks a slot. */
    k.step = (k.block + SAMPLE_SIDE - 1) / SAMPLE_SIDE;
    k.step += k.step % 2 == 0;
    k.side = (k.block + k.step - 1) / k.step;
    atomic_init(&k.stop, false);
    k.grid = malloc((size_t)GRID * STATES * k.side * k.side * sizeof *k.grid);
    if (!k.grid)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    float *v = k.grid;
    for (int g = 0; g < GRID; g++) {
        const struct rbe_packed128 p = pack(grid_r(g), grid_theta(g), 0, 1, 0);
        const struct rbe_packed128_seed seed = rbe_packed128_open(&p);

        for (unsigned i = 0; i < k.side; i++)
            for (unsigned c = 0; c < k.side; c++)
                for (unsigned s = 0; s < STATES; s++)
                    *v++ = value(&seed, s, rbe_packed128_coordinate(c * k.step, k.block),
                                 rbe_packed128_coordinate(i * k.step, k.block));
    }
    rbe_pool_run(j->pool, do_tiles, &k);
    free(k.grid);
    return atomic_load(&k.stop) ? rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted") : RBE_OK;
}

const struct rbe_encoder rbe_encoder_packed128 = {.encode = encode};

/*
 * encode_int.c - int8 and int4: groups of columns, one f16 scale each, round to nearest.
 *
 * SPDX-License-Identifier: MIT
 *
 * Plain: scale = largest |w| / largest code, the baseline that every table shows.  With
 * scale_search the scale of least squared error (weighted by the moment's diagonal) of a
 * small grid is taken instead, -8 used too.
 */
#include <math.h>
#include <string.h>

#include "kernels/f16.h"
#include "kernels/format/int4.h"
#include "kernels/format/int8.h"
#include "rbe/encode.h"

enum { MAX_GROUP = RBE_INT8_GROUP };

struct int_work {
    const struct rbe_encode_job *j;
    size_t group, groups;       /* columns of a group; scales of a row */
    int low, high;              /* codes searched with scale_search; +-high without */
};

/* Codes of n weights under a stored scale; returns the weighted squared error. */
static double round_group(int *code, const float *w, size_t n, uint16_t scale, int low,
                          int high, const float *h, size_t h_step)
{
    const float s = rbe_f16_to_f32(scale), inv = s != 0 ? 1 / s : 0;
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        const long c = lrintf(fminf(fmaxf(w[i] * inv, (float)low), (float)high));
        const double e = (double)((float)c * s) - w[i];

        code[i] = (int)c;
        sum += e * e * (h ? (double)h[i * h_step] : 1);
    }
    return sum;
}

static uint16_t search(const struct int_work *k, const float *w, size_t n, float max,
                       size_t col)
{
    const float *h = k->j->moment ? k->j->moment + col * (k->j->m->cols + 1) : NULL;
    const float base = max / (float)k->high;
    double best = INFINITY;
    uint16_t scale = rbe_f16_from_f32(base);
    int code[MAX_GROUP];

    /* 0.6 to 1.1 of the plain scale, either sign: the longer side reaches -8. */
    for (int i = 0; i <= 50; i++)
        for (int sign = 1; sign >= -1; sign -= 2) {
            const uint16_t s = rbe_f16_from_f32((float)sign * base * (0.6F + 0.01F * (float)i));
            const double e =
                round_group(code, w, n, s, k->low, k->high, h, k->j->m->cols + 1);
            if (e < best) {
                best = e;
                scale = s;
            }
        }
    return scale;
}

static void encode_rows(void *arg, unsigned part, unsigned parts)
{
    const struct int_work *k = arg;
    const struct rbe_matrix *m = k->j->m;
    int code[MAX_GROUP];
    size_t r0, r1;

    rbe_split(m->rows, 1, part, parts, &r0, &r1);
    for (size_t r = r0; r < r1; r++)
        for (size_t c0 = 0; c0 < m->cols; c0 += k->group) {
            const size_t n = m->cols - c0 < k->group ? m->cols - c0 : k->group;
            const float *w = k->j->w + r * m->cols + c0;
            const bool wide = k->j->o->scale_search;
            float max = 0;

            for (size_t i = 0; i < n; i++)
                max = fmaxf(max, fabsf(w[i]));
            const uint16_t s = wide ? search(k, w, n, max, c0)
                                    : rbe_f16_from_f32(max / (float)k->high);
            round_group(code, w, n, s, wide ? k->low : -k->high, k->high, NULL, 0);
            k->j->scale[r * k->groups + c0 / k->group] = s;
            for (size_t i = 0; i < n; i++)
                if (m->format == RBE_INT8)
                    ((int8_t *)k->j->codes)[rbe_int8_at(m->cols, r, c0 + i)] = (int8_t)code[i];
                else
                    rbe_int4_put(k->j->codes, m->cols, r, c0 + i, code[i]);
        }
}

static enum rbe_status run(struct int_work *k, struct rbe_diag *d)
{
    const struct rbe_matrix *m = k->j->m;
    const float limit = 65504.0F * (float)k->high;
    const size_t n = (size_t)m->rows * m->cols;

    for (size_t i = 0; i < n; i++)
        if (fabsf(k->j->w[i]) > limit)
            return rbe_fail(d, RBE_ERR_NUMERIC, "%g at row %zu, column %zu is too large",
                            (double)k->j->w[i], i / m->cols, i % m->cols);
    rbe_pool_run(k->j->pool, encode_rows, k);
    return RBE_OK;
}

static enum rbe_status encode_int8(const struct rbe_encode_job *j, struct rbe_diag *d)
{
    struct int_work k = {j, RBE_INT8_GROUP, rbe_int8_groups(j->m->cols), -127, 127};
    return run(&k, d);
}

static enum rbe_status encode_int4(const struct rbe_encode_job *j, struct rbe_diag *d)
{
    struct int_work k = {j, RBE_INT4_GROUP, rbe_int4_groups(j->m->cols), -8, 7};
    return run(&k, d);
}

const struct rbe_encoder rbe_encoder_int8 = {.encode = encode_int8};
const struct rbe_encoder rbe_encoder_int4 = {.encode = encode_int4};

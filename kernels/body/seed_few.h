/*
 * seed_few.h - products of seeds and few vectors, in the words of seed_gemv.h.
 *
 * SPDX-License-Identifier: MIT
 *
 * A window becomes weights once for 2, 4 or 8 vectors, whose sums stand in registers beside
 * each other: as many rows are taken at a time as that leaves room for.  The integers are those
 * of the product with one vector, and so are the floats.  A count between these goes as the
 * next one, and the last vector's sums are made again for those that are not there.
 *
 * Shift counts come from memory here: they are paid for once for all vectors, and the
 * loops of every block in every count would be large.
 */
#ifndef RBE_KERNELS_BODY_SEED_FEW_H
#define RBE_KERNELS_BODY_SEED_FEW_H

#include "kernels/body/seed_gemv.h"

enum {
    FEW_SUMS = VEC_ROWS == 16 ? 24 : 10,        /* in registers */
    FEW_ROWS = 8,                               /* of a pass, at most */
};

/* Rows of a pass. */
#define FEW_ROWS_OF(vectors)                                                                   \
    (FEW_SUMS / (vectors) < FEW_ROWS ? FEW_SUMS / (vectors) : FEW_ROWS)

/* `rows` rows of one word; the sums of vector v are in sum[v]. */
INLINE void multiply_few(const unsigned vectors, const unsigned rows, const struct pass *p,
                         const act_word *const *q, const struct row_const *k,
                         acc (*restrict sum)[SUMS_MAX])
{
    const uint8_t *low = p->low, *high = p->high;
    const size_t end = p->groups * RBE_SEED_LANES;
    uintptr_t ahead = p->ahead;
    acc s[FEW_ROWS][RBE_FEW_MAX];

    RBE_UNROLL
    for (unsigned r = 0; r < rows; r++) {
        RBE_UNROLL
        for (unsigned v = 0; v < vectors; v++)
            s[r][v] = p->add ? sum[v][r] : acc_zero();
    }
    for (size_t n = 0; n < end; low += p->low_step, high += p->high_step) {
        __builtin_prefetch((const void *)ahead);
        ahead += LINE_BYTES;
        for (int part = 0; part < LINE_VECS; part++, n += U16_LANES) {
            const u16x w0 = u16_load(low + part * U16_LANES * 2);
            const u16x w1 = u16_load(high + part * U16_LANES * 2);
            u16x g[FEW_ROWS];
            RBE_UNROLL
            for (unsigned r = 0; r < rows; r++)
                g[r] = map(window(w0, w1, &k[r].shifts), &k[r]);
            RBE_UNROLL
            for (unsigned v = 0; v < vectors; v++) {
                const act x = act_load(q[v] + n);
                RBE_UNROLL
                for (unsigned r = 0; r < rows; r++)
                    s[r][v] = dot(s[r][v], g[r], x);
            }
        }
    }
    RBE_UNROLL
    for (unsigned r = 0; r < rows; r++) {
        RBE_UNROLL
        for (unsigned v = 0; v < vectors; v++)
            sum[v][r] = s[r][v];
    }
}

/* The same with a number of rows that is not known; there are no more than FEW_ROWS_OF(). */
static void multiply_few_any(unsigned vectors, unsigned rows, const struct pass *p,
                             const act_word *const *q, const struct row_const *k,
                             acc (*sum)[SUMS_MAX])
{
#define CASE(v, r)                                                                             \
    case r:                                                                                    \
        if (r <= FEW_ROWS_OF(v))                                                               \
            multiply_few(v, r, p, q, k, sum);                                                  \
        break;
#define CASES(v)                                                                               \
    switch (rows) {                                                                            \
        CASE(v, 1) CASE(v, 2) CASE(v, 3) CASE(v, 4) CASE(v, 5) CASE(v, 6) CASE(v, 7)           \
        CASE(v, 8)                                                                             \
    }
    if (vectors == 2)
        CASES(2)
    else if (vectors == 4)
        CASES(4)
    else
        CASES(8)
#undef CASES
#undef CASE
}

/* Some columns of a strip, for the rows from c on, as many as there is room for; c ends behind
 * them. */
static unsigned multiply_few_part(unsigned vectors, const struct strip *s, size_t stride,
                                  size_t count, struct cursor *c, acc (*sums)[SUMS_MAX])
{
    const unsigned most = FEW_ROWS_OF(vectors);
    const act_word *q[RBE_FEW_MAX];
    unsigned made = 0;

    for (unsigned v = 0; v < vectors; v++)
        q[v] = s->q + (v < count ? v : count - 1) * stride;
    while (c->i < c->used && made + VEC_ROWS <= SUMS_MAX) {
        const unsigned word = c->bit / 16;
        const struct pass p = pass_at(s, word, 1);
        struct row_const k[FEW_ROWS];
        const unsigned n = take_rows(c, word, most, k);
        multiply_few_any(vectors, n, &p, q, k, (acc(*)[SUMS_MAX])(sums[0] + made));
        made += n;
    }
    return made;
}

/* o: of each of the count vectors. */
static void multiply_few_strip(const struct strip *s, size_t stride, size_t count,
                               const struct strip_out *o)
{
    const unsigned vectors = count > 4 ? 8 : count > 2 ? 4 : 2;
    const size_t blocks = (s->groups + BLOCK_GROUPS - 1) / BLOCK_GROUPS;
    struct cursor c = first_row(o);
    acc sums[RBE_FEW_MAX][SUMS_MAX];

    while (c.i < c.used) {
        const struct cursor start = c;
        unsigned made = 0;
        for (size_t b = 0; b < blocks; b++) {
            const size_t g = s->groups * b / blocks, end = s->groups * (b + 1) / blocks;
            const struct strip part = columns(s, g, end - g);
            c = start;
            made = multiply_few_part(vectors, &part, stride, count, &c, sums);
        }
        for (size_t v = 0; v < count; v++)
            put_sums(&o[v], sums[v], start.i, made);
    }
}

static void few_seeds(const struct rbe_matrix *w, const struct rbe_act *a, float *y, size_t ldy,
                      size_t row0, size_t row1)
{
    uint32_t sum[RBE_FEW_MAX];

    for (size_t t = 0; t < a->count; t++)
        sum[t] = act_sum(w, a, t);
    for (size_t r = row0; r < row1; r += w->block) {
        const struct strip s = strip_of(w, a, r);
        struct strip_out o[RBE_FEW_MAX];
        for (size_t t = 0; t < a->count; t++)
            o[t] = out_of(w, a, t, sum[t], y + t * ldy, r, row1);
        multiply_few_strip(&s, a->stride, a->count, o);
    }
}

#endif

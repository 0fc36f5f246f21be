/*
 * seed_gemv.h - the one seed GEMV; an ISA's file gives it vectors to work with.
 *
 * SPDX-License-Identifier: MIT
 *
 * The windows of a strip are taken word by word: all rows whose window starts in word j need
 * only lines j and j + 1, so for up to VEC_ROWS such rows the accumulators live in registers
 * while one pass over the columns loads two lines and the activations.  A strip is read once
 * from memory, in line order; each line is asked for a few kilobytes ahead.
 *
 * The includer defines, for `vec` (VEC_LANES 16-bit lanes):
 *   struct row_const            what one row needs: shift counts, row term
 *   set_row(k, shift, term)     fills it
 *   vec_load, vec_zero
 *   window(w0, w1, k)           (w1:w0) >> shift, low 16 bits
 *   map(u, k)                   the integer weights g
 *   dot(sum, g, x)              32-bit sums of products of lane pairs, wrapping
 *   reduce(out, sums, n)        out[i] = the sum of the 32-bit lanes of sums[i], i < n <= 16;
 *                               may read and write up to 16
 *   finish(y, sum, scale, s, n) y[i] = (float)sum[i] * (f16 scale[i] * s), i < n
 *   OFFSET                      map() gives g + OFFSET: taken off again with sum(q)
 *   ROW_TERM                    1 when map() depends on the row and not on the window alone
 */
#ifndef RBE_KERNELS_FORMAT_SEED_GEMV_H
#define RBE_KERNELS_FORMAT_SEED_GEMV_H

#include "kernels/format/seed.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    LINE_BYTES = RBE_SEED_LANES * 2,
    GROUP_BYTES = LINE_BYTES * RBE_SEED_WORDS,
    LINE_VECS = RBE_SEED_LANES / VEC_LANES,
    SUMS_MAX = 128,             /* rows whose sums wait for their reduction */
    PREFETCH_BYTES = 6144,
};

/* One pass over the columns: where the lines are, and how far ahead to ask for more. */
struct pass {
    const uint8_t *low, *high;  /* lines j and j + 1 of the first group */
    const int16_t *q;
    size_t groups;
    uintptr_t ahead;            /* bytes from low to the line to prefetch */
};

#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) \
                     DO(12) DO(13) DO(14) DO(15)

INLINE void multiply_rows(const int n, const struct pass *p, const struct row_const *k,
                          vec *restrict sum)
{
    const uint8_t *low = p->low, *high = p->high;
    const int16_t *q = p->q, *const end = q + p->groups * RBE_SEED_LANES;
    const uintptr_t ahead = p->ahead;
#define START(i) vec sum##i = vec_zero();
    EACH_ROW(START)
#undef START

    for (; q < end; low += GROUP_BYTES, high += GROUP_BYTES) {
        __builtin_prefetch((const void *)((uintptr_t)low + ahead));
        for (int part = 0; part < LINE_VECS; part++, q += VEC_LANES) {
            const vec w0 = vec_load(low + part * VEC_LANES * 2);
            const vec w1 = vec_load(high + part * VEC_LANES * 2);
            const vec x = vec_load(q);
#define STEP(i) if (i < n) sum##i = dot(sum##i, map(window(w0, w1, &k[i]), &k[i]), x);
            EACH_ROW(STEP)
#undef STEP
        }
    }
#define STORE(i) if (i < n) sum[i] = sum##i;
    EACH_ROW(STORE)
#undef STORE
}

/* n is 1..VEC_ROWS: one copy of the loop for each. */
static void multiply(int n, const struct pass *p, const struct row_const *k, vec *sum)
{
    switch (n) {
#define CASE(i) case i + 1: if (i < VEC_ROWS) multiply_rows(i + 1, p, k, sum); break;
    EACH_ROW(CASE)
#undef CASE
    }
}

/* Where a strip's sums go. */
struct strip_out {
    float *y;                   /* of the strip's first row */
    const uint16_t *scale;
    float act_scale;
    int32_t offset;
    unsigned rows, block;
};

/* Reduces sums[0 .. made), which belong to the rows from `first` on. */
static void put_rows(const struct strip_out *o, vec *sums, unsigned first, unsigned made)
{
    int32_t total[SUMS_MAX + 16];

    for (unsigned j = 0; j < made; j += 16)
        reduce(total + j, sums + j, (int)(made - j < 16 ? made - j : 16));
    for (unsigned j = 0; OFFSET != 0 && j < made; j++)
        total[j] = (int32_t)((uint32_t)total[j] - (uint32_t)o->offset);
    finish(o->y + first, total, o->scale + first, o->act_scale, made);
}

/* The same where sums[b] belongs to every row whose window starts at bit b. */
static void put_shared(const struct strip_out *o, vec *sums, unsigned made)
{
    int32_t total[SUMS_MAX + 16], row[SUMS_MAX];

    for (unsigned j = 0; j < made; j += 16)
        reduce(total + j, sums + j, (int)(made - j < 16 ? made - j : 16));
    for (unsigned i = 0; i < o->rows; i += SUMS_MAX) {
        const unsigned n = o->rows - i < SUMS_MAX ? o->rows - i : SUMS_MAX;
        for (unsigned j = 0; j < n; j++)
            row[j] = total[rbe_seed_bit(i + j, o->block)];
        finish(o->y + i, row, o->scale + i, o->act_scale, n);
    }
}

/*
 * Row i of the strip reads window floor(128 i / B).  With B > 128 neighbouring rows share a
 * window; without a row term they share its sum too, and only 128 sums are made.
 */
static void multiply_strip(const struct rbe_matrix *w, const int16_t *q, size_t strip,
                           const struct strip_out *o)
{
    const bool shared = !ROW_TERM && o->block > 128;
    const unsigned steps = shared ? 128 : o->block;     /* windows taken from the 128 bits */
    const unsigned used = shared ? rbe_seed_bit(o->rows - 1, o->block) + 1 : o->rows;
    const size_t groups = rbe_seed_groups(w->cols), strip_bytes = groups * GROUP_BYTES;
    const uint8_t *base = (const uint8_t *)w->codes + strip * strip_bytes;
    const size_t far = (PREFETCH_BYTES - 1) / (groups * LINE_BYTES) + 1;
    const unsigned lines_ahead = far < RBE_SEED_WORDS ? (unsigned)far : RBE_SEED_WORDS - 1;
    vec sums[SUMS_MAX + 16];
    unsigned made = 0, first = 0;

    for (unsigned i = 0, bit = 0, rest = 0; i < used;) {    /* 128 i = bit * steps + rest */
        const unsigned word = bit / 16;
        const bool wraps = word + 1 + lines_ahead >= RBE_SEED_WORDS;
        struct row_const k[VEC_ROWS];
        struct pass p = {
            .low = base + word * LINE_BYTES,
            .high = base + (word + 1) * LINE_BYTES,
            .q = q,
            .groups = groups,
            .ahead = (1 + lines_ahead) * LINE_BYTES + (wraps ? strip_bytes - GROUP_BYTES : 0),
        };
        int n = 0;

        if (word + 1 == RBE_SEED_WORDS) {       /* line 0 of the strip below; the last wraps */
            const bool last = strip + 1 == rbe_seed_strips(w->rows, o->block);
            p.high = last ? (const uint8_t *)w->codes : base + strip_bytes;
        }
        for (; n < VEC_ROWS && i < used && bit / 16 == word; n++, i++) {
            set_row(&k[n], bit % 16, i);
            bit += 128 / steps;
            rest += 128 % steps;
            if (rest >= steps) {
                rest -= steps;
                bit++;
            }
        }
        multiply(n, &p, k, sums + made);
        made += (unsigned)n;
        if (!shared && (made + VEC_ROWS > SUMS_MAX || i == used)) {
            put_rows(o, sums, first, made);
            first = i;
            made = 0;
        }
    }
    if (shared)
        put_shared(o, sums, made);
}

static void multiply_matrix(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                            size_t row0, size_t row1)
{
    uint32_t sum = 0;

    for (size_t n = 0; OFFSET != 0 && n < w->cols; n++)
        sum += (uint32_t)a->q[n];
    for (size_t r = row0; r < row1; r += w->block) {
        const struct strip_out o = {
            .y = y + r,
            .scale = w->scale + r,
            .act_scale = a->scale[0],
            .offset = (int32_t)(sum * OFFSET),
            .rows = (unsigned)(row1 - r < w->block ? row1 - r : w->block),
            .block = w->block,
        };
        multiply_strip(w, a->q, r / w->block, &o);
    }
}

#endif

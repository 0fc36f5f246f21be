/*
 * seed_gemv.h - the one seed GEMV, of `seed` or, where MAP_SEED4 is 1, of `seed4`.
 *
 * SPDX-License-Identifier: MIT
 *
 * A pass over the columns serves the rows whose windows start in one word, or in two: their
 * accumulators live in registers, and each step loads two or three lines and the activations.
 * Where B is a multiple of 4, every two words of a strip hold B / 4 rows at the same shifts:
 * for the fast ones (seed.h) these loops are compiled with their shift counts as immediates.
 * While a strip is multiplied, the next is asked for line by line, in the order of memory.
 *
 * Written in u16x (an ISA's simd header) and in what its seed header defines:
 *   struct shifts, shifts_of(n) the counts that take a window n bits up a word
 *   window(w0, w1, shifts)      (w1:w0) >> n, low 16 bits
 *   window_fixed(w0, w1, n)     the same, n a constant
 *   dot(sum, g, x)              32-bit sums of products of lane pairs, wrapping
 *   reduce(out, sums, n)        out[i] = the sum of the 32-bit lanes of sums[i], i < n <= 16;
 *                               may read and write up to 16
 *   finish(y, sum, scale, s, n) y[i] = (float)sum[i] * (f16 scale[i] * s), i < n
 *   VEC_ROWS                    accumulators a pass
 * and, with SPLIT_SUMS, acc (a row's sum, else a u16x), act (activations, else a u16x),
 * acc_zero and act_load, and nibble_bytes with BYTE_WEIGHTS (seed_map.h).
 *
 * With ACT8 activations are the pairs of struct rbe_act, of 8 bits, and BYTE_WEIGHTS is defined
 * too.  Where UNSIGNED_ACT is 1, dot() takes q + 128 as they are, which the sum of the row's
 * weights makes good; else q.
 */
#ifndef RBE_KERNELS_BODY_SEED_GEMV_H
#define RBE_KERNELS_BODY_SEED_GEMV_H

#include "kernels/body/seed_map.h"
#include "kernels/body/unroll.h"
#include "kernels/format/seed.h"

#ifdef ACT8
typedef uint16_t act_word;
#define ACT_WORDS(a) (a)->pair
#else
typedef int16_t act_word;
#define ACT_WORDS(a) (a)->q
#define UNSIGNED_ACT 0
#endif

#ifndef SPLIT_SUMS
typedef u16x acc;
typedef u16x act;

static inline acc acc_zero(void)
{
    return u16_set(0);
}

static inline act act_load(const act_word *q)
{
#if defined ACT8 && !UNSIGNED_ACT
    return u16_xor(u16_load(q), u16_set(0x8080));
#else
    return u16_load(q);
#endif
}
#endif

enum {
    LINE_BYTES = RBE_SEED_LANES * 2,
    LINE_VECS = RBE_SEED_LANES / U16_LANES,
    SUMS_MAX = 128 + VEC_ROWS,  /* rows whose sums wait for their reduction */
    BLOCK_GROUPS = 24,          /* column groups at a time: 12 kB, and as much ahead, fit L1 */
    AHEAD_BYTES = 8192,         /* how far ahead of their use lines are asked for, at least */
};

/* One pass over the columns, for rows whose windows start in word j or j + 1. */
struct pass {
    const uint8_t *low, *high;  /* lines j and j + 2 (two words) or j + 1 of the first group */
    size_t low_step, high_step; /* bytes from group to group */
    const act_word *q;
    size_t groups;
    uintptr_t ahead;            /* address of the first line to ask for */
    bool add;                   /* to the sums; otherwise they are set */
};

#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) \
                     DO(12) DO(13) DO(14) DO(15)

/*
 * n0 rows of word j and n1 of word j + 1.  With a block, they are rows r0, r0 + 1, ... of two
 * words that start at a multiple of 32 bits; with block 0, k has the shifts.
 */
INLINE void multiply_rows(const unsigned block, const unsigned r0, const unsigned n0,
                          const unsigned n1, const struct pass *p, const struct row_const *k,
                          acc *restrict sum)
{
    const uint8_t *low = p->low, *high = p->high;
    const act_word *q = p->q, *const end = q + p->groups * RBE_SEED_LANES;
    uintptr_t ahead = p->ahead;
#define START(i) acc sum##i = acc_zero();
    EACH_ROW(START)
#undef START
#define LOAD(i) if (i < n0 + n1) sum##i = sum[i];
    if (p->add) {
        EACH_ROW(LOAD)
    }
#undef LOAD

    for (; q < end; low += p->low_step, high += p->high_step) {
        __builtin_prefetch((const void *)ahead);
        ahead += LINE_BYTES;
        if (n1 > 0) {
            __builtin_prefetch((const void *)ahead);
            ahead += LINE_BYTES;
        }
        for (int part = 0; part < LINE_VECS; part++, q += U16_LANES) {
            const u16x w0 = u16_load(low + part * U16_LANES * 2);
            const u16x w2 = u16_load(high + part * U16_LANES * 2);
            const u16x w1 = n1 > 0 ? u16_load(low + LINE_BYTES + part * U16_LANES * 2) : w2;
            const act x = act_load(q);
#define STEP(i)                                                                                \
    if (i < n0 + n1) {                                                                         \
        const u16x first = i < n0 ? w0 : w1, second = i < n0 ? w1 : w2;                        \
        const u16x u =                                                                         \
            block ? window_fixed(first, second, 128 * (r0 + i) / (block | !block) % 16)        \
                  : window(first, second, &k[i].shifts);                                       \
        sum##i = dot(sum##i, map(u, &k[i]), x);                                                \
    }
            EACH_ROW(STEP)
#undef STEP
        }
    }
#define STORE(i) if (i < n0 + n1) sum[i] = sum##i;
    EACH_ROW(STORE)
#undef STORE
}

static void multiply_any(unsigned n, const struct pass *p, const struct row_const *k, acc *sum)
{
    switch (n) {
#define CASE(i)                                                                               \
    case i + 1:                                                                               \
        if (i < VEC_ROWS)                                                                     \
            multiply_rows(0, 0, i + 1, 0, p, k, sum);                                         \
        break;
        EACH_ROW(CASE)
#undef CASE
    }
}

/* Some columns of a strip. */
struct strip {
    const uint8_t *base, *below;        /* below: the strip that goes on with its bits */
    unsigned words, below_words;
    const act_word *q;
    size_t groups;
    uintptr_t ahead;                    /* what to ask for while they are multiplied */
    bool add;
};

/* The columns of groups [g, g + n) of a strip. */
INLINE struct strip columns(const struct strip *s, size_t g, size_t n)
{
    const size_t group = s->words * LINE_BYTES, bytes = n * group;
    return (struct strip){
        .base = s->base + g * group,
        .below = s->below + g * s->below_words * LINE_BYTES,
        .words = s->words,
        .below_words = s->below_words,
        .q = s->q + g * RBE_SEED_LANES,
        .groups = n,
        .ahead = (uintptr_t)s->base + g * group + (AHEAD_BYTES / bytes + 1) * bytes,
        .add = g > 0,
    };
}

INLINE struct pass pass_at(const struct strip *s, unsigned word, unsigned words)
{
    const unsigned high = word + words;
    const bool inside = high < s->words;
    return (struct pass){
        .low = s->base + word * LINE_BYTES,
        .high = inside ? s->base + high * LINE_BYTES : s->below,
        .low_step = s->words * LINE_BYTES,
        .high_step = (inside ? s->words : s->below_words) * LINE_BYTES,
        .q = s->q,
        .groups = s->groups,
        .ahead = s->ahead + word * s->groups * LINE_BYTES,
        .add = s->add,
    };
}

/* Rows r0 .. r0 + n0 + n1 of the block / 4 that start in words 2 pair and 2 pair + 1. */
INLINE void multiply_some(const unsigned block, const unsigned r0, const unsigned n0,
                          const unsigned n1, const struct strip *s, unsigned pair, acc *sums)
{
    const unsigned row = pair * (block / 4) + r0, word = 2 * pair + 128 * r0 / block / 16;
    const struct pass p = pass_at(s, word, n1 > 0 ? 2 : 1);
    struct row_const k[VEC_ROWS];

    for (unsigned i = 0; ROW_TERM && i < n0 + n1; i++)
        set_row(&k[i], 0, row + i);
    multiply_rows(block, r0, n0, n1, &p, k, sums + row);
}

INLINE void multiply_word(const unsigned block, const unsigned r0, const unsigned n,
                          const struct strip *s, unsigned pair, acc *sums)
{
    const unsigned half = n > VEC_ROWS ? (n + 1) / 2 : n;

    multiply_some(block, r0, half, 0, s, pair, sums);
    if (half < n)
        multiply_some(block, r0 + half, n - half, 0, s, pair, sums);
}

/* A whole strip of a block that is a multiple of 4. */
INLINE void multiply_fixed(const unsigned block, const struct strip *s, acc *sums)
{
    const unsigned even = (block + 7) / 8, odd = block / 4 - even;

    for (unsigned pair = 0; pair < RBE_SEED_WORDS / 2; pair++) {
        if (even + odd <= VEC_ROWS) {
            multiply_some(block, 0, even, odd, s, pair, sums);
        } else {
            multiply_word(block, 0, even, s, pair, sums);
            multiply_word(block, even, odd, s, pair, sums);
        }
    }
}

static bool multiply_whole(unsigned block, const struct strip *s, acc *sums)
{
    switch (block) {
#define CASE(b)                                                                               \
    case b:                                                                                   \
        multiply_fixed(b, s, sums);                                                           \
        return true;
        RBE_SEED_FAST_BLOCKS(CASE)
#undef CASE
    }
    return false;
}

/* Where a strip's sums go. */
struct strip_out {
    float *y;                   /* of the strip's first row */
    const uint16_t *scale;
    float act_scale;
    int32_t offset;
    const int32_t *row_sum;             /* of the same, with UNSIGNED_ACT */
    unsigned rows, block;
};

/* From sums of weights times q + 128 to those times q. */
static inline void take_offset(int32_t *total, const struct strip_out *o, unsigned first,
                               unsigned n)
{
    for (unsigned j = 0; UNSIGNED_ACT && j < n; j++)
        total[j] = (int32_t)((uint32_t)total[j] - 128 * (uint32_t)o->row_sum[first + j]);
}

/* Reduces sums[0 .. made), which belong to the rows from `first` on. */
static void put_rows(const struct strip_out *o, acc *sums, unsigned first, unsigned made)
{
    int32_t total[SUMS_MAX];

    for (unsigned j = 0; j < made; j += 16)
        reduce(total + j, sums + j, (int)(made - j < 16 ? made - j : 16));
    for (unsigned j = 0; OFFSET != 0 && j < made; j++)
        total[j] = (int32_t)((uint32_t)total[j] - (uint32_t)o->offset);
    take_offset(total, o, first, made);
    finish(o->y + first, total, o->scale + first, o->act_scale, made);
}

/* The same where sums[b] belongs to every row whose window starts at bit b. */
static void put_shared(const struct strip_out *o, acc *sums, unsigned made)
{
    int32_t total[SUMS_MAX], row[SUMS_MAX];

    for (unsigned j = 0; j < made; j += 16)
        reduce(total + j, sums + j, (int)(made - j < 16 ? made - j : 16));
    for (unsigned i = 0; i < o->rows; i += SUMS_MAX) {
        const unsigned n = o->rows - i < SUMS_MAX ? o->rows - i : SUMS_MAX;
        for (unsigned j = 0; j < n; j++)
            row[j] = total[rbe_seed_bit(i + j, o->block)];
        take_offset(row, o, i, n);
        finish(o->y + i, row, o->scale + i, o->act_scale, n);
    }
}

/* Walks the windows of a strip: window i starts at bit floor(128 i / steps). */
struct cursor {
    unsigned i, bit, rest, steps, used;     /* 128 i = bit * steps + rest */
    unsigned bit_step, rest_step;           /* 128 = bit_step * steps + rest_step */
};

/* Takes the rows whose windows start in this word, at most max; returns how many. */
static inline unsigned take_rows(struct cursor *c, unsigned word, unsigned max,
                                 struct row_const *k)
{
    unsigned n = 0;

    for (; n < max && c->i < c->used && c->bit / 16 == word; n++, c->i++) {
        set_row(&k[n], c->bit % 16, c->i);
        c->bit += c->bit_step;
        c->rest += c->rest_step;
        if (c->rest >= c->steps) {
            c->rest -= c->steps;
            c->bit++;
        }
    }
    return n;
}

/* The sums of the rows from c on, as many as there is room for; c ends behind them. */
static unsigned multiply_part(const struct strip *s, struct cursor *c, acc *sums)
{
    unsigned made = 0;

    while (c->i < c->used && made + VEC_ROWS <= SUMS_MAX) {
        const unsigned word = c->bit / 16;
        const struct pass p = pass_at(s, word, 1);
        struct row_const k[VEC_ROWS];
        const unsigned n = take_rows(c, word, VEC_ROWS, k);
        multiply_any(n, &p, k, sums + made);
        made += n;
    }
    return made;
}

/* Whether rows share their windows' sums: with B > 128 neighbours share a window, and without a
 * row term its sum too; only 128 sums are made then. */
static inline bool rows_share(const struct strip_out *o)
{
    return !ROW_TERM && o->block > 128;
}

/* Row i of the strip reads window floor(128 i / B). */
static inline struct cursor first_row(const struct strip_out *o)
{
    const unsigned steps = rows_share(o) ? 128 : o->block;

    return (struct cursor){
        .steps = steps,
        .used = rows_share(o) ? rbe_seed_bit(o->rows - 1, o->block) + 1 : o->rows,
        .bit_step = 128 / steps,
        .rest_step = 128 % steps,
    };
}

static void put_sums(const struct strip_out *o, acc *sums, unsigned first, unsigned made)
{
    if (rows_share(o))
        put_shared(o, sums, made);
    else
        put_rows(o, sums, first, made);
}

static void multiply_strip(const struct strip *s, const struct strip_out *o)
{
    const size_t blocks = (s->groups + BLOCK_GROUPS - 1) / BLOCK_GROUPS;
    struct cursor c = first_row(o);
    acc sums[SUMS_MAX];

    while (c.i < c.used) {
        const struct cursor start = c;
        unsigned made = 0;
        for (size_t b = 0; b < blocks; b++) {
            const size_t g = s->groups * b / blocks, end = s->groups * (b + 1) / blocks;
            const struct strip part = columns(s, g, end - g);
            if (start.used == c.steps && multiply_whole(c.steps, &part, sums)) {
                c.i = made = c.steps;
                continue;
            }
            c = start;
            made = multiply_part(&part, &c, sums);
        }
        put_sums(o, sums, start.i, made);
    }
}

/* The strip of row r. */
static inline struct strip strip_of(const struct rbe_matrix *w, const struct rbe_act *a,
                                    size_t r)
{
    const struct rbe_seed_strip here = rbe_seed_strip_at(w, r / w->block);
    const struct rbe_seed_strip below = rbe_seed_strip_after(w, r / w->block);

    return (struct strip){
        .base = (const uint8_t *)here.line,
        .below = (const uint8_t *)below.line,
        .words = here.words,
        .below_words = below.words,
        .q = ACT_WORDS(a),
        .groups = rbe_seed_groups(w->cols),
    };
}

/* Rows [r, row1) of the strip of row r, times vector t. */
static inline struct strip_out out_of(const struct rbe_matrix *w, const struct rbe_act *a,
                                      size_t t, uint32_t sum, float *y, size_t r, size_t row1)
{
    return (struct strip_out){
        .y = y + r,
        .scale = w->scale + r,
        .act_scale = a->scale[t],
        .offset = (int32_t)(sum * OFFSET),
        .row_sum = UNSIGNED_ACT ? w->row_sum + r : NULL,
        .rows = (unsigned)(row1 - r < w->block ? row1 - r : w->block),
        .block = w->block,
    };
}

/* Of the activations of vector t, where weights have an OFFSET. */
static inline uint32_t act_sum(const struct rbe_matrix *w, const struct rbe_act *a, size_t t)
{
    const int16_t *q = a->q + t * a->stride;
    uint32_t sum = 0;

    for (size_t n = 0; OFFSET != 0 && n < w->cols; n++)
        sum += (uint32_t)q[n];
    return sum;
}

static inline void gemv_seeds(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                              size_t ldy, size_t row0, size_t row1)
{
    const uint32_t sum = act_sum(w, a, 0);

    (void)ldy;
    for (size_t r = row0; r < row1; r += w->block) {
        const struct strip s = strip_of(w, a, r);
        const struct strip_out o = out_of(w, a, 0, sum, y, r, row1);
        multiply_strip(&s, &o);
    }
}

#endif

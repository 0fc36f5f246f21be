/*
 * seed.h - the stored layout of `seed`, `seed4` and `seedg`, and the generators of the first
 * two (codecs.md 3); seedg.h has the third.
 *
 * SPDX-License-Identifier: MIT
 *
 * A strip is one column and B consecutive rows, generated from 128 bits.  The strips of a
 * column are chained into one bit stream, little-endian.  Row i of a strip reads the 16-bit
 * window u that starts at bit floor(128 i / B) of the strip.  Of the last strip, which may
 * have fewer rows, only the words in which a window starts are stored; there the stream ends
 * and goes on with its first bit, a ring.
 *
 * codes, u16: [strips = ceil(rows / B)][groups = ceil(cols / 32)][8 words][32 columns], but
 * for the last strip's number of words.  Word j of a strip holds its bits 16 j .. 16 j + 15:
 * one 64-byte line is word j of 32 neighbouring columns, all at the same bit offset.  Columns
 * past cols hold zero words and meet zero activations.
 *
 * scale: f16 [rows].  col_scale: f16 [cols] or NULL.
 * W[m][n] = scale[m] * col_scale[n] * g.
 */
#ifndef RBE_KERNELS_FORMAT_SEED_H
#define RBE_KERNELS_FORMAT_SEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernel.h"

enum {
    RBE_SEED_WORDS = 8,             /* 16-bit words of a 128-bit seed */
    RBE_SEED_LANES = 32,            /* columns interleaved */
};

/*
 * Blocks for which GEMV kernels have loops of their own, with the shift counts as immediates
 * (kernels/body/seed_gemv.h): a token takes about a seventh longer with the others.  More
 * than 128 rows share the windows of 128.
 */
#define RBE_SEED_FAST_BLOCKS(DO)                                                               \
    DO(16) DO(20) DO(24) DO(28) DO(32) DO(36) DO(40) DO(44) DO(48) DO(52) DO(56) DO(60) DO(64) \
    DO(72) DO(80) DO(96) DO(128)

static inline bool rbe_seed_is_fast(unsigned block)
{
#define CASE(b) || block == b
    return block > 128 RBE_SEED_FAST_BLOCKS(CASE);
#undef CASE
}

static inline size_t rbe_seed_strips(size_t rows, size_t block)
{
    return (rows + block - 1) / block;
}

static inline size_t rbe_seed_groups(size_t cols)
{
    return (cols + RBE_SEED_LANES - 1) / RBE_SEED_LANES;
}

/* First bit of row i's window inside its strip, 0 <= i < B. */
static inline unsigned rbe_seed_bit(unsigned i, unsigned block)
{
    return 128 * i / block;
}

/* Words the last strip of a column has: as many as its windows start in. */
static inline unsigned rbe_seed_last_words(size_t rows, size_t block)
{
    return rbe_seed_bit((unsigned)((rows - 1) % block), (unsigned)block) / 16 + 1;
}

/* Words a whole column has. */
static inline size_t rbe_seed_column_words(size_t rows, size_t block)
{
    return (rbe_seed_strips(rows, block) - 1) * RBE_SEED_WORDS +
           rbe_seed_last_words(rows, block);
}

/* One strip of all columns, as stored. */
struct rbe_seed_strip {
    const uint16_t *line;           /* [groups][words][32] */
    unsigned words;
};

static inline struct rbe_seed_strip rbe_seed_strip_at(const struct rbe_matrix *w, size_t strip)
{
    const bool last = strip + 1 == rbe_seed_strips(w->rows, w->block);

    return (struct rbe_seed_strip){
        (const uint16_t *)w->codes +
            strip * rbe_seed_groups(w->cols) * RBE_SEED_WORDS * RBE_SEED_LANES,
        last ? rbe_seed_last_words(w->rows, w->block) : RBE_SEED_WORDS};
}

/* The strip whose first word follows the last one of `strip`. */
static inline struct rbe_seed_strip rbe_seed_strip_after(const struct rbe_matrix *w,
                                                         size_t strip)
{
    return rbe_seed_strip_at(w, strip + 1 < rbe_seed_strips(w->rows, w->block) ? strip + 1 : 0);
}

/* Where the windows of one row stand: bits [shift, shift + 16) of two words of a column. */
struct rbe_seed_window {
    const uint16_t *low, *high;     /* [groups][...], 32 columns each */
    size_t low_step, high_step;     /* from group to group */
    unsigned shift;
};

static inline struct rbe_seed_window rbe_seed_window_at(const struct rbe_matrix *w, size_t r)
{
    const struct rbe_seed_strip strip = rbe_seed_strip_at(w, r / w->block);
    const unsigned bit = rbe_seed_bit((unsigned)(r % w->block), w->block), word = bit / 16;
    const size_t step = (size_t)strip.words * RBE_SEED_LANES;
    struct rbe_seed_window at = {
        .low = strip.line + word * RBE_SEED_LANES,
        .high = strip.line + (word + 1) * RBE_SEED_LANES,
        .low_step = step,
        .high_step = step,
        .shift = bit % 16,
    };

    if (word + 1 == strip.words) {
        const struct rbe_seed_strip below = rbe_seed_strip_after(w, r / w->block);
        at.high = below.line;
        at.high_step = (size_t)below.words * RBE_SEED_LANES;
    }
    return at;
}

/* The window of column n. */
static inline uint16_t rbe_seed_window(const struct rbe_seed_window *at, size_t n)
{
    const size_t group = n / RBE_SEED_LANES, lane = n % RBE_SEED_LANES;
    const uint32_t high = at->high[group * at->high_step + lane];
    return (uint16_t)((high << 16 | at->low[group * at->low_step + lane]) >> at->shift);
}

/* The maps from a window to a weight: h = u * multiplier, of seed4 plus the row in its strip
 * times the step, mod 2^16. */
#define RBE_SEED_MULTIPLIER 0xE37DU
#define RBE_SEED4_MULTIPLIER 0x9E3BU
#define RBE_SEED4_STEP 0x6487U

/* Two signed bytes: mean -1, standard deviation 104.5, triangular. */
static inline int rbe_seed_map(uint16_t u)
{
    const uint16_t h = (uint16_t)(u * RBE_SEED_MULTIPLIER);
    return (int8_t)(h & 0xFF) + (int8_t)(h >> 8);
}

/* Four nibbles, with a row term: mean 0, standard deviation 9.22, closer to Gaussian. */
static inline int rbe_seed4_map(uint16_t u, unsigned i)
{
    const uint16_t h = (uint16_t)(u * RBE_SEED4_MULTIPLIER + i * RBE_SEED4_STEP);
    return (h & 15) + (h >> 4 & 15) + (h >> 8 & 15) + (h >> 12) - 30;
}

#endif

/*
 * seed_prototype_avx512vbmi2.c - all columns in one loop, accumulators in L1.
 *
 * SPDX-License-Identifier: MIT
 *
 * The 44 rows of a strip are unrolled with their shift counts as immediates; a row step loads
 * the row's accumulator, adds one, two or four column groups to it and stores it again.
 */
#ifndef __AVX512VBMI2__
#error "needs -mavx512vbmi2: the Makefile takes ISA flags from the file name's suffix"
#endif
#include "bench/seed_prototype.h"

#include <immintrin.h>
#include <string.h>

#include "kernels/f16.h"
#include "kernels/format/seed.h"

enum { B = 44, LINE = 64, GROUP = 512 };

#define ROWS(DO)                                                                              \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13)   \
    DO(14) DO(15) DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23) DO(24) DO(25)       \
    DO(26) DO(27) DO(28) DO(29) DO(30) DO(31) DO(32) DO(33) DO(34) DO(35) DO(36) DO(37)       \
    DO(38) DO(39) DO(40) DO(41) DO(42) DO(43)

#define WORD(i) (128 * (i) / B / 16)
#define SHIFT(i) (128 * (i) / B % 16)

/* Word j of group g of this step, word 8 being the next strip's word 0. */
#define LINE_AT(g, j)                                                                         \
    _mm512_loadu_si512((j) < 8 ? base + (g) * GROUP + (j) * LINE : below + (g) * below_step)

#define ADD(i, g)                                                                             \
    {                                                                                         \
        const __m512i u = _mm512_shrdi_epi16(LINE_AT(g, WORD(i)), LINE_AT(g, WORD(i) + 1),    \
                                             SHIFT(i));                                       \
        sum = _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(ones, _mm512_mullo_epi16(u, k)),  \
                                  x##g);                                                      \
    }

#define PROTOTYPE(groups_a_step, LOAD_X, ADD_ALL)                                             \
    void rbe_seed_prototype_##groups_a_step(const struct rbe_matrix *w,                       \
                                            const struct rbe_act *a, float *y, size_t ldy,    \
                                            size_t row0, size_t row1)                         \
    {                                                                                         \
        const size_t groups = rbe_seed_groups(w->cols);                                       \
        const __m512i k = _mm512_set1_epi16((short)0xE37D), ones = _mm512_set1_epi8(1);       \
        __m512i acc[B];                                                                       \
        (void)ldy;                                                                            \
        for (size_t r = row0; r < row1; r += B) {                                             \
            const struct rbe_seed_strip here = rbe_seed_strip_at(w, r / B);                   \
            const struct rbe_seed_strip next = rbe_seed_strip_after(w, r / B);                \
            const size_t below_step = next.words * (size_t)LINE;                              \
            const uint8_t *base = (const uint8_t *)here.line;                                 \
            const uint8_t *below = (const uint8_t *)next.line;                                \
            if (here.words < 8)                                                               \
                base = whole_strip(&here, &next, groups);                                     \
            memset(acc, 0, sizeof acc);                                                       \
            for (size_t n = 0; n < groups; n += groups_a_step,                                \
                        base += GROUP * (groups_a_step),                                      \
                        below += below_step * (groups_a_step)) {                              \
                const int16_t *const q = a->q + n * 32;                                       \
                LOAD_X                                                                        \
                ROWS(ADD_ALL)                                                                 \
            }                                                                                 \
            for (size_t i = 0; i < B && r + i < row1; i++)                                    \
                y[r + i] = (float)_mm512_reduce_add_epi32(acc[i]) *                           \
                           (rbe_f16_to_f32(w->scale[r + i]) * a->scale[0]);                   \
        }                                                                                     \
    }

/* The last strip, for up to 3072 columns: its words, and the first of the ring behind them. */
static const uint8_t *whole_strip(const struct rbe_seed_strip *s,
                                  const struct rbe_seed_strip *next, size_t groups)
{
    static _Thread_local uint8_t copy[96 * GROUP];
    const size_t words = s->words;

    for (size_t g = 0; g < groups; g++) {
        memcpy(copy + g * GROUP, s->line + g * words * 32, words * LINE);
        memcpy(copy + g * GROUP + words * LINE, next->line + g * next->words * 32, LINE);
    }
    return copy;
}

#define X(g) const __m512i x##g = _mm512_loadu_si512(q + (g) * 32);
#define ADD_1(i) { __m512i sum = acc[i]; ADD(i, 0) acc[i] = sum; }
#define ADD_2(i) { __m512i sum = acc[i]; ADD(i, 0) ADD(i, 1) acc[i] = sum; }
#define ADD_4(i) { __m512i sum = acc[i]; ADD(i, 0) ADD(i, 1) ADD(i, 2) ADD(i, 3) acc[i] = sum; }

PROTOTYPE(1, X(0), ADD_1)
PROTOTYPE(2, X(0) X(1), ADD_2)
PROTOTYPE(4, X(0) X(1) X(2) X(3), ADD_4)

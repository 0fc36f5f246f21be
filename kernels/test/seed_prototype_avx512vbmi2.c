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
#include "kernels/test/seed_prototype.h"

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

/* `line(p, j)`: word j of the group at p, word 8 being the next strip's word 0. */
#define LINE_AT(p, j) _mm512_loadu_si512((j) < 8 ? (p) + (j) * LINE : (p) + below)

#define ADD(i, g)                                                                             \
    {                                                                                         \
        const uint8_t *const p = base + (g) * GROUP;                                          \
        const __m512i u = _mm512_shrdi_epi16(LINE_AT(p, WORD(i)), LINE_AT(p, WORD(i) + 1),    \
                                             SHIFT(i));                                       \
        sum = _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(ones, _mm512_mullo_epi16(u, k)),  \
                                  x##g);                                                      \
    }

#define PROTOTYPE(groups_a_step, LOAD_X, ADD_ALL)                                             \
    void rbe_seed_prototype_##groups_a_step(const struct rbe_matrix *w,                       \
                                            const struct rbe_act *a, float *y, size_t ldy,    \
                                            size_t row0, size_t row1)                         \
    {                                                                                         \
        const size_t groups = rbe_seed_groups(w->cols), below = groups * GROUP;               \
        const size_t strips = rbe_seed_strips(w->rows, B);                                    \
        const __m512i k = _mm512_set1_epi16((short)0xE37D), ones = _mm512_set1_epi8(1);       \
        __m512i acc[B];                                                                       \
        (void)ldy;                                                                            \
        for (size_t r = row0; r < row1; r += B) {                                             \
            const uint8_t *base = (const uint8_t *)w->codes + r / B * below;                  \
            if (r / B + 1 == strips)                                                          \
                base = last_strip(w, base);                                                   \
            memset(acc, 0, sizeof acc);                                                       \
            for (size_t n = 0; n < groups; n += groups_a_step,                                \
                        base += GROUP * (groups_a_step)) {                                    \
                const int16_t *const q = a->q + n * 32;                                       \
                LOAD_X                                                                        \
                ROWS(ADD_ALL)                                                                 \
            }                                                                                 \
            for (size_t i = 0; i < B && r + i < row1; i++)                                    \
                y[r + i] = (float)_mm512_reduce_add_epi32(acc[i]) *                           \
                           (rbe_f16_to_f32(w->scale[r + i]) * a->scale[0]);                   \
        }                                                                                     \
    }

/* The strip below the last is the first: a copy of both, for up to 3072 columns. */
static const uint8_t *last_strip(const struct rbe_matrix *w, const uint8_t *base)
{
    static _Thread_local uint8_t copy[2 * 96 * GROUP];
    const size_t bytes = rbe_seed_groups(w->cols) * GROUP;

    memcpy(copy, base, bytes);
    memcpy(copy + bytes, w->codes, bytes);
    return copy;
}

#define X(g) const __m512i x##g = _mm512_loadu_si512(q + (g) * 32);
#define ADD_1(i) { __m512i sum = acc[i]; ADD(i, 0) acc[i] = sum; }
#define ADD_2(i) { __m512i sum = acc[i]; ADD(i, 0) ADD(i, 1) acc[i] = sum; }
#define ADD_4(i) { __m512i sum = acc[i]; ADD(i, 0) ADD(i, 1) ADD(i, 2) ADD(i, 3) acc[i] = sum; }

PROTOTYPE(1, X(0), ADD_1)
PROTOTYPE(2, X(0) X(1), ADD_2)
PROTOTYPE(4, X(0) X(1) X(2) X(3), ADD_4)
